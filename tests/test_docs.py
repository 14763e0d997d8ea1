"""The documentation: links, quoted messages, options and commands exist, and its programs run."""

import ast
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from jaxrnn.config import Config
from jaxrnn.config.flat import flatten
from jaxrnn.config.other_names import OTHER_NAMES
from jaxrnn.reference.dense import DenseParams, dense_backward, dense_forward
from jaxrnn.reference.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from jaxrnn.reference.rnn import RNNCarry, RNNParams, rnn_backward, rnn_forward
from jaxrnn_cli import app

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *ROOT.glob("docs/tutorials/*.md"),
        *ROOT.glob("*/README.md"),
    ]
)
MATHS = ROOT / "docs" / "maths.md"
SOURCES = sorted((ROOT / "jaxrnn").rglob("*.py"))


class Link(NamedTuple):
    text: str
    path: str
    anchor: str


def links(markdown: str) -> list[Link]:
    """Every link within the repository."""
    markdown = re.sub(
        r"^```.*?^```$", "", markdown, flags=re.DOTALL | re.MULTILINE
    )  # because code has brackets
    found = re.findall(r"\[([^\]]+)\]\(([^)#\s]*)#?([^)\s]*)\)", markdown)
    return [Link(*parts) for parts in found if "://" not in parts[1]]


def anchors(markdown: str) -> set[str]:
    """The anchors of the headings: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", markdown, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def defined(source: Path) -> set[str]:
    return {node.name for node in ast.parse(source.read_text()).body if hasattr(node, "name")}


def leads_somewhere(document: Path, markdown: str, link: Link) -> bool:
    """Return whether the file exists, with the linked heading or function."""
    target = document.parent / link.path if link.path else document
    if not target.exists():
        return False
    if link.anchor:
        return link.anchor in anchors(markdown if target == document else target.read_text())
    function = re.fullmatch(r"`(\w+)`", link.text)
    return function is None or target.suffix != ".py" or function[1] in defined(target)


def broken(document: Path, markdown: str) -> list[Link]:
    return [link for link in links(markdown) if not leads_somewhere(document, markdown, link)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_has_a_target(document: Path) -> None:
    assert broken(document, document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "link",
    [
        "[x](../jaxrnn/nowhere.py)",
        "[`nothing`](../jaxrnn/models/stack.py)",
        "[x](#no-such-heading)",
        "[x](results.md#no-such-heading)",
    ],
)
def test_a_broken_link_is_detected(link: str) -> None:
    assert len(broken(MATHS, link)) == 1


def sections() -> dict[int, str]:
    """The numbered sections of docs/maths.md."""
    parts = re.split(r"^## (\d+)\. ", MATHS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_sections_are_numbered_in_order() -> None:
    assert list(sections()) == list(range(1, len(sections()) + 1))


@pytest.mark.parametrize("number", range(2, 11))
def test_every_layer_s_section_links_its_function_and_the_numpy_twin(number: int) -> None:
    functions = [link for link in links(sections()[number]) if re.fullmatch(r"`\w+`", link.text)]
    in_numpy = [link for link in functions if "/reference/" in link.path]
    assert in_numpy
    assert len(functions) > len(in_numpy)


# The modules of the layers and the loss, in JAX and NumPy.
LAYERS = [
    path
    for path in SOURCES
    if path.stem
    in {
        *("dense", "embedding", "rnn", "lstm", "gru", "block", "mogrifier", "dropout", "losses"),
        *("linear_scan", "min_gru", "min_lstm", "rg_lru"),
    }
]


@pytest.mark.parametrize("source", LAYERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_layer_links_back_to_its_section(source: Path) -> None:
    numbers = re.findall(r"docs/maths\.md, section (\d+)", source.read_text())
    assert numbers
    for number in numbers:
        linked = {(MATHS.parent / link.path).resolve() for link in links(sections()[int(number)])}
        assert source in linked


def test_there_are_26_layer_modules() -> None:
    assert len(LAYERS) == 26


def numbers(cell: str) -> np.ndarray:
    return np.array([float(number) for number in re.findall(r"-?\d+\.\d+", cell)])


def test_the_worked_example_agrees_with_the_numpy_twins() -> None:
    rows = re.findall(
        r"^\| \$`([^`]+)`\$ \| [^|]+ \| ([^|\n]+)(?: \| ([^|\n]+))? \|$", sections()[15], re.MULTILINE
    )
    table = {name: [numbers(cell) for cell in cells if cell] for name, *cells in rows}
    params = RNNParams(np.array([[0.5, -0.3]]), np.array([[0.2, 0.4], [-0.1, 0.3]]), np.zeros(2))
    head = DenseParams(np.array([[1, 0.5], [-0.5, 1]]), np.zeros(2))
    xs, targets = np.array([[[1.0]], [[-1.0]]]), np.array([[0], [1]])
    _, hs, residuals = rnn_forward(params, RNNCarry(np.zeros((1, 2))), xs)
    logits, of_head = dense_forward(head, hs)
    losses, of_loss = softmax_cross_entropy_forward(logits, targets)
    d_logits = softmax_cross_entropy_backward(of_loss, np.full((2, 1), 1 / 2))
    d_head, d_hs = dense_backward(head, of_head, d_logits)
    grads, d_carry, _ = rnn_backward(params, residuals, RNNCarry(np.zeros((1, 2))), d_hs)
    expected = {
        "z_t": np.arctanh(hs),
        "h_t": hs,
        "y_t": logits,
        "p_t": of_loss.probabilities,
        "\\ell_t": losses,
        "dy_t": d_logits,
        "\\bar h_t": d_hs,
        "dw_x": grads.w_x,
        "dw_h": grads.w_h,
        "db": grads.b,
        "dw": d_head.w,
        "dh_0": d_carry.h,
    }
    # The twin does not return dz per step: dz_1 is db minus dz_2, and dz_2 depends on the output only.
    dz_2 = d_hs[1] * (1 - hs[1] ** 2)
    expected["dz_t"] = np.stack([grads.b - dz_2, dz_2])
    expected["dh_t"] = expected["dz_t"] / (1 - hs**2)
    assert set(table) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(np.concatenate(table[name]), values.ravel(), atol=5.1e-5, err_msg=name)
    assert f"= {losses.mean():.4f}`$ nats" in sections()[15]


def test_maths_is_fenced_so_that_it_is_rendered() -> None:
    """Blocks are fenced as `math` and inline formulas are in backquotes; a lone dollar would be shown literally."""
    text = re.sub(
        r"^```math\n.*?^```$", "", MATHS.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    assert "$" not in re.sub(r"\$`[^`$\n]+`\$", "", text)


def test_the_tutorial_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/tutorial.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert len(blocks) >= 6
    with jax.numpy_dtype_promotion("standard"):  # as in a user's session
        exec(compile("\n".join(blocks), "docs/tutorial.md", "exec"), {})
    assert "quick brown fox" in capsys.readouterr().out


def test_the_python_code_of_bytes_md_runs() -> None:
    (block,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/bytes.md").read_text(), re.DOTALL | re.MULTILINE
    )
    exec(compile(block, "docs/bytes.md", "exec"), {})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_accepted_by_the_command_line(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    shell = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in shell for line in block.splitlines()]
    for part in (part.strip() for line in lines for part in line.split("&&")):
        if part.startswith("jaxrnn ") and "--help" not in part:
            command, *args = shlex.split(part, comments=True)[1:]
            app.command.commands[command].make_context(command, args)


GUIDES = [ROOT / "docs" / name for name in ("faq.md", "coming_from.md")]


def spans(document: Path) -> list[str]:
    """The texts in backquotes, and the lines of text blocks, which quote messages."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [
        *re.findall(r"`([^`]+)`", re.sub(r"\s+", " ", prose)),
        *(line for block in blocks for line in block.splitlines()),
    ]


