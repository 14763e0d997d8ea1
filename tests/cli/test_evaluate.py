"""`jaxrnn evaluate`: the table, the JSON, the CSV, and what is refused."""

import csv
import json
import math
import re
import shutil
from pathlib import Path

import pytest

from jaxrnn.run_directory import read_vocabulary
from jaxrnn.saved_steps import find_step

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def report(jaxrnn, trained: Path):
    """What `--json` says of the trained run."""

    def run(*args: str | Path) -> dict:
        code, out, err = jaxrnn("evaluate", "--from", trained, "--json", *args)
        assert (code, err) == (0, "")
        (found,) = json.loads(out)["runs"]
        return found

    return run


def test_what_was_held_out_is_scored_under_two_protocols_and_both_are_named(jaxrnn, trained: Path) -> None:
    code, out, err = jaxrnn("evaluate", "--from", trained)
    assert (code, err) == (0, "")
    head, stateful, windows = out.splitlines()
    assert "nats/char" in head and "bits/byte" in head
    assert "stateful" in stateful and "windows 256" in windows
    assert "text.txt, held out" in stateful


def test_stateful_is_the_loss_that_training_reported(report, trained: Path) -> None:
    found = report("--protocol", "stateful")
    best = find_step(trained, "best")
    assert found["step"] == best.step
    assert found["part"] == "held out"
    assert found["results"][0]["nats_per_character"] == pytest.approx(best.val_loss, rel=1e-4)


def test_bits_are_nats_over_log_2_and_bytes_are_counted(report, place: Path) -> None:
    (place / "same.txt").write_text("ROMEO:\nlight\n" * 20)
    found = report("--corpus", "same.txt", "--protocol", "windows", "--window", "7")
    (result,) = found["results"]
    assert (result["protocol"], result["window"]) == ("windows", 7)
    assert result["bits_per_character"] == pytest.approx(result["nats_per_character"] / math.log(2))
    assert result["bits_per_byte"] == pytest.approx(result["bits_per_character"])  # all of it ASCII
    assert found["characters_scored"] == found["bytes_scored"] == 13 * 20 - 1
    assert found["unseen"] == {}


def test_characters_that_the_model_does_not_know_are_counted_and_named(
    jaxrnn, report, trained: Path, place: Path
) -> None:
    (place / "other.txt").write_text("ROMEO:\nlight\n" * 20 + "éé€")
    found = report("--corpus", "other.txt", "--protocol", "stateful")
    assert found["unseen"] == {"é": 2, "€": 1}
    assert found["characters_scored"] == 13 * 20 - 1
    out = jaxrnn("evaluate", "--from", trained, "--corpus", "other.txt").out
    assert "3 characters (1.14%) were left out" in out
    assert "é" in out and "€" in out


def test_dynamic_tunes_its_rates_or_takes_them(report) -> None:
    (tuned,) = report("--protocol", "dynamic")["results"]
    assert tuned["rate"] > 0 and tuned["decay"] > 0
    (given,) = report("--protocol", "dynamic", "--dynamic-rate", "0", "--dynamic-decay", "0.1")["results"]
    (stateful,) = report("--protocol", "stateful")["results"]
    assert given["nats_per_character"] == pytest.approx(stateful["nats_per_character"], rel=1e-4)


def test_every_character_has_a_row(jaxrnn, trained: Path, place: Path) -> None:
    text = 'ROMEO:\n"light,"\n' * 3
    (place / "quoted.txt").write_text(text)
    known = set(read_vocabulary(trained).characters)
    text = "".join(c for c in text if c in known)
    arguments = ["--corpus", "quoted.txt", "--protocol", "stateful", "--per-character", "rows.csv", "--json"]
    code, out, _ = jaxrnn("evaluate", "--from", trained, *arguments)
    assert code == 0
    with (place / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["position"]) for row in rows] == list(range(1, len(text)))
    assert "".join(row["character"] for row in rows) == text[1:]
    assert all(1 <= int(row["rank"]) <= len(known) for row in rows)
    mean = sum(float(row["nats"]) for row in rows) / len(rows)
    (result,) = json.loads(out)["runs"][0]["results"]
    assert mean == pytest.approx(result["nats_per_character"], rel=1e-4)


def test_runs_are_compared_in_one_table(jaxrnn, trained: Path, place: Path) -> None:
    (place / "copy").symlink_to(trained, target_is_directory=True)
    code, out, _ = jaxrnn("evaluate", "--protocol", "stateful", "--compare", trained, "./copy")
    assert code == 0
    _, one, two = out.splitlines()
    assert one.split()[-5:] == two.split()[-5:]
    assert two.startswith(("copy", "./copy"))


def test_what_the_model_writes_is_looked_for_in_what_it_learned_from(report) -> None:
    found = report("--protocol", "stateful", "--memorisation")["memorisation"]
    assert found["characters_written"] == 20_000
    for what in ("written", "scored"):
        shares = found[what]["shares"]
        assert 1 >= shares["16"] >= shares["32"] >= shares["64"] >= 0
        assert len(found[what]["longest"]) == found[what]["longest_length"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--protocol", "windowed"], "none of stateful, windows, dynamic and all; did you mean windows?"),
        (["--window", "0"], "0 is not from 1"),
        (["--corpus", "nowhere.txt"], "nowhere.txt"),
        (["--corpus", "empty.txt"], "empty"),
        (["--corpus", "one.txt"], "one.txt has only 1 character"),
        (["--corpus", "foreign.txt"], "there is nothing to predict: too few known characters"),
        (["--dynamic-rate", "0.1"], "give both"),
        (["--per-character", "no/such/rows.csv"], "there is no folder no/such"),
        (["--compare", "nothing"], "nothing"),
    ],
)
def test_mistakes_are_one_line(jaxrnn, trained: Path, place: Path, arguments: list[str], words: str) -> None:
    (place / "empty.txt").write_text("")
    (place / "one.txt").write_text("R")
    (place / "foreign.txt").write_text("R" + "é" * 20)
    assert words in jaxrnn("evaluate", "--from", trained, *arguments).error


def test_without_the_text_of_the_run_another_one_is_asked_for(jaxrnn, trained: Path, place: Path) -> None:
    shutil.copytree(trained, place / "moved")
    record = json.loads((place / "moved/run.json").read_text())
    record["corpus_path"] = str(place / "gone.txt")
    (place / "moved/run.json").write_text(json.dumps(record))
    config = (place / "moved/config.toml").read_text()
    (place / "moved/config.toml").write_text(re.sub("(?m)^text = .*", 'text = "gone.txt"', config))
    assert "or score another text with --corpus TEXT" in jaxrnn("evaluate", "--from", "./moved").error
