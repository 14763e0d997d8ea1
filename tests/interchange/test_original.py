"""Files of the original project: every layer and gate, in every form of the file."""

import json
from collections.abc import Callable

import jax
import numpy as np
import pytest

from jaxrnn.config.fields import FieldError
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.original import read_original

CHARACTERS = list("helo wrd\n")  # unsorted
V = len(CHARACTERS)
Layers = list[tuple[tuple[int, ...], dict[str, np.ndarray]]]


def draw(types: tuple[int, ...], inputs: int, outputs: int) -> dict:
    rng = np.random.default_rng(inputs + 10 * outputs)
    shapes: dict[int, dict[str, tuple[int, ...]]] = {
        0: {"E": (inputs, outputs)},
        1: {"W": (inputs, outputs), "b": (outputs,)},
        2: {"Wxh": (inputs, outputs), "Whh": (outputs, outputs), "bh": (outputs,)},
        3: {"Wxa": (inputs, 4 * outputs), "Wha": (outputs, 4 * outputs), "ba": (4 * outputs,)},
        4: {},
    }
    return {name: rng.normal(0, 0.8, shape) for kind in types for name, shape in shapes[kind].items()}


def make(*layers: tuple[tuple[int, ...], int]) -> Layers:
    """Make layers of the given types and sizes, the first an embedding."""
    made, size = [], V
    for types, outputs in layers:
        made.append((types, draw(types, size, outputs)))
        size = outputs
    return made


def dump(layers: Layers, table: object = CHARACTERS, turn: bool = False) -> bytes:
    def lists(name: str, array: np.ndarray) -> list:
        return (array.T if turn and array.ndim == 2 and name != "E" else array).tolist()

    content: list = [
        {"type": list(types), **{name: lists(name, array) for name, array in parameters.items()}}
        for types, parameters in layers
    ]
    return json.dumps([*content, table]).encode()


def assert_read(data: bytes, layers: Layers) -> None:
    """Check the parameters against the file, with characters reordered and an LSTM's gates, there i, f, o, g."""
    read = read_original(json.loads(data))
    assert read.vocabulary.characters == "".join(sorted(CHARACTERS))
    order = [CHARACTERS.index(c) for c in read.vocabulary.characters]
    named = [(name, array) for _, parameters in layers for name, array in parameters.items()]
    wanted = []
    for name, array in named:
        if name in ("Wxa", "Wha", "ba"):
            i, f, o, g = np.split(array, 4, axis=-1)
            array = np.concatenate([i, f, g, o], axis=-1)
        wanted.append(array[order] if name == "E" else array)
    wanted[-2:] = [wanted[-2][:, order], wanted[-1][order]]
    for found, expected in zip(jax.tree.leaves(read.params), wanted, strict=True):
        assert np.array_equal(found, expected.astype(np.float32))


MODELS = {
    "embedding, lstm, dense": make(((0,), 5), ((3,), 6), ((1,), V), ((4,), V)),
    "embedding, rnn, dense, lstm, dense": make(((0,), 5), ((2,), 4), ((1,), 7), ((3,), 3), ((1,), V)),
    "embedding, rnn_block, rnn_block, dense": make(((0,), 6), ((2, 1), 6), ((3, 1), 6), ((1,), V), ((4,), V)),
}


@pytest.mark.parametrize("turn", [False, True], ids=["[in, out]", "[out, in]"])
@pytest.mark.parametrize("model", MODELS)
def test_the_run_has_the_layers_and_parameters_of_the_file(model: str, turn: bool) -> None:
    data = dump(MODELS[model], turn=turn)
    assert ", ".join(layer.type for layer in read_original(json.loads(data)).config.layers) == model
    assert_read(data, MODELS[model])


SMALL = MODELS["embedding, lstm, dense"]


def with_layers(change: Callable[[list[dict]], object]) -> bytes:
    """The small model with its layers changed in place or replaced by the return value of the function."""
    *layers, table = json.loads(dump(SMALL))
    changed = change(layers)
    return json.dumps(changed if changed is not None else [*layers, table]).encode()


def set_in(layer: int, name: str, value: object) -> Callable[[list[dict]], None]:
    return lambda layers: layers[layer].update({name: value})


