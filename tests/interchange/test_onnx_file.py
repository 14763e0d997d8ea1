"""The exported ONNX graph has standard operators and computes the model's logits in onnxruntime."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxrnn.interchange.onnx_file import write_onnx
from tests.interchange.stacks import CHARACTERS, STACKS, drawn, in_numpy, some_tokens

onnx = pytest.importorskip("onnx", exc_type=ImportError)

PIECES = (0, 1, 6, 17)  # limits of the pieces of a text of 17 characters


def session_of(path: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime", exc_type=ImportError)
    return runtime.InferenceSession(path, providers=["CPUExecutionProvider"])


def in_pieces(session: Any, tokens: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The logits of a text read in pieces, and the states after it."""
    states = json.loads(session.get_modelmeta().custom_metadata_map["jaxrnn"])["states"]
    carry = {state["input"]: np.zeros((len(tokens), state["size"]), np.float32) for state in states}
    read = []
    for start, end in pairwise(PIECES):
        wanted = ["logits", *(state["output"] for state in states)]
        logits, *after = session.run(wanted, {"tokens": tokens[:, start:end], **carry})
        carry = dict(zip(carry, after, strict=True))
        read.append(logits)
    return np.concatenate(read, axis=1), carry


def assert_alike(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", STACKS)
def test_onnxruntime_agrees_with_the_numpy_reference(name: str, tmp_path: Path) -> None:
    trained = drawn(STACKS[name])
    path, _ = write_onnx(trained, tmp_path / "model.onnx")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = session_of(path)
    for batch_size in (1, 3):
        tokens = some_tokens(batch_size, PIECES[-1])
        (logits, states), (expected, carry) = in_pieces(session, tokens), in_numpy(trained, tokens)
        assert_alike(logits, expected)
        assert list(states) == list(carry)
        for state in carry:
            assert_alike(states[state], carry[state])


def test_the_graph_has_standard_operators_and_named_axes(tmp_path: Path) -> None:
    path, _ = write_onnx(drawn(STACKS["all at once"]), tmp_path / "model.onnx")
    graph = onnx.load(path)
    operators = {node.op_type for node in graph.graph.node}
    assert operators == {"Gather", "RNN", "LSTM", "GRU", "MatMul", "Add", "Transpose", "Squeeze", "Unsqueeze"}
    assert {node.domain for node in graph.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 17)]
    assert graph.ir_version == 8
    axes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*graph.graph.input, *graph.graph.output]
    }
    assert axes["tokens"] == ["batch", "time"]
    assert axes["logits"] == ["batch", "time", len(CHARACTERS)]
    assert axes["h_2"] == axes["next_h_2"] == ["batch", 5]
    assert axes["c_7"] == axes["next_c_7"] == ["batch", 7]


def test_the_file_is_deterministic_and_describes_the_model(tmp_path: Path) -> None:
    trained = drawn(STACKS["block of lstm"])
    path, beside = write_onnx(trained, tmp_path / "a.onnx")
    again, _ = write_onnx(trained, tmp_path / "b.onnx")
    assert path.read_bytes() == again.read_bytes()
    assert beside.name == "a.onnx.json"
    (metadata,) = onnx.load(path).metadata_props
    assert (metadata.key, metadata.value) == ("jaxrnn", beside.read_text(encoding="utf-8"))
    about = json.loads(metadata.value)
    assert about["vocabulary"] == {"characters": CHARACTERS, "tokens": "characters"}
    assert about["separator"] is None
    assert [layer["type"] for layer in about["layers"]] == ["embedding", "rnn_block", "dense"]
    assert about["states"] == [
        {"input": "h_1", "output": "next_h_1", "size": 6},
        {"input": "c_1", "output": "next_c_1", "size": 6},
    ]
