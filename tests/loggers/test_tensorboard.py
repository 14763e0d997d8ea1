"""TensorBoard event files: the metrics of metrics.csv, continued by a resumed run."""

import math
import struct
from pathlib import Path
from typing import Any

import pytest

from jaxrnn.config import Config
from jaxrnn.errors import SaveError

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")

from jaxrnn.loggers.tensorboard import log_to_tensorboard  # noqa: E402


def events(run: Path) -> list[Any]:
    """Every event of every file, in the order of writing: records of length, checksum, data, checksum."""
    found = []
    for path in sorted((run / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
            data = data[12 + length + 4 :]
    return found


def scalars(run: Path) -> list[tuple[str, int, float]]:
    return [(value.tag, e.step, value.simple_value) for e in events(run) for value in e.summary.value]


ROW = {
    "step": 10,
    "train_loss": 2.5,
    "val_loss": 2.0,
    "learning_rate": 0.5,
    "grad_norm": 1.0,
    "event": "evaluation",
}


def test_every_metric_has_its_tag(tmp_path: Path) -> None:
    with log_to_tensorboard(tmp_path, Config(), 0) as write:
        write(ROW)
        assert len(scalars(tmp_path)) == 4  # visible during training
    assert sorted(scalars(tmp_path)) == [
        ("loss/train", 10, 2.5),
        ("loss/validation", 10, 2.0),
        ("optimizer/grad_norm", 10, 1.0),
        ("optimizer/learning_rate", 10, 0.5),
    ]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, ""])
def test_nan_is_left_out(tmp_path: Path, value: object) -> None:
    with log_to_tensorboard(tmp_path, Config(), 0) as write:
        write({"step": 1, "train_loss": value, "val_loss": 1.0})
    assert scalars(tmp_path) == [("loss/validation", 1, 1.0)]


def test_a_resumed_run_discards_later_events(tmp_path: Path) -> None:
    for step in (0, 10):
        with log_to_tensorboard(tmp_path, Config(), step) as write:
            write({"step": step + 10, "train_loss": 1.0})
    starts = [event.step for event in events(tmp_path) if event.session_log.status == 1]  # START
    assert starts == [1, 11]


def test_a_folder_that_can_not_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("")
    with (
        pytest.raises(SaveError, match="tensorboard: can't be written"),
        log_to_tensorboard(tmp_path, Config(), 0),
    ):
        pass
