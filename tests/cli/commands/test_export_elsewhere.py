"""Exported models without jaxrnn: the programs in docs/onnx.md and docs/stablehlo.md, and the page in examples/."""

import ast
import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig
from jaxrnn.data.vocabulary import byte_vocabulary
from jaxrnn.interchange.onnx_file import write_onnx
from jaxrnn.layers.dense import DenseParams
from jaxrnn.layers.embedding import EmbeddingParams
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.runs.loading import load
from jaxrnn_cli import app
from tests.cli.conftest import Command
from tests.interchange.stacks import STACKS, drawn, our_logits, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

onnx = pytest.importorskip("onnx", exc_type=ImportError)

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "examples" / "browser"
SEED, LENGTH = "abcde fabc", 60


class Exported(NamedTuple):
    """A run and the files exported from it."""

    run: Path
    onnx: Path
    stablehlo: Path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    model = drawn((LSTMConfig(size=16),), scale=3)
    *params, head = model.params  # without a bias, it repeats 6 characters
    write_run(model._replace(params=(*params, head._replace(b=0 * head.b))), folder / "checkpoints" / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert app.run(["export", "--format", "onnx"]) == 0
        assert app.run(["export", "--format", "stablehlo"]) == 0
    return Exported(folder / "checkpoints" / "tiny", folder / "tiny.onnx", folder / "tiny.stablehlo")


@pytest.fixture
def greedy(exported: Exported, jaxrnn: Command) -> str:
    """The run's own sample at temperature 0."""
    options = ["--temperature", "0", "--length", LENGTH, "--seed", SEED]
    written = jaxrnn("sample", "--from", exported.run, *map(str, options)).out
    assert written.startswith(SEED)
    assert len(set(written[len(SEED) :])) > 5  # a repeated character would verify little
    return written.removesuffix("\n")


def program(document: str) -> str:
    """The program in a document."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    (found,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return found


def write_with(path: Path, *args: str) -> str:
    """Run the sampling loop of the document as a program and return its output."""
    pytest.importorskip("onnxruntime", exc_type=ImportError)
    command = [sys.executable, "-c", program("onnx.md"), str(path), *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.removesuffix("\n")


def with_description(path: Path, to: Path, **changes: Any) -> Path:
    """The same graph with another description, such as one with a separator."""
    graph = onnx.load(path)
    (entry,) = graph.metadata_props
    entry.value = json.dumps(json.loads(entry.value) | changes)
    onnx.save(graph, to)
    return to


@pytest.fixture
def forgetful(tmp_path: Path) -> Path:
    """A model whose state is reset at each "c"."""
    path, _ = write_onnx(drawn(STACKS["lstm"], scale=2), tmp_path / "drawn.onnx")
    return with_description(path, tmp_path / "forgetful.onnx", separator="c")


@pytest.fixture
def of_bytes(tmp_path: Path) -> Path:
    """A byte model without states; it repeats "aé日", which has 6 bytes."""
    cycle = "aé日".encode()
    follows = np.zeros((256, 256), np.float32)
    follows[list(cycle), list(cycle[1:] + cycle[:1])] = 1
    config = ModelConfig(layers=(EmbeddingConfig(size=256), DenseConfig()))
    params = (EmbeddingParams(jnp.eye(256)), DenseParams(jnp.asarray(follows), jnp.zeros(256)))
    path, _ = write_onnx(LanguageModel(config, params, byte_vocabulary(), "bytes"), tmp_path / "bytes.onnx")
    return path


def test_the_documented_loop_needs_only_numpy_and_onnxruntime() -> None:
    imports = [node for node in ast.walk(ast.parse(program("onnx.md"))) if "Import" in type(node).__name__]
    assert sorted(map(ast.unparse, imports)) == [
        "import json",
        "import numpy as np",
        "import onnxruntime",
        "import sys",
    ]


def test_the_documented_loop_samples_the_same_text_as_sample(exported: Exported, greedy: str) -> None:
    assert write_with(exported.onnx, SEED, str(LENGTH), "0", "0") == greedy


def test_the_documented_loop_handles_bytes(of_bytes: Path) -> None:
    assert write_with(of_bytes, "é日", "12", "0", "0") == "é日" + 2 * "aé日"


def test_the_documented_loop_resets_the_states_at_a_separator(forgetful: Path) -> None:
    after = write_with(forgetful, "c", "20", "0", "0")
    assert write_with(forgetful, "abacab!gc", "20", "0", "0") == "abacab!g" + after
    remembering = with_description(forgetful, forgetful.with_name("remembering.onnx"), separator=None)
    assert write_with(remembering, "abacab!gc", "20", "0", "0") != "abacab!g" + after


def test_the_documented_program_needs_no_jaxrnn_and_computes_any_batch(
    exported: Exported, tmp_path: Path
) -> None:
    texts = [SEED, "a bad face", "cafe\n!dead", "abcabcabca", "fedcba efg", "gggggggggg", "\ne!f bacde"]
    (tmp_path / "program.py").write_text(program("stablehlo.md"), encoding="utf-8")
    driver = f"""
import sys, runpy, numpy
sys.modules["jaxrnn"] = sys.modules["jaxrnn_cli"] = None  # importing them would fail
texts = {texts!r}
for count in (1, 3, 7):
    sys.argv = ["program.py", {str(exported.stablehlo)!r}, *texts[:count]]
    numpy.save(f"{{count}}.npy", runpy.run_path("program.py")["logits"])
"""
    subprocess.run([sys.executable, "-c", driver], cwd=tmp_path, check=True, env=os.environ)
    expected = np.stack([our_logits(load(exported.run), text) for text in texts])
    for count in (1, 3, 7):
        logits = np.load(tmp_path / f"{count}.npy")
        assert logits.shape == (count, len(SEED), expected.shape[-1])
        np.testing.assert_allclose(logits, expected[:count], rtol=1e-5, atol=1e-5)


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """`python -m http.server` without its log."""

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def page(chromium: "Browser") -> Iterator["Page"]:
    """The served page with the run's model; requests to other addresses fail the test."""
    if not (PAGE / "node_modules" / "onnxruntime-web").exists():
        why = "onnxruntime-web is missing; npm install --prefix examples/browser"
        if os.environ.get("JAXRNN_BROWSER") == "required":
            pytest.fail(why)
        pytest.skip(why)
    handler = functools.partial(QuietFiles, directory=str(PAGE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        complaints: list[str] = []
        opened = chromium.new_page()
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("request", lambda r: None if r.url.startswith(address) else complaints.append(r.url))
        opened.goto(address)
        opened.fill("#length", str(LENGTH))
        yield opened
        opened.close()
        server.shutdown()
    assert complaints == []


def choose_file(page: "Page", file: Any) -> None:
    page.set_input_files("#file", file)
    page.wait_for_selector("body:is([data-state=ready], [data-state=empty])")


def write(page: "Page", **fields: str) -> str:
    for field, value in fields.items():
        page.locator(f"#{field}").fill(value)
    page.click("#write")
    page.wait_for_selector("body[data-state=ready]")
    return page.text_content("#text") or ""


@pytest.mark.browser
def test_the_page_samples_the_same_text_as_sample(page: "Page", exported: Exported, greedy: str) -> None:
    choose_file(page, exported.onnx)
    assert "tiny: embedding 6, lstm 16, dense" in (page.text_content("#about") or "")
    assert write(page, seed=SEED, temperature="0") == greedy
    assert f"{LENGTH} characters" in (page.text_content("#status") or "")


@pytest.mark.browser
def test_the_page_is_accessible(page: "Page", exported: Exported, check_accessibility: Any) -> None:
    choose_file(page, exported.onnx)
    write(page, seed=SEED, temperature="0")
    check_accessibility(page)


@pytest.mark.browser
def test_the_page_runs_every_operator(page: "Page", tmp_path: Path) -> None:
    path, _ = write_onnx(drawn(STACKS["all at once"], scale=2.0), tmp_path / "all.onnx")
    choose_file(page, path)
    written = write_with(path, "abc", str(LENGTH), "0", "0")
    assert len(set(written)) > 3
    assert write(page, seed="abc", temperature="0") == written


@pytest.mark.browser
def test_the_page_samples_the_same_text_for_the_same_rng_seed(page: "Page", exported: Exported) -> None:
    choose_file(page, exported.onnx)
    first = write(page, seed=SEED, temperature="1", rng_seed="7")
    assert write(page, rng_seed="8") != first
    assert write(page, rng_seed="7") == first


@pytest.mark.browser
def test_the_stop_button(page: "Page", exported: Exported) -> None:
    choose_file(page, exported.onnx)
    page.fill("#length", "1000000")
    page.click("#write")
    page.wait_for_function("document.getElementById('written').textContent.length > 100")
    page.click("#stop")
    page.wait_for_selector("body[data-state=ready]")
    assert (page.text_content("#status") or "").endswith("stopped")
    page.fill("#length", str(LENGTH))


@pytest.mark.browser
def test_the_page_does_not_interpret_html(page: "Page", exported: Exported, tmp_path: Path) -> None:
    name = "<img src=x onerror=\"document.title='hit'\">"
    choose_file(page, with_description(exported.onnx, tmp_path / "named.onnx", name=name))
    assert (page.text_content("#about") or "").startswith(name)
    write(page, seed=name)
    assert page.text_content("#error") == (
        'the character "<" (U+003C) is not in the vocabulary; leave it out'
    )
    assert page.locator("img").count() == 0
    assert page.title() == "A model in your browser"


@pytest.mark.browser
def test_the_page_resets_the_states_at_a_separator(page: "Page", forgetful: Path) -> None:
    choose_file(page, forgetful)
    after = write(page, seed="c", temperature="0")
    assert write(page, seed="abacab!gc") == "abacab!g" + after


@pytest.mark.browser
def test_the_page_handles_bytes(page: "Page", of_bytes: Path) -> None:
    choose_file(page, of_bytes)
    assert (page.text_content("#about") or "").endswith("it reads bytes.")
    assert write(page, seed="é日", temperature="0") == "é日" + "aé日" * (LENGTH // 6)


@pytest.mark.browser
def test_the_page_reports_a_wrong_file_in_one_line(page: "Page", exported: Exported, tmp_path: Path) -> None:
    def described(states: list[dict[str, Any]]) -> bytes:
        return with_description(exported.onnx, tmp_path / "described.onnx", states=states).read_bytes()

    whole = exported.onnx.read_bytes()
    wrong = {
        "this file is empty": b"",
        "this is not an ONNX file": b"PK\x03\x04 not a model",
        "truncated": whole[: len(whole) // 2],
        "onnxruntime: ": whole.replace(b"Transpose", b"Transpoze"),
        "not from jaxrnn": whole.replace(b"\x06jaxrnn\x12", b"\x06jaxrnm\x12"),
        "vocabulary and states is invalid": described(
            [{"input": "h_1", "output": "next_h_1", "size": 10**9}]
        ),
        "has no input h_9": described([{"input": "h_9", "output": "next_h_9", "size": 1}]),
    }
    for message, content in wrong.items():
        file = {"name": "wrong.onnx", "mimeType": "application/octet-stream", "buffer": content}
        choose_file(page, file)
        said = page.text_content("#error") or ""
        assert said.startswith("wrong.onnx: ")
        assert message in said
        assert "\n" not in said
        assert page.locator("#write").is_disabled()
    choose_file(page, exported.onnx)
    assert page.text_content("#error") == ""