ids = dict(zip(CHARACTERS, range(V), strict=True))
FORMS: dict[str, bytes] = {
    "tables of both kinds": dump(SMALL, {"char_to_ix": ids, "ix_to_char": {str(i): c for c, i in ids.items()}}),
    "two tables": dump(SMALL, ids)[:-1] + b", " + json.dumps(CHARACTERS).encode() + b"]",
    "an object": with_layers(lambda layers: {"layers": layers, "characters": CHARACTERS}),
    "layers in a list": with_layers(lambda layers: [layers, CHARACTERS]),
    "a row as bias": with_layers(set_in(2, "b", [SMALL[2][1]["b"].tolist()])),
    "a column as bias": with_layers(set_in(2, "b", SMALL[2][1]["b"][:, None].tolist())),
    "bare types": with_layers(lambda layers: [layer.update(type=layer["type"][0]) for layer in layers] and None),
    "other numbers and strings": with_layers(lambda layers: layers[1].update(size=6, name="LSTM")),
    "parameters in an object": with_layers(
        lambda layers: [*({"type": e.pop("type"), "params": e} for e in layers), CHARACTERS]
    ),
    "the embedding turned": with_layers(set_in(0, "E", SMALL[0][1]["E"].T.tolist())),
    "a byte order mark": b"\xef\xbb\xbf" + dump(SMALL),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_supported_form_of_a_file(form: str) -> None:
    assert_read(FORMS[form], SMALL)


def test_a_block_in_nested_objects() -> None:
    layers = MODELS["embedding, rnn_block, rnn_block, dense"]
    parts: dict[str, list] = {"type": [2, 1], "layers": []}
    for kind, names in ((2, ("Wxh", "Whh", "bh")), (1, ("W", "b"))):
        parts["layers"].append({"type": [kind], **{name: layers[1][1][name].tolist() for name in names}})
    *before, table = json.loads(dump(layers))
    before[1] = parts
    assert_read(json.dumps([*before, table]).encode(), layers)


def test_ambiguous_square_matrices_are_read_with_a_note() -> None:
    square = make(((0,), V), ((2,), V), ((1,), V))
    assert "taken as [in, out]" in read_original(json.loads(dump(square))).notes[0]
    assert_read(dump(square), square)
    assert read_original(json.loads(dump(SMALL))).notes == ()


def test_a_square_matrix_among_inconsistent_ones_is_refused() -> None:
    layers = make(((0,), 5), ((2,), 4), ((1,), V))
    *content, table = json.loads(dump(layers))
    content[1]["Wxh"] = layers[1][1]["Wxh"].T.tolist()
    with pytest.raises(InterchangeError, match=r"so that of layer 1, of type \[2\] the Whh could"):
        read_original([*content, table])


BAD: dict[str, tuple[bytes, str]] = {
    "no list": (b'"text"', "neither a list nor an object"),
    "no layers": (b"[[1, 2], 3]", 'no object with a "type"'),
    "no table": (with_layers(lambda layers: layers), "has no table of characters"),
    "too few characters": (dump(SMALL, "abc"), r"its E is \[9, 5\], but there are 3 characters"),
    "a character twice": (dump(SMALL, "hello wrd"), "its table of characters: has 'l'.* twice"),
    "an unknown type": (with_layers(set_in(1, "type", [7])), r"layer 1: its type is \[7\]; known are"),
    "a type that is true": (with_layers(set_in(1, "type", [True])), "its type is"),
    "no embedding": (with_layers(lambda layers: layers.pop(0) and None), "an embedding, of type .0., must"),
    "two embeddings": (with_layers(lambda layers: layers.insert(1, layers[0])), "can only come first"),
    "softmax between": (with_layers(lambda layers: layers.insert(1, layers[3])), "can only come last"),
    "no dense at the end": (with_layers(lambda layers: layers.pop(2) and None), "last layer must be of type dense"),
    "a missing parameter": (with_layers(lambda layers: layers[1].pop("Wha") and None), "lacks Wha"),
    "an unknown one": (with_layers(set_in(1, "gamma", [1.0])), "has 'gamma'; such a layer has Wxa, Wha, ba"),
    "one twice": (with_layers(set_in(1, "more", {"ba": [1.0]})), "has ba twice"),
    "ragged": (with_layers(set_in(2, "b", [1.0, [2.0]])), "its b has rows of different lengths"),
    "texts": (with_layers(set_in(2, "b", ["1.0"] * V)), "its b has '1.0', which is not a number"),
    "true": (with_layers(set_in(2, "b", [True] * V)), "its b has True, which is not a number"),
    "huge integers": (with_layers(set_in(2, "b", [10**400] * V)), "which is not a number that float32 holds"),
    "infinite": (dump(SMALL).replace(b"0.", b"1e999", 1), "which is not a number that float32 holds"),
    "NaN": (with_layers(set_in(2, "b", [float("nan")] * V)), "its b has nan, which is not a number"),
    "an empty list": (with_layers(set_in(2, "b", [])), "its b has an empty list"),
    "80 axes": (dump(SMALL).replace(b"[[", b"[" * 80, 1).replace(b"]]", b"]" * 80, 1), "its E has too many axes"),
    "a wrong matrix": (with_layers(set_in(1, "Wha", [[1.0, 2.0]])), r"its Wha is \[1, 2\], not \[6, 24\] or"),
    "no four gates": (with_layers(set_in(1, "ba", [1.0] * 23)), r"its ba is \[23\], .* with 4 gates in n"),
    "a wrong bias": (with_layers(set_in(1, "ba", [[1.0, 2.0], [3.0, 4.0]])), r"not \[n\], \[1, n\] or \[n, 1\]"),
    "a wrong output": (with_layers(lambda layers: layers[2].update(W=[[1.0]] * 6, b=[1.0])), "gives 1 numbers"),
    "a block that widens": (
        dump([*make(((0,), 5)), ((2, 1), draw((2,), 5, 6) | draw((1,), 6, 6))]),
        r"layer 1, of type \[2, 1\]: adds 6 numbers to the 5",
    ),
    "thousands of layers": (dump(make(((0,), 5), *[((1,), V)] * 1000)), "has 1,001 layers; at most 1,000"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_an_error_is_one_line_with_its_location(case: str) -> None:
    data, why = BAD[case]
    with pytest.raises((FieldError, InterchangeError), match=why):
        read_original(json.loads(data))
