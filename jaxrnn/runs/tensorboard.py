"""The curves of a training run as TensorBoard's event files. Needs tensorboardX, of the extra `[tensorboard]`."""

import importlib.util
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from jaxrnn.disk import writing
from jaxrnn.errors import ConfigError

FOLDER = "tensorboard"
# What of metrics.csv is drawn, by the name that TensorBoard groups it under.
_CURVES = {
    "loss/train": "train_loss",
    "loss/held_out": "val_loss",
    "loss/held_out_bits": "bits_per_token",
    "optimizer/learning_rate": "learning_rate",
    "optimizer/grad_norm": "grad_norm",
    "speed/tokens_per_second": "tokens_per_second",
}

Write = Callable[[Mapping[str, object]], None]


def check_tensorboard() -> None:
    """Raises: ConfigError: There is no tensorboardX; now, not after minutes."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise ConfigError(
            "log.tensorboard = true needs tensorboardX: pip install 'jaxrnn[tensorboard]', or in a clone "
            "-e '.[tensorboard]'"
        )


@contextmanager
def open_events(run: Path, step: int) -> Iterator[Write]:
    """Writes event files into a run, from a step on; what they had after that step is not shown any more.

    Yields:
        A function that takes a row of metrics.csv, by its columns.

    Raises:
        SaveError: They can't be written.
    """
    # Not by way of SummaryWriter, which writes on a thread of its own, where a full disk can't be told; nor of
    # EventsWriter, which puts the host into the name of the file.
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.record_writer import RecordWriter
    from tensorboardX.summary import scalar

    folder = run / FOLDER

    def add(step: int, **what: object) -> None:
        events.write(Event(wall_time=time.time(), step=step, **what).SerializeToString())

    def write(row: Mapping[str, object]) -> None:
        step = row["step"]
        assert isinstance(step, int)
        for name, column in _CURVES.items():
            value = row.get(column)
            if isinstance(value, float | int) and math.isfinite(value):
                add(step, summary=scalar(name, value))
        with writing(folder):
            events.flush()

    with writing(folder):
        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time():010.0f}.{os.getpid()}.{step}"
        events = RecordWriter(str(folder / name))
        add(0, file_version="brain.Event:2")
        add(step + 1, session_log=SessionLog(status=SessionLog.START))
        events.flush()
    try:
        yield write
    finally:
        with writing(folder):
            events.close()
