"""Training in two processes on the loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from jaxrnn.runs.checkpoint import load_leaves
from jaxrnn.runs.directory import read_record
from jaxrnn.runs.saved_steps import step_numbers
from tests.cli.conftest import arrays, write_files

STEPS = 60
OPTIONS = [f"train.steps={STEPS}", "train.save_every=10", "train.eval_every=30", "train.sample_every=30"]
OPTIONS += ["train.num_devices=1", "train.accumulate_steps=2", "train.ema_decay=0.9"]
ALL_ADDRESSES = (
    "0.0.0.0",
    "0",
    "0x0",
    "0.0",
    "[::]",
    "[0:0::0]",
    "[::0.0.0.0]",
    "[::ffff:0.0.0.0]",
    "[::ffff:0:0]",
)
TRAINING = ["pretrain", "tiny.toml", *(word for option in OPTIONS for word in ("--set", option))]


# The command on a disk that is full once the run is created, by a file size limit below that of a checkpoint.
FULL_LATER = """
import resource
from jaxrnn.runs.saving import Checkpoints
from jaxrnn_cli.app import main
enter = Checkpoints.__enter__
def fill(checkpoints):
    enter(checkpoints)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
    return checkpoints
Checkpoints.__enter__ = fill
main()
"""


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Pair:
    """Two processes that run the same command."""

    def __init__(
        self,
        folder: Path,
        *args: str,
        folders: tuple[Path, ...] = (),
        last: tuple[str, ...] = (),
        is_full_later: bool = False,
        **environment: str,
    ) -> None:
        """`last` are additional arguments of process 1; the disk of process 0 may become full."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAXRNN_HEARTBEAT_SECONDS": "5", **environment}
        start = [sys.executable, "-m", "jaxrnn_cli"]
        first = [sys.executable, "-c", FULL_LATER] if is_full_later else start
        joined = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", "2", "--process-id"]
        self.processes = [
            subprocess.Popen(
                [*(start if number else first), *args, *joined, str(number), *(last if number else ())],
                cwd=(folders or (folder, folder))[number],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(2)
        ]

    def end(self) -> list[Ended]:
        """Wait for both processes."""
        found = []
        try:
            for process in self.processes:
                out, err = process.communicate(timeout=120)
                found.append(Ended(process.returncode, out, err))
        finally:
            for process in self.processes:
                process.kill()
        for each in found:
            assert "Traceback" not in each.err
            assert "***" not in each.err
        return found

    def wait_for(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not ready():
            assert time.monotonic() < deadline
            assert all(process.poll() is None for process in self.processes), self.end()
            time.sleep(0.005)


def saved(run: Path) -> list[int]:
    return step_numbers(run / "steps") if (run / "steps").is_dir() else []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of two processes."""
    folder = tmp_path_factory.mktemp("two")
    write_files(folder)
    first, second = Pair(folder, *TRAINING).end()
    assert (first.code, second.code) == (0, 0), (first, second)
    assert (first.out, second.out, second.err) == ("", "", "")
    assert first.err.count(f"step {STEPS}/{STEPS}") == 1
    assert first.err.count("sampled at step") == 2
    return folder / "checkpoints" / "tiny"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path)
    return tmp_path


def test_two_processes_are_bitwise_identical_to_one_with_two_devices(
    whole: Path, jaxrnn, place: Path
) -> None:
    two = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "jaxrnn_cli", *TRAINING, "--set", "train.num_devices=2", "--to", "./two"]
    subprocess.run([*command, "--quiet"], env=two, check=True)
    assert arrays(place / "two") == arrays(whole)
    assert (place / "two/samples.txt").read_text() == (whole / "samples.txt").read_text()
    assert jaxrnn(*TRAINING, "--to", "./one", "--quiet").code == 0
    one, other = load_leaves(place / "one", "last"), load_leaves(whole, "last")
    params = [name for name in one if name.startswith("params.")]
    assert params
    for name in params:
        np.testing.assert_allclose(one[name], other[name], atol=2e-3)
    assert arrays(place / "one") != arrays(whole)  # so the two devices do share the batch


def test_a_killed_process_ends_both_and_the_resumed_run_is_bitwise_identical(
    whole: Path, folder: Path
) -> None:
    run = folder / "checkpoints" / "tiny"
    pair = Pair(folder, *TRAINING)
    pair.wait_for(lambda: saved(run)[-1:] >= [10])
    pair.processes[1].kill()
    first, _ = pair.end()
    assert first.code == 1
    assert first.err.splitlines()[-1].startswith("jaxrnn: error: process 0 of 2: lost the other process")
    assert first.err.count("error") == 1
    assert 10 <= saved(run)[-1] < STEPS
    first, second = Pair(folder, *TRAINING, "--resume").end()
    assert (first.code, second.code, second.err) == (0, 0, "")
    assert "resuming checkpoints/tiny from step" in first.err
    assert "differ" not in first.err
    assert arrays(run) == arrays(whole)
    assert (run / "samples.txt").read_text() == (whole / "samples.txt").read_text()


def test_a_killed_coordinator_ends_both_with_one_line(folder: Path) -> None:
    run = folder / "checkpoints" / "tiny"
    pair = Pair(folder, *TRAINING, "--set", "train.steps=100000")
    pair.wait_for(lambda: saved(run)[-1:] >= [10])
    pair.processes[0].kill()
    _, second = pair.end()
    assert second.code == 1
    (line,) = second.err.splitlines()
    assert line.startswith("jaxrnn: error: process 1 of 2: lost the other process")
    assert "--resume" in line


def test_a_signal_to_one_stops_both_at_one_step_and_another_number_of_devices_resumes(
    whole: Path, place: Path, jaxrnn
) -> None:
    tuning = ["finetune", "--from", str(whole), "--corpus", "text.txt", "--to", "./tuned"]
    tuning += ["--set", "train.num_devices=1", "--set"]
    pair = Pair(place, *tuning, "train.steps=1000000", "--set", "train.save_every=50")
    pair.wait_for(lambda: saved(place / "tuned")[-1:] >= [50])
    pair.processes[1].send_signal(signal.SIGTERM)
    first, second = pair.end()
    assert (first.code, second.code, second.err) == (143, 143, "")
    assert "stopped by SIGTERM and saved at step" in first.err
    last = saved(place / "tuned")[-1]
    assert f"at step {last} of 1000000" in first.err
    code, _, err = jaxrnn(*tuning, f"train.steps={last + 3}", "--resume")
    assert code == 0
    assert "results may not be bitwise identical: devices 2 x" in err
    assert saved(place / "tuned")[-1] == last + 3
    assert len(read_record(place / "tuned").history) == 1


def test_a_corpus_missing_in_one_process_ends_both(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_files(other)
    (other / "text.txt").unlink()
    first, second = Pair(folder, *TRAINING, folders=(folder, other)).end()
    assert (first.code, second.code) == (2, 2)
    (one,), (two,) = first.err.splitlines(), second.err.splitlines()
    assert "process 1 ended: " in one
    assert two.startswith("jaxrnn: error: process 1 of 2: ")
    assert "text.txt" in one
    assert "text.txt" in two
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize(
    ("differs", "code", "words"),
    [
        (
            ("--set", "train.learning_rate=0.5"),
            2,
            "train.learning_rate is 0.5 in process 1, but 0.01 in process 0",
        ),
        (("--num-processes", "3"), 1, "process 1 was told of 3 processes, but process 0 of 2"),
    ],
)
def test_a_difference_between_processes_ends_both_and_is_named(
    folder: Path, differs: tuple[str, ...], code: int, words: str
) -> None:
    for each in Pair(folder, *TRAINING, last=differs).end():
        assert each.code == code
        (line,) = each.err.splitlines()
        assert words in line
    assert not (folder / "checkpoints").exists()


def test_a_failed_save_ends_both_and_keeps_the_last_checkpoint(whole: Path, place: Path) -> None:
    long = ["--set", "train.num_devices=1", "--set", "train.steps=100000", "--set", "train.save_every=100"]
    command = ["finetune", "--from", str(whole), "--corpus", "text.txt", "--to", "./tuned", *long]
    first, second = Pair(place, *command, is_full_later=True).end()
    assert (first.code, second.code) == (1, 1)
    for each in (first, second):
        assert "can't be written: File too large; tuned keeps step 0" in each.err.splitlines()[-1]
    assert len(second.err.splitlines()) == 1


def test_waiting_for_missing_processes_has_a_time_limit(folder: Path) -> None:
    pair = Pair(folder, *TRAINING, JAXRNN_CONNECT_SECONDS="3")
    pair.processes[1].kill()
    first, _ = pair.end()
    assert first.code == 1
    (line,) = first.err.splitlines()
    assert "not all processes connected within 3 s" in line


# Options, tested in one process.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--coordinator", "127.0.0.1:1"], ["'--num-processes'", "need all of"]),
        (["--num-processes", "2", "--process-id", "0"], ["'--coordinator'", "need all of"]),
        (["--distributed", "--process-id", "0"], ["'--distributed'", "leave out --process-id"]),
        (["--coordinator", "here"], ["'here' is not HOST:PORT"]),
        (["--coordinator", "a b:1"], ["is not HOST:PORT"]),
        (["--coordinator", "::1:80"], ["is not HOST:PORT"]),
        (["--coordinator", "host:70000"], ["70000 is not a port"]),
        *((["--coordinator", f"{host}:80"], [f"{host} means all addresses"]) for host in ALL_ADDRESSES),
        (["--coordinator", "h:1", "--num-processes", "0", "--process-id", "0"], ["0 is not from 1"]),
        (["--coordinator", "h:1", "--num-processes", "2", "--process-id", "2"], ["2 is not from 0 to 1"]),
        (
            ["--coordinator", "h:1", "--num-processes", "two", "--process-id", "0"],
            ["'two' is not an integer"],
        ),
    ],
)
def test_invalid_options_are_refused(refused, options: list[str], words: list[str]) -> None:
    line = refused("tiny.toml", *options)
    for word in words:
        assert word in line


def test_options_can_be_set_in_the_environment(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXRNN_COORDINATOR", "127.0.0.1:1")
    monkeypatch.setenv("JAXRNN_NUM_PROCESSES", "2")
    assert "'--process-id'" in refused("tiny.toml")
    monkeypatch.setenv("JAXRNN_PROCESS_ID", "7")
    assert "7 is not from 0 to 1" in refused("tiny.toml")


@pytest.mark.usefixtures("place")
def test_a_single_process_joins_no_other(jaxrnn) -> None:
    alone = ["--coordinator", "127.0.0.1:1", "--num-processes", "1", "--process-id", "0"]
    assert jaxrnn("pretrain", "tiny.toml", "--dry-run", *alone).code == 0
