import random
import signal
from pathlib import Path

import pytest

from benchmarks.soak.choosing import Command, choose
from benchmarks.soak.judging import files_of, judge, why_lost
from benchmarks.soak.running import Result

WRONG = Command(1, "sample", ["sample", "--length", "-1"], frozenset({2}))


def test_an_expected_exit_passes() -> None:
    assert judge(WRONG, Result(2, "jaxrnn: error: --length: must be 1 or more\n")) == []


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (Result(2, "Traceback (most recent call last):\n"), "traceback"),
        (Result(2, "jaxrnn: error: unexpected KeyError: 'a'\n"), "unexpected error"),
        (Result(0, ""), "exit code 0, not 2"),
        (Result(137, "", hung=True), "hangs"),
    ],
)
def test_an_unexpected_exit_fails(result: Result, problem: str) -> None:
    (found,) = judge(WRONG, result)
    assert problem in found


def test_a_lost_checkpoint_and_a_file_changed_elsewhere_fail(tmp_path: Path) -> None:
    lost = why_lost(tmp_path / "run")
    before = files_of(tmp_path)
    (tmp_path / "new").touch()
    assert lost
    assert files_of(tmp_path) != before
    assert len(judge(WRONG, Result(2, ""), lost=lost, changed="new")) == 2


def test_a_seed_reproduces_the_commands() -> None:
    first, again = ([choose(rng, n) for n in range(50)] for rng in (random.Random(3), random.Random(3)))
    assert first == again


def test_endless_commands_are_interrupted() -> None:
    rng = random.Random(0)
    commands = [choose(rng, number) for number in range(300)]
    endless = [command for command in commands if command.name == "play" or "--forever" in command.arguments]
    assert endless
    assert {command.signal for command in endless} == {signal.SIGINT}


def test_faults_are_part_of_the_line_that_reproduces_them() -> None:
    command = WRONG._replace(redirections=">&- 2>&-", blocks=4)
    assert command.line("python") == "ulimit -f 4; exec python -m jaxrnn_cli sample --length -1 >&- 2>&-"
