"""The exported program accepts any batch and length and computes the model's logits."""

import json
from pathlib import Path

import numpy as np
import pytest
from jax import export

from jaxrnn.config import (
    LayerConfig,
    MinGRUConfig,
    MinLSTMConfig,
    MogrifierLSTMConfig,
    RGLRUConfig,
    RNNBlockConfig,
)
from jaxrnn.interchange import stablehlo_file
from jaxrnn.interchange.stablehlo_file import write_stablehlo
from jaxrnn.layers import product
from tests.interchange.stacks import STACKS, drawn, in_numpy, some_tokens


@pytest.mark.parametrize(
    ("layers", "largest_table"),
    [
        ((MogrifierLSTMConfig(size=5, rounds=2), RNNBlockConfig(cell="gru")), 1024),
        (STACKS["lstm"], 1024),
        (STACKS["gru"], 0),
        ((MinGRUConfig(size=5), RGLRUConfig(), MinLSTMConfig(size=4)), 1024),
    ],
    ids=[
        *(
            "layers without an ONNX operator",
            "a projected table",
            "a table that is too large to be projected",
        ),
        "linear recurrences",
    ],
)
def test_a_text_in_pieces_agrees_with_the_numpy_reference(
    layers: tuple[LayerConfig, ...], largest_table: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stablehlo_file, "_PROJECTED", largest_table)
    trained = drawn(layers)
    path, beside = write_stablehlo(trained, tmp_path / "model.stablehlo")
    program = export.deserialize(bytearray(path.read_bytes()))
    sizes = {state["input"]: state["size"] for state in json.loads(beside.read_text())["states"]}
    states = {name: np.zeros((2, size), np.float32) for name, size in sizes.items()}
    tokens = some_tokens(2, 12).astype(np.int32)
    read = []
    for piece in np.split(tokens, 2, axis=1):
        states, logits = program.call(states, piece)
        read.append(logits)
    expected, carry = in_numpy(trained, tokens)
    np.testing.assert_allclose(np.concatenate(read, axis=1), expected, rtol=1e-5, atol=1e-5)
    assert set(states) == set(carry)
    for name, state in carry.items():
        np.testing.assert_allclose(states[name], state, rtol=1e-5, atol=1e-5)


def test_the_file_has_its_platforms_is_deterministic_and_contains_no_local_path(
    tmp_path: Path,
) -> None:
    trained = drawn(STACKS["lstm"])
    path, _ = write_stablehlo(trained, tmp_path / "a.stablehlo")
    again, _ = write_stablehlo(trained, tmp_path / "b.stablehlo")
    content = path.read_bytes()
    assert content == again.read_bytes()
    assert export.deserialize(bytearray(content)).platforms == ("cpu", "cuda", "tpu")
    assert b"lstm.py" not in content
    assert b"site-packages" not in content


def test_the_operand_order_of_large_products_depends_on_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU the weights are the left operand, [16, 4], elsewhere the right one, [4, 16]."""
    monkeypatch.setattr(product, "_LARGE", 64)
    path, _ = write_stablehlo(drawn(STACKS["lstm"]), tmp_path / "model.stablehlo")
    text = export.deserialize(bytearray(path.read_bytes())).mlir_module()
    products = "".join(line for line in text.splitlines() if "stablehlo.dot_general" in line)
    assert "(tensor<16x4xf32>, " in products
    assert ", tensor<4x16xf32>)" in products
