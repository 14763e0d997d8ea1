"""PyTorch models that are recognized from names and shapes of their tensors, and refusal of others."""

import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, GRUConfig, LayerConfig, LSTMConfig, RNNConfig
from jaxrnn.config.fields import FieldError
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.description import describe
from jaxrnn.interchange.torch_model import Plan, find_modules, plan_described, plan_found, read_params
from jaxrnn.interchange.torch_names import torch_tensors
from tests.interchange.stacks import STACKS, drawn

V = 9
Shapes = dict[str, tuple[int, ...]]


def recurrent(prefix: str, gates: int, inputs: int, hidden: int, layer: int = 0) -> Shapes:
    rows = gates * hidden
    sizes = {"weight_ih": (rows, inputs), "weight_hh": (rows, hidden), "bias_ih": (rows,), "bias_hh": (rows,)}
    return {f"{prefix}.{name}_l{layer}": shape for name, shape in sizes.items()}


EMBEDDING: Shapes = {"emb.weight": (V, 4)}
LSTM = recurrent("rnn", 4, 4, 6)
HEAD: Shapes = {"fc.weight": (V, 6), "fc.bias": (V,)}


def plan(shapes: Shapes, order: object = None) -> Plan:
    return plan_found(find_modules(shapes), order, V)


EMBEDDED, HEADED = EmbeddingConfig(size=4), DenseConfig()
LOWER, UPPER = recurrent("net.rnn", 3, 4, 6), recurrent("net.rnn", 3, 6, 6, layer=1)


@pytest.mark.parametrize(
    ("shapes", "layers"),
    [
        ({**EMBEDDING, **LOWER, **UPPER, **HEAD}, (EMBEDDED, GRUConfig(size=6), GRUConfig(size=6), HEADED)),
        ({**EMBEDDING, **LSTM, **HEAD}, (EMBEDDED, LSTMConfig(size=6), HEADED)),
        ({**EMBEDDING, **recurrent("rnn", 1, 4, 6), **HEAD}, (EMBEDDED, RNNConfig(size=6), HEADED)),
        ({**recurrent("rnn", 4, V, 6), **HEAD}, (EmbeddingConfig(size=V), LSTMConfig(size=6), HEADED)),
        ({**recurrent("rnn", 4, V, 6), "fc.weight": (V, 6)}, (EmbeddingConfig(size=V), LSTMConfig(size=6), HEADED)),
    ],
    ids=["two layers of GRU", "LSTM", "RNN", "one-hot vectors", "one-hot vectors, and a head without a bias"],
)  # fmt: skip
def test_layers_are_recognized_by_their_shapes(shapes: Shapes, layers: tuple[LayerConfig, ...]) -> None:
    found = plan(shapes)
    assert found.config.layers == layers
    assert (found.modules[0] == []) == ("emb.weight" not in shapes)


def test_a_head_without_bias_is_distinguished_from_the_embedding_by_its_size() -> None:
    found = plan({**EMBEDDING, **LSTM, "aaa.weight": (V, 6)})
    assert [module.name for used in found.modules for module in used] == ["emb", "rnn", "aaa"]
    assert plan(ALIKE, ["fc", "rnn", "emb"]).modules[0][0].name == "fc"


def test_too_many_characters_for_one_hot_vectors_are_refused() -> None:
    wide = find_modules({**recurrent("rnn", 1, 5000, 6), "fc.weight": (5000, 6), "fc.bias": (5000,)})
    with pytest.raises(InterchangeError, match="5,000 characters are too many for one-hot"):
        plan_found(wide, None, 5000)


