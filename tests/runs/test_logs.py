"""Logs that are taken back to where they were at a checkpoint."""

from pathlib import Path

import pytest

from jaxrnn.errors import SaveError
from jaxrnn.runs.directory import METRICS_COLUMNS, append_metrics, append_sample
from jaxrnn.runs.logs import cut_logs, log_lengths, seconds_trained


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "metrics.csv").write_text(",".join(METRICS_COLUMNS) + "\n")
    (tmp_path / "samples.txt").touch()
    return tmp_path


def test_what_was_written_later_is_cut_off(run: Path) -> None:
    append_metrics(run, {"step": 1, "seconds": 2.5})
    append_sample(run, 1, "é\n--- step 9 ---")
    lengths, before = log_lengths(run), [(run / name).read_bytes() for name in ("metrics.csv", "samples.txt")]
    append_metrics(run, {"step": 2, "seconds": 5})
    append_sample(run, 2, "to be")
    assert seconds_trained(run) == 5
    cut_logs(run, lengths)
    assert [(run / name).read_bytes() for name in ("metrics.csv", "samples.txt")] == before
    assert seconds_trained(run) == 2.5


def test_a_log_that_is_gone_or_shorter_stays_as_it_is(run: Path) -> None:
    (run / "samples.txt").unlink()
    (run / "metrics.csv").write_text("short")
    cut_logs(run, {"metrics.csv": 100, "samples.txt": 100})
    assert (run / "metrics.csv").read_text() == "short"
    assert not (run / "samples.txt").exists()


def test_nothing_but_logs_is_ever_cut_nor_what_a_link_points_to(run: Path) -> None:
    (run / "config.toml").write_text("precious")
    cut_logs(run, {"config.toml": 0, "../other": 0})
    assert (run / "config.toml").read_text() == "precious"
    (run / "samples.txt").unlink()
    (run / "samples.txt").symlink_to(run / "config.toml")
    with pytest.raises(SaveError, match=r"samples\.txt"):
        cut_logs(run, {"samples.txt": 0})
    assert (run / "config.toml").read_text() == "precious"


@pytest.mark.parametrize(
    "metrics", ["", "step,seconds\n", "step,seconds\n1,\n", "step\n1\n", "step,seconds\n1,x\n"]
)
def test_a_time_that_can_not_be_told_is_zero(tmp_path: Path, metrics: str) -> None:
    (tmp_path / "metrics.csv").write_text(metrics)
    assert seconds_trained(tmp_path) == 0
    assert seconds_trained(tmp_path / "nowhere") == 0
