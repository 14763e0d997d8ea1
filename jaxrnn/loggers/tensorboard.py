"""TensorBoard's event files, in the run's folder tensorboard/. Needs tensorboardX, the extra `[tensorboard]`."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Not SummaryWriter, which writes on a thread of its own, where the error of a full disk is lost; nor EventsWriter,
# which puts the host into the name of the file.
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import scalar

from jaxrnn.config import Config
from jaxrnn.disk import writing
from jaxrnn.loggers import Row, Write, numbers

FOLDER = "tensorboard"
# The curve of each column of metrics.csv, in TensorBoard's groups.
_CURVES = {
    "train_loss": "loss/train",
    "val_loss": "loss/validation",
    "bits_per_token": "loss/validation_bits",
    "learning_rate": "optimizer/learning_rate",
    "grad_norm": "optimizer/grad_norm",
    "tokens_per_second": "speed/tokens_per_second",
}


@contextmanager
def log_to_tensorboard(run: Path, _config: Config, step: int) -> Iterator[Write]:
    """Log to event files; those of an earlier process are no longer shown beyond this step."""
    folder = run / FOLDER

    def add(step: int, **what: object) -> None:
        events.write(Event(wall_time=time.time(), step=step, **what).SerializeToString())

    def write(row: Row) -> None:
        for column, value in numbers(row).items():
            if column in _CURVES:
                add(int(str(row["step"])), summary=scalar(_CURVES[column], value))
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