ALIKE: Shapes = {"emb.weight": (V, 6), **recurrent("rnn", 4, 6, 6), "fc.weight": (V, 6)}
BAD: dict[str, tuple[Shapes, object, str]] = {
    "bidirectional": ({**LSTM, "rnn.weight_ih_l0_reverse": (24, 4)}, None, "_l0_reverse' is of a bidirectional"),
    "projected": ({**LSTM, "rnn.weight_hr_l0": (3, 6)}, None, "weight_hr_l0' is of a projected LSTM"),
    "another tensor": ({**LSTM, "h0": (6,)}, None, "'h0' belongs to no Embedding, RNN"),
    "a norm": ({**LSTM, "norm.weight": (6,), "norm.bias": (6,)}, None, r"norm has a weight of shape \[6\]"),
    "a convolution": ({"conv.weight": (6, 4, 3)}, None, r"conv has a weight of shape \[6, 4, 3\]"),
    "a size of zero": ({"emb.weight": (0, 4)}, None, r"shape \[0, 4\]"),
    "a bias alone": ({"fc.bias": (6,)}, None, "fc has bias; an Embedding has a weight"),
    "a wrong bias": ({"fc.weight": (6, 5), "fc.bias": (5,)}, None, r"fc: its bias has shape \[5\], not \[6\]"),
    "a matrix missing": ({"rnn.weight_ih_l0": (24, 4)}, None, "rnn has weight_ih; .* a recurrent layer"),
    "a bias missing": ({k: s for k, s in LSTM.items() if "bias_hh" not in k}, None, "rnn has bias_ih and weight_hh"),
    "a layer missing": (recurrent("rnn", 4, 4, 6, layer=1), None, "'rnn' lacks a layer below its 1"),
    "five gates": (recurrent("rnn", 5, 4, 6), None, r"weight_hh has shape \[30, 6\], .*; an RNN has 1"),
    "no square": (LSTM | {"rnn.weight_hh_l0": (24, 5)}, None, r"weight_hh has shape \[24, 5\], not \[gates"),
    "rows that differ": ({**LSTM, "rnn.weight_ih_l0": (23, 4)}, None, r"weight_ih has shape \[23, 4\], not \[24, 4\]"),
    "a recurrent bias": ({**LSTM, "rnn.bias_ih_l0": (6,)}, None, r"bias_ih has shape \[6\], not \[24\]"),
    "both kinds": ({**LSTM, "rnn.weight": (6, 6)}, None, "rnn has bias_hh and bias_ih and weight and weight_hh"),
    "one tensor twice": ({**LSTM, "rnn.weight_ih": (24, 4)}, None, "are the same tensor"),
    "no recurrent layer": ({**EMBEDDING, **HEAD}, None, "has no recurrent layer, only 'emb', 'fc'"),
    "no head": ({**EMBEDDING, **LSTM}, None, "shares the weights of emb, save a clone of them"),
    "two heads": ({**EMBEDDING, **LSTM, **HEAD, "fc2.weight": (V, 6), "fc2.bias": (V,)}, None, "several orders"),
    "other characters": ({"emb.weight": (8, 4), **LSTM, **HEAD}, None, "emb has 8 rows, but there are 9 characters"),
    "another output": ({**EMBEDDING, **LSTM, "fc.weight": (8, 6), "fc.bias": (8,)}, None, "fc gives 8 numbers, but"),
    "a step between": ({**EMBEDDING, **recurrent("rnn", 4, 5, 6), **HEAD}, None, "rnn reads 5 numbers, but .* gives 4"),
    "two alike": (ALIKE, None, r'several orders; say which with "modules": \["emb", "fc", "rnn"\]'),
    "other one-hot vectors": (
        {**recurrent("rnn", 4, 5, 6), **HEAD},
        None,
        "rnn reads 5 numbers, but there are 9 characters, and no embedding",
    ),
    "no list": ({**EMBEDDING, **LSTM, **HEAD}, "emb", '"modules" must be a list of all names.*"emb", "rnn", "fc"'),
    "an unknown one": ({**EMBEDDING, **LSTM, **HEAD}, ["emb", "rnn", "fc", {}], "missing or unknown: '{}'"),
    "one twice": ({**EMBEDDING, **LSTM, **HEAD}, ["emb", "rnn", "rnn", "fc"], "a name given twice"),
    "one left out": ({**EMBEDDING, **LSTM, **HEAD}, ["emb", "fc"], "missing or unknown: 'rnn'"),
    "a recurrent end": ({**EMBEDDING, **LSTM}, ["emb", "rnn"], "last layer must be of type dense"),
    "too wide": ({"emb.weight": (V, 70_000), **recurrent("rnn", 4, 70_000, 6), **HEAD}, None, "70000"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_an_unsupported_model_is_refused_in_one_line(case: str) -> None:
    shapes, order, why = BAD[case]
    with pytest.raises((FieldError, InterchangeError), match=why):
        plan(shapes, order)


@pytest.mark.parametrize("stack", STACKS)
def test_an_export_survives_a_round_trip(stack: str) -> None:
    trained = drawn(STACKS[stack])
    tensors = torch_tensors(trained.params)
    modules = find_modules({name: tensor.shape for name, tensor in tensors.items()})
    found = plan_described(modules, describe(trained)["layers"], trained.vocabulary.size)
    assert found.config == trained.config
    back = read_params(found, tensors.__getitem__)
    for ours, theirs in zip(trained.params, back, strict=True):
        assert type(ours) is type(theirs)
        assert str(ours) == str(theirs)


LAYERS = [{"type": "embedding", "size": 4}, {"type": "lstm", "size": 6}, {"type": "dense"}]
NAMED: Shapes = {
    "layers.0.weight": (V, 4),
    **recurrent("layers.1", 4, 4, 6),
    "layers.2.weight": (V, 6),
    "layers.2.bias": (V,),
}


@pytest.mark.parametrize(
    ("shapes", "layers", "why"),
    [
        (NAMED, "lstm", "model.layers = .lstm.: must be a list"),
        (NAMED, [{"type": "lstn"}], "did you mean lstm"),
        (NAMED, [{"type": "dense"}] * 1001, "has 1,001 layers; at most 1,000"),
        (NAMED, [*LAYERS[:1], {"type": "mogrifier_lstm", "size": 6}, LAYERS[2]], "is of type mogrifier_lstm"),
        (NAMED, [*LAYERS[:1], {"type": "gru", "size": 6}, LAYERS[2]], r"s.1 must be GRU\(4, 6\), but is LSTM\(4, 6\)"),
        (NAMED, [*LAYERS[:1], {"type": "lstm", "size": 5}, LAYERS[2]], r"must be LSTM\(4, 5\), but is LSTM\(4, 6\)"),
        ({**NAMED, "x.weight": (1, 1)}, LAYERS, "'x' is not one of the layers"),
        ({k: s for k, s in NAMED.items() if "layers.2" not in k}, LAYERS, r"must be Linear\(6, 9\), but is missing"),
        ({**NAMED, **recurrent("layers.1", 4, 6, 6, layer=1)}, LAYERS, r"but is LSTM\(4, 6\) and LSTM\(6, 6\)"),
        ({**NAMED, "layers.0.weight": (8, 4)}, LAYERS, r"layers.0 must be Embedding\(9, 4\), but is Embedding\(8, 4\)"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_match_the_layers_are_refused(shapes: Shapes, layers: object, why: str) -> None:
    with pytest.raises((FieldError, InterchangeError), match=why):
        plan_described(find_modules(shapes), layers, V)


def test_an_export_without_biases_is_read() -> None:
    found = plan_described(find_modules({k: s for k, s in NAMED.items() if "bias" not in k}), LAYERS, V)
    assert [module.kind for (module,) in found.modules] == ["Embedding", "LSTM", "Linear"]


def test_biases_are_added_except_those_of_a_gru_candidate() -> None:
    rng = np.random.default_rng(0)
    for gates in (1, 3, 4):
        shapes = {**EMBEDDING, **recurrent("rnn", gates, 4, 6), **HEAD}
        tensors = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        cell = read_params(plan(shapes), tensors.__getitem__)[1]
        first, second = tensors["rnn.bias_ih_l0"], tensors["rnn.bias_hh_l0"]
        if gates == 3:
            assert np.allclose(cell.b, [*(first + second)[:12], *first[12:]])
            assert np.allclose(cell.b_n, second[12:])
        else:
            assert np.allclose(cell.b, first + second)
