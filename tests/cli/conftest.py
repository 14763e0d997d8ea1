"""A working directory with a small corpus and config, and the command line as a function."""

import contextlib
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from jaxrnn.runs.checkpoint import load_leaves
from jaxrnn.runs.saved_steps import Which
from jaxrnn.training import loop
from jaxrnn_cli import app

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CONFIG = """
[corpus]
text = "text.txt"

[model]
layers = [{ type = "embedding", size = 8 }, { type = "rnn", size = 8 }, { type = "dense" }]

[train]
steps = 20
batch_size = 4
seq_len = 8
warmup_steps = 2
log_every = 0
eval_every = 10
save_every = 10
sample_every = 0

[sample]
length = 30
"""


class Result(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The single line of a usage error."""
        assert self.code == 2, self
        assert "Traceback" not in self.err
        assert self.out == ""
        line, *more = self.err.splitlines()
        assert not more, self.err
        assert line.startswith("jaxrnn: error: "), line
        return line


Command = Callable[..., Result]


def write_files(folder: Path) -> None:
    """Write `text.txt`, one page of a play, and `tiny.toml`, which trains on it in about 1 s."""
    rng = random.Random(0)
    words = ["light", "through", "yonder", "window", "breaks", "soft", "what", "is", "the", "east"]
    speech = (" ".join(rng.choices(words, k=6)).capitalize() + "." for _ in range(60))
    text = "".join(f"{rng.choice(['ROMEO', 'JULIET'])}:\n{line}\n\n" for line in speech)
    (folder / "text.txt").write_text(text, encoding="utf-8")
    (folder / "tiny.toml").write_text(CONFIG, encoding="utf-8")


def arrays(run: Path, which: Which = "last") -> dict[str, bytes]:
    """Every array of a saved state, for bitwise comparison."""
    return {name: leaf.tobytes() for name, leaf in load_leaves(run, which).items()}


def read_metrics(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without the columns that depend on the clock."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    clock = ("seconds", "tokens_per_second")
    return [{key: value for key, value in row.items() if key not in clock} for row in rows]


def in_process(
    *args: str | Path, without: Sequence[str] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a new process with additional environment variables, and `without` some."""
    kept = {name: value for name, value in os.environ.items() if name not in without}
    command = [sys.executable, *args]
    return subprocess.run(command, capture_output=True, text=True, env={**kept, **variables}, check=False)


def look_at(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """List everything below a folder, to see whether anything was written."""
    found = {str(path): path.lstat() for path in [folder, *folder.rglob("*")]}
    return {name: (stat.st_mode, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new working directory with the small corpus and config."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAXRNN_TRACEBACK", raising=False)
    return tmp_path


@pytest.fixture
def jaxrnn(capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line: `jaxrnn("sample", "--length", "10")`."""

    def run(*args: str | Path) -> Result:
        capsys.readouterr()
        code = app.run([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def refused(jaxrnn: Command, place: Path) -> Callable[..., str]:
    """`pretrain` with invalid arguments: return the error line and check that nothing was written."""

    def run(*args: str | Path) -> str:
        before = look_at(place)
        error = jaxrnn("pretrain", *args).error
        assert look_at(place) == before
        return error

    return run


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Send a signal to the next training run after the evaluation at this step."""
    train = loop.train

    def arrange(step: int, number: signal.Signals = signal.SIGTERM) -> None:
        def interrupted(*args: Any, **kwargs: Any) -> Iterator[loop.Event]:
            monkeypatch.setattr(loop, "train", train)
            for event in train(*args, **kwargs):
                yield event
                if isinstance(event, loop.Evaluated) and event.step == step:
                    os.kill(os.getpid(), number)

        monkeypatch.setattr(loop, "train", interrupted)

    return arrange


@pytest.fixture
def ctrl_c(place: Path) -> Callable[[int], Result]:
    """Train in a new process that receives SIGINT once or several times after its first save."""

    def run(times: int) -> Result:
        endless = ["--set", "train.steps=100000000", "--set", "train.eval_every=0"]
        command = [sys.executable, "-m", "jaxrnn_cli", "pretrain", "tiny.toml", *endless]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                while process.poll() is None and not list(place.glob("checkpoints/tiny/steps/[1-9]*")):
                    time.sleep(0.02)
                for _ in range(times):
                    process.send_signal(signal.SIGINT)
                    time.sleep(0.02)
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
        return Result(process.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory, shared by the tests that only read it."""
    folder = tmp_path_factory.mktemp("trained")
    write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert app.run(["pretrain", "tiny.toml", "--quiet"]) == 0
    return folder / "checkpoints" / "tiny"


# Root can't use the sandbox; the other flags keep the browser from using the network.
_CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """A headless browser. Without one, tests are skipped, or fail with JAXRNN_BROWSER=required."""
    found = [
        path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))
    ]
    why = "" if found else "no Chromium is installed"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        why = "playwright is not installed: pip install -e '.[browser]'"
    if why and os.environ.get("JAXRNN_BROWSER") == "required":
        pytest.fail(why)
    if why:
        pytest.skip(why)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=list(_CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: "Browser") -> "Iterator[Callable[..., Page]]":
    """Open an empty page in a new context; console messages and errors fail the test."""
    complaints: list[str] = []
    with contextlib.ExitStack() as contexts:

        def open_(**settings: Any) -> "Page":
            context = chromium.new_context(**settings)
            contexts.callback(context.close)
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            return page

        yield open_
    assert complaints == []


_AXE = Path(__file__).parents[2] / "examples/browser/node_modules/axe-core/axe.min.js"


@pytest.fixture
def check_accessibility() -> "Callable[[Page], None]":
    """Check a page, opened with `bypass_csp=True`, with the rules of axe-core. Skipped where it is not installed."""
    if not _AXE.exists():
        why = "axe-core is not installed: npm install --prefix examples/browser"
        (pytest.fail if os.environ.get("JAXRNN_BROWSER") == "required" else pytest.skip)(why)

    def check(page: "Page") -> None:
        page.evaluate(_AXE.read_text(encoding="utf-8"))
        violations = page.evaluate("async () => (await axe.run()).violations")
        assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in violations] == []

    return check