def is_message(span: str) -> bool:
    return "..." in span or "; " in span


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_options_and_keys_in_the_guides_exist(guide: Path) -> None:
    options = {
        name
        for command in (app.command, *app.command.commands.values())
        for parameter in command.params
        for name in parameter.opts
    }
    keys = {*flatten(Config()), "model.layers"}
    names = re.findall(r"(?<![\w-])--[a-z][\w-]*", text := "\n".join(spans(guide)))
    dotted = re.findall(r"(?<![\w.])(?:corpus|model|train|sample|log)\.(?!py|lua)\w+", text)
    assert names
    assert dotted
    assert set(names) - options == set()
    assert set(dotted) - keys == set()


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_messages_quoted_in_the_guides_exist(guide: Path) -> None:
    sources = [*SOURCES, *(ROOT / "cli").rglob("*.py")]
    nodes = (node for source in sources for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))))
    strings = "\n".join(str(node.value) for node in nodes if isinstance(node, ast.Constant))
    quoted = [
        part.strip() for span in spans(guide) if is_message(span) for part in re.split(r"\.\.\.|[;:] ", span)
    ]
    assert any(quoted)
    assert [part for part in quoted if part not in strings] == []


def test_the_table_of_other_tools_agrees_with_the_messages_about_their_names() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", GUIDES[1].read_text(encoding="utf-8"), re.MULTILINE)
    known = [
        (name, OTHER_NAMES[name], ours)
        for theirs, ours in rows
        for name in re.findall(r"`-?(\w+)`", theirs)
        if name in OTHER_NAMES
    ]
    assert len(known) > 20
    for name, message, ours in known:
        assert any(key in ours for key in re.findall(r"\w+\.[\w.]+", message)), f"{name}: {message}"


def test_the_design_lists_the_packages_as_contributing_does() -> None:
    design, contributing = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("docs/design.md", "CONTRIBUTING.md")
    )
    cells = re.findall(r"^\| (`\w+/`.*?) \|", design, re.MULTILINE)
    packages = re.findall(r"^  (\w+)/", contributing, re.MULTILINE)
    assert re.findall(r"`(\w+)/`", "\n".join(cells)) == packages != []


def test_figures_are_small() -> None:
    pictures = list((ROOT / "docs" / "pictures").iterdir())
    assert pictures
    assert {path.name for path in pictures if path.stat().st_size > 300_000} == set()
