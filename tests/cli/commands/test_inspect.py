"""`jaxrnn inspect`: the page of a given text, a sample or the validation split, and errors."""

import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def inspect(jaxrnn: Command, trained: Path):
    return lambda *args: jaxrnn("inspect", "--from", trained, *args)


def data_of(path: Path) -> dict:
    html = path.read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    return json.loads(data)


def test_the_validation_split_is_the_default_text(inspect, place: Path) -> None:
    code, out, err = inspect()
    assert (code, out) == (0, "")
    assert re.search(r"tiny\.html: [\d.]+ kB; open it in a browser", err)
    text = (place / "text.txt").read_text(encoding="utf-8")
    data = data_of(place / "tiny.html")
    assert data["text"] == text[int(len(text) * 0.9) :]
    assert data["name"] == "tiny"
    about = dict(data["about"])
    assert about["layers"] == "embedding 8, rnn 8, dense"
    assert re.fullmatch(r"\d\.\d{3} nats per character", about["surprisal"])


def test_length_limits_a_text_or_a_file(inspect, place: Path) -> None:
    assert inspect("--text", "what is the east", "--output", "page.html").code == 0
    assert data_of(place / "page.html")["text"] == "what is the east"
    assert [path.name for path in place.glob(".*")] == []
    code, _, err = inspect("--file", "text.txt", "--length", "50", "--output", "other.html")
    assert code == 0 and "reading the first 50 of" in err
    assert data_of(place / "other.html")["text"] == (place / "text.txt").read_text()[:50]


def test_standard_input_is_read(inspect, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"what is\r\nthe east")))
    assert inspect("--file", "-", "--output", "page.html").code == 0
    assert data_of(place / "page.html")["text"] == "what is\nthe east"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert "standard input is empty" in inspect("--file", "-").error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line(inspect) -> None:
    code, _, err = inspect("--text", "what", "--output", "/dev/full")
    assert code == 1
    assert err.endswith("jaxrnn: error: /dev/full: can't be written: No space left on device\n")


def test_a_sample_is_reproducible_by_rng_seed(inspect, place: Path) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        options = ("--sample", "40", "--rng-seed", seed, "--overwrite")
        assert (
            inspect(*options, "--length", "30", "--output", "page.html").code == 0
        )  # applies to given texts only
        texts.append(data_of(place / "page.html")["text"])
    assert len(texts[0]) == 40
    assert texts[0] == texts[1] != texts[2]


def test_characters_outside_the_vocabulary_are_left_out_and_named(inspect, place: Path) -> None:
    code, _, err = inspect("--text", "so\u00dft #1", "--output", "page.html")
    assert code == 0
    assert "left out, not in the vocabulary:" in err and "U+00DF" in err
    assert data_of(place / "page.html")["text"] == "sot "


def test_another_run_is_compared(inspect, trained: Path, place: Path) -> None:
    shutil.copytree(trained, place / "checkpoints/other")
    assert inspect("--text", "what is the east", "--compare", "other", "--output", "page.html").code == 0
    assert {curve["run"] for curve in data_of(place / "page.html")["curves"]} == {"tiny", "other"}


def test_runs_of_the_same_name_are_distinguished_and_a_repeated_run_is_drawn_once(
    inspect, trained: Path, place: Path
) -> None:
    shutil.copytree(trained, place / "checkpoints/tiny")
    more = ("--compare", "tiny", "--compare", trained)
    assert inspect("--text", "what is the east", *more, "--output", "page.html").code == 0
    names = {curve["run"] for curve in data_of(place / "page.html")["curves"]}
    assert names == {str(trained.resolve()), str((place / "checkpoints/tiny").resolve())}


def test_a_pattern_is_ranked_next_to_the_features(inspect, place: Path) -> None:
    options = (
        "--file",
        "text.txt",
        "--pattern",
        "ROMEO|JULIET",
        "--pattern",
        "^[A-Z]",
        "--output",
        "page.html",
    )
    assert inspect(*options).code == 0
    ranked = {each["feature"] for each in data_of(place / "page.html")["tracking"]}
    assert {"pattern ROMEO|JULIET", "pattern ^[A-Z]", "position in the line"} <= ranked


def test_values_in_fewer_shades_are_noted(inspect, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "to keep the page" not in inspect("--file", "text.txt", "--output", "a.html").err
    size = (place / "a.html").stat().st_size
    monkeypatch.setattr("jaxrnn.inspection.page._LARGEST", size - 10_000)
    code, _, err = inspect("--file", "text.txt", "--output", "b.html")
    assert (code, "to keep the page under 2 MB: ranked units 15 shades" in err) == (0, True), err
    assert (place / "b.html").stat().st_size <= size - 10_000


def test_seq_len_of_each_trained_run_is_on_the_page(inspect, trained: Path, place: Path) -> None:
    shutil.copytree(trained, place / "checkpoints/other")
    record = json.loads((place / "checkpoints/other/run.json").read_text())
    (place / "checkpoints/other/run.json").write_text(json.dumps({**record, "imported_from": "a.json"}))
    assert inspect("--text", "what is the east", "--compare", "other", "--output", "page.html").code == 0
    assert data_of(place / "page.html")["seqLens"] == {"tiny": 8}  # an imported run was trained elsewhere


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--pattern", "("), "'(' is not a regular expression"),
        (("--text", ""), "the text is empty"),
        (("--text", "\u65e5"), "no character of the text is in the vocabulary"),
        (("--text", "a", "--sample", "3"), "give --text or --sample, not both"),
        (("--file", "gone.txt"), "gone.txt: not found"),
        (("--file", "."), ".: a directory"),
        (("--sample", "0"), "is not from 1"),
        (("--length", "1"), "is not from 2"),
        (("--output", "."), "is a directory"),
        (("--output", "gone/page.html"), "gone: no such folder"),
        (("--compare", "nope"), "no such run"),
    ],
)
def test_an_error_is_one_line_and_leaves_no_page(
    inspect, place: Path, args: tuple[str, ...], why: str
) -> None:
    assert why in inspect(*args).error
    assert list(place.glob("*.html")) == []


def test_a_missing_corpus_is_refused_with_the_options_to_give_a_text(
    jaxrnn: Command, trained: Path, place: Path
) -> None:
    shutil.copytree(trained, place / "moved")
    record = json.loads((place / "moved/run.json").read_text())
    (place / "moved/run.json").write_text(json.dumps({**record, "corpus_path": str(place / "gone.txt")}))
    (place / "text.txt").unlink()
    assert "--text, --file or --sample" in jaxrnn("inspect", "--from", "./moved").error
