"""Help, usage errors, and the conversion of errors to one line and an exit code."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jaxrnn import __version__
from jaxrnn_cli import app
from jaxrnn_cli.startup.signals import catch_signals
from tests.cli.conftest import in_process

pytestmark = pytest.mark.usefixtures("place")


# A module in place of JAX that loses a Ctrl-C, as some C++ modules do.
LOSES_CTRL_C = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    list(map(str, range(1000)))
except BaseException:
    pass
raise ImportError("lost")
"""
STARTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from jaxrnn_cli.app import main
sys.argv = ["jaxrnn", "sample"]
main()
"""


def test_ctrl_c_while_modules_are_imported_is_not_lost(place: Path) -> None:
    (place / "jax.py").write_text(LOSES_CTRL_C)
    result = in_process("-c", STARTED)
    assert (result.returncode, result.stderr) == (130, "jaxrnn: error: interrupted\n")


@pytest.mark.parametrize("args", [["--help"], [], ["sample", "--help"], ["pretrain", "-h"], ["--version"]])
def test_help_and_version_do_not_import_jax(args: list[str]) -> None:
    code = "; ".join(
        [
            "import sys",
            "from jaxrnn_cli.app import run",
            f"code = run({args})",
            "heavy = {'jax', 'numpy', 'optax', 'orbax', 'matplotlib', 'rich'} & set(sys.modules)",
            "assert code == 0 and not heavy, (code, heavy)",
        ]
    )
    result = in_process("-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_no_arguments_show_the_help(jaxrnn) -> None:
    assert jaxrnn() == jaxrnn("--help")
    for name in app.COMMANDS:
        assert f"  {name} " in jaxrnn().out


def test_version_names_jaxrnn_and_jax(jaxrnn) -> None:
    code, out, err = jaxrnn("--version")
    assert (code, err) == (0, "")
    assert out.startswith("jaxrnn ") and "(jax " in out


def test_version_needs_no_metadata_of_packages(jaxrnn, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert jaxrnn("--version").out == f"jaxrnn {__version__} (jax not installed)\n"


@pytest.mark.parametrize("command", ["sample", "evaluate", "inspect", "play", "export --format onnx"])
def test_a_run_without_from_suggests_the_option(jaxrnn, command: str) -> None:
    assert "did you mean --from base?" in jaxrnn(*command.split(), "base").error


def test_a_tilde_is_expanded_in_every_path(jaxrnn, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = place / "home"
    (home / "runs").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (place / "tiny.toml").rename(home / "tiny.toml")
    shutil.copy(place / "text.txt", home / "more.txt")
    few = ("--set=train.steps=1", "--set=corpus.text=~/more.txt", "--quiet")
    commands: list[tuple[str, ...]] = [
        ("pretrain", "~/tiny.toml", "--to=~/runs/x", *few),
        ("sample", "--from=~/runs/x", "--rng-seed=1"),
        ("finetune", "--from=~/runs/x", "--to=~/runs/y", "--corpus=~/more.txt", *few),
        ("evaluate", "--from=~/runs/x", "--corpus=~/more.txt", "--per-character=~/c.csv"),
        ("inspect", "--from=~/runs/x", "--file=~/more.txt", "--output=~/page.html"),
        ("export", "--from=~/runs/x", "--format=stablehlo", "--output=~/model"),
    ]
    for command in commands:
        code, _, err = jaxrnn(*command)
        assert code == 0, err
    assert {"c.csv", "page.html", "model", "runs"} <= {path.name for path in home.iterdir()}
    assert not list(place.glob("~*"))
    for name in ("~", "~nobody-of-this-name/x", "./~/x"):
        assert jaxrnn("pretrain", "~/tiny.toml", "--to", name, *few).code == 2
    assert not [*place.glob("**/~*")]


def test_a_config_from_a_pipe_needs_a_name_for_its_run(jaxrnn, place: Path) -> None:
    os.mkfifo(place / "pipe")
    for to, message in ((["--to", "named"], ""), ([], "a config read from a pipe has no file name")):
        writer = threading.Thread(
            target=(place / "pipe").write_text, args=[(place / "tiny.toml").read_text()]
        )
        writer.start()
        found = jaxrnn("pretrain", "./pipe", "--dry-run", *to)
        writer.join()
        assert message in found.err
        assert found.code == (2 if message else 0)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["samlpe"], ["no such command samlpe", "did you mean sample?"]),
        (["zzz"], ["no such command zzz"]),
        (["--versoin"], ["no such option --versoin", "did you mean --version?"]),
        (
            ["sample", "--temprature", "1"],
            ["--temprature", "did you mean --temperature?", "jaxrnn sample --help"],
        ),
        (["sample", "-z"], ["no such option -z"]),
        (["sample", "--length"], ["--length", "requires an argument"]),
        (["sample", "--length", "ten"], ["--length", "'ten' is not an integer"]),
        (["sample", "--length", "1e3"], ["--length", "'1e3' is not an integer"]),
        (["sample", "--temperature", "hot"], ["--temperature", "'hot' is not a number"]),
        (["sample", "--num-samples", "0"], ["--num-samples", "0 is not from 1 to"]),
        (["sample", "--rng-seed", "-1"], ["--rng-seed", "-1 is not from 0 to"]),
        (["sample", "--rng-seed", "4294967296"], ["--rng-seed", "4294967296"]),
        (["sample", "--on-unknown", "panic"], ["--on-unknown", "'panic' is not one of drop, error"]),
        (["sample", "extra"], ["unexpected extra argument", "extra"]),
        (["pretrain"], ["missing argument 'CONFIG'"]),
        (["pretrain", "one", "two"], ["unexpected extra argument", "two"]),
        (["pretrain", "tiny.toml", "--quiet=yes"], ["--quiet", "does not take a value"]),
        (["bad\nname\x1b[31m"], [r"bad"]),
    ],
)
def test_a_usage_error_is_one_line(jaxrnn, args, said) -> None:
    error = jaxrnn(*args).error
    for words in said:
        assert words in error
    assert "\x1b" not in error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("DivergenceError('the loss is nan')", 3, "the loss is nan"),
        ("DownloadError('no network')", 1, "no network"),
        ("SaveError('disk full')", 1, "disk full"),
        ("CheckpointError('no such run')", 2, "no such run"),
        ("CorpusError('two\\nlines \\x1b[31m')", 2, r"two lines \x1b[31m"),
        ("OSError(28, 'No space left on device', 'metrics.csv')", 1, "metrics.csv: No space left on device"),
        ("MemoryError()", 1, "out of memory"),
        ("RuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating')", 1, "out of memory"),
        ("KeyboardInterrupt()", 130, "interrupted"),
        ("ZeroDivisionError('oh\\nno')", 1, "unexpected ZeroDivisionError: oh no (set JAXRNN_TRACEBACK=1"),
    ],
)
def test_an_error_becomes_one_line_and_its_exit_code(jaxrnn, monkeypatch, error, code, said) -> None:
    from jaxrnn import errors

    def fail(_name: str) -> Path:
        raise eval(error, vars(errors))

    monkeypatch.setattr("jaxrnn.config.find_config", fail)
    result = jaxrnn("pretrain", "tiny.toml")
    assert result.code == code
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("jaxrnn: error: ") and said in line


def test_jaxrnn_traceback_shows_the_traceback(jaxrnn, monkeypatch) -> None:
    monkeypatch.setenv("JAXRNN_TRACEBACK", "1")
    result = jaxrnn("sample", "--from", "nowhere")
    assert "Traceback" in result.err and "CheckpointError" in result.err
    assert result.code == 2


def test_a_closed_pipe_ends_quietly(trained: Path) -> None:
    arguments = ["sample", "--from", str(trained), "--length", "100000", "--rng-seed", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxrnn_cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    with process, process.stdout, process.stderr:
        assert process.stdout.read(5)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_stdout_is_utf_8_in_every_locale() -> None:
    code = r"from jaxrnn_cli.display import console; console.use_utf8(); console.write('\xe9\u20ac')"
    latin = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, env=latin, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "é€".encode(), b"")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("jaxrnn gr", "gradcheck"),
        ("jaxrnn pretrain shak", "shakespeare"),
        ("jaxrnn sample --temp", "--temperature"),
        ("jaxrnn sample --from ti", "tiny"),
    ],
)
def test_a_shell_completes_commands_options_configs_and_runs(
    trained: Path, monkeypatch: pytest.MonkeyPatch, typed: str, completed: str
) -> None:
    variables = {
        "_JAXRNN_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    monkeypatch.chdir(trained.parents[1])
    result = in_process("-m", "jaxrnn_cli", **variables)
    assert completed in result.stdout.split()
    assert result.stderr == ""


def test_signal_handlers_are_restored_after_training(trained: Path) -> None:
    assert trained.is_dir()
    # Python's initial handler, or SIG_IGN for a background job
    assert signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_after_one_signal_the_next_ctrl_c_ends_the_process_at_once() -> None:
    with catch_signals(quiet=True) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
        assert caught == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
