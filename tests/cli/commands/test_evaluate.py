"""`jaxrnn evaluate`: table, JSON, CSV and errors."""

import csv
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxrnn.runs import checkpoint
from jaxrnn.runs.directory import read_config, write_config
from jaxrnn.runs.saved_steps import find_step
from jaxrnn.workflows import evaluation

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def evaluate(jaxrnn, trained: Path):
    return lambda *args: jaxrnn("evaluate", "--from", trained, *args)


@pytest.fixture
def report(evaluate):
    """The output of `--json` for the trained run."""

    def run(*args: str | Path) -> dict:
        code, out, err = evaluate("--json", *args)
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert found["same_text"] is True
        (record,) = found["runs"]
        return record

    return run


@pytest.fixture
def moved(trained: Path, place: Path) -> str:
    """The trained run in a folder without its corpus."""
    shutil.copytree(trained, place / "moved")
    record = json.loads((place / "moved/run.json").read_text())
    record["corpus_path"] = str(place / "gone.txt")
    (place / "moved/run.json").write_text(json.dumps(record))
    config = read_config(place / "moved")
    write_config(place / "moved", replace(config, corpus=replace(config.corpus, text="gone.txt")))
    return "./moved"


def held_out(place: Path) -> str:
    text = (place / "text.txt").read_text(encoding="utf-8")
    return text[int(len(text) * 0.9) :]


# The scored text.


def test_the_validation_split_is_scored_under_two_named_protocols(evaluate, place: Path) -> None:
    code, out, err = evaluate()
    assert (code, err) == (0, "")
    run, text, head, stateful, windows = out.splitlines()
    assert re.search(r"tiny: step \d+, [\d,]+ parameters", run)
    assert text == f"text.txt, validation: {len(held_out(place)) - 1} characters scored"
    assert head.split()[0] == "protocol" and "nats/char" in head and "bits/byte" in head
    assert stateful.startswith("stateful ") and windows.startswith("windows 256 ")


def test_the_stateful_loss_equals_the_validation_loss_of_training(report, trained: Path, place: Path) -> None:
    found = report("--protocol", "stateful")
    best = find_step(trained, "best")
    assert found["step"] == best.step
    assert found["text"]["part"] == "validation"
    assert found["text"]["scored_tokens"] == len(held_out(place)) - 1
    assert list(found["protocols"]) == ["stateful"]
    assert found["protocols"]["stateful"]["nll"] == pytest.approx(best.val_loss, rel=1e-5)


def test_split_test_scores_the_test_split(evaluate, jaxrnn) -> None:
    assert "holds out 0 characters of text.txt for test" in evaluate("--split", "test").error
    assert "'train' is not one of validation, test" in evaluate("--split", "train").error
    splits = ("--set", "corpus.test_fraction=0.2", "--set", "train.steps=1", "--to", "split")
    assert jaxrnn("pretrain", "tiny.toml", *splits).code == 0
    code, out, _ = jaxrnn("evaluate", "--from", "split", "--split", "test")
    assert code == 0
    assert out.splitlines()[1].startswith("text.txt, test: ")


def test_another_corpus_is_scored_completely_in_every_unit(report, place: Path) -> None:
    (place / "other.txt").write_text("ROMEO:\nlight\n" * 20)
    found = report("--corpus", "other.txt", "--protocol", "windows", "--window", "7")
    text, windows = found["text"], found["protocols"]["windows"]
    assert (text["corpus"], text["part"]) == ("other.txt", "whole")
    assert text["scored_tokens"] == text["scored_bytes"] == 13 * 20 - 1
    assert windows["window"] == 7
    assert windows["bits_per_byte"] == pytest.approx(windows["nll"] / math.log(2))
    assert (text["unseen"], text["unseen_tokens"]) == ({}, 0)


def test_only_the_validation_split_of_the_runs_own_corpus_is_scored_even_if_moved(
    jaxrnn, moved, place, report
) -> None:
    (place / "text.txt").rename(place / "elsewhere.txt")
    stateful = ("--protocol", "stateful", "--json")
    code, out, err = jaxrnn("evaluate", "--from", moved, "--corpus", "elsewhere.txt", *stateful)
    assert (code, err) == (0, "")
    (place / "elsewhere.txt").rename(place / "text.txt")
    (record,) = json.loads(out)["runs"]
    assert record["text"]["part"] == "validation"
    assert record["protocols"] == report("--protocol", "stateful")["protocols"]


def test_a_missing_corpus_is_refused_with_the_option_to_give_it(jaxrnn, moved: str) -> None:
    error = jaxrnn("evaluate", "--from", moved).error
    assert "gone.txt" in error and "--corpus TEXT" in error


def test_characters_outside_the_vocabulary_are_counted_and_named(evaluate, report, place: Path) -> None:
    (place / "other.txt").write_text("ROMEO:\nlight\n" * 20 + "éé€", encoding="utf-8")
    text = report("--corpus", "other.txt", "--protocol", "stateful")["text"]
    assert text["unseen"] == {"é": 2, "€": 1}
    assert text["unseen_tokens"] == 3
    assert text["unseen_share"] == pytest.approx(3 / 263)
    assert text["scored_tokens"] == 13 * 20 - 1
    last = evaluate("--corpus", "other.txt").out.splitlines()[-1]
    assert last == (
        "3 characters were left out (1.14%), not in the vocabulary: 'é' (U+00E9) 2, '€' (U+20AC) 1"
    )


# Protocols.


def test_protocols_are_reported_once_in_the_order_given(report) -> None:
    found = report("--protocol", "windows,stateful", "--protocol", "windows")["protocols"]
    assert list(found) == ["windows", "stateful"]


def test_dynamic_selects_and_reports_its_rates(evaluate, report) -> None:
    found = report("--protocol", "all")["protocols"]
    assert list(found) == ["stateful", "windows", "dynamic"]
    dynamic = found["dynamic"]
    best, *others = dynamic["tried"]
    assert (best["rate"], best["decay"]) == (dynamic["rate"], dynamic["decay"])
    assert all(best["nll"] <= other["nll"] for other in others)
    assert dynamic["rates_from"] == "the end of the training text"
    out = evaluate("--protocol", "dynamic").out
    assert f"dynamic: rate {dynamic['rate']:g}, decay {dynamic['decay']:g}, from the end of the train" in out


def test_dynamic_with_given_rates(report) -> None:
    rates = ["--dynamic-rate", "0", "--dynamic-decay", "0.1", "--segment", "3"]
    found = report("--protocol", "stateful,dynamic", *rates)["protocols"]
    assert found["dynamic"]["segment"] == 3
    assert found["dynamic"]["tried"] == []
    assert found["dynamic"]["rates_from"] == "the command line"
    assert found["dynamic"]["nll"] == pytest.approx(found["stateful"]["nll"], rel=1e-4)


def test_dynamic_without_the_training_corpus_needs_rates(jaxrnn, moved: str, place: Path) -> None:
    (place / "other.txt").write_text("ROMEO:\nlight\n" * 9)
    arguments = ["evaluate", "--from", moved, "--corpus", "other.txt", "--protocol", "dynamic", "--json"]
    assert "--dynamic-rate and --dynamic-decay" in jaxrnn(*arguments).error
    code, out, _ = jaxrnn(*arguments, "--dynamic-rate", "1e-3", "--dynamic-decay", "1e-3")
    assert code == 0
    dynamic = json.loads(out)["runs"][0]["protocols"]["dynamic"]
    assert dynamic["statistics_from"] == "text that the model wrote"
    assert "training corpus" in jaxrnn(*arguments[:5], "--memorization").error


def test_diverging_dynamic_weights_are_reported(evaluate, monkeypatch) -> None:
    from jaxrnn.evaluation import dynamic

    score = dynamic.score_dynamic
    run_away = lambda *args: score(*args)._replace(nll=np.array([1, np.nan]))  # noqa: E731
    monkeypatch.setattr(dynamic, "score_dynamic", run_away)
    rates = ["--dynamic-rate", "1", "--dynamic-decay", "0"]
    code, out, err = evaluate("--protocol", "dynamic", *rates)
    assert (code, out) == (3, "")
    assert "the dynamic loss is not finite: the adapted weights diverged; try a smaller --dynamic-rate" in err


# Each character, several runs, memorization.


def test_per_character_writes_a_row_for_every_scored_character(evaluate, place: Path) -> None:
    text = "ROMEO:\nlight\nsoft\n" * 3
    (place / "other.txt").write_text(text)
    arguments = ["--corpus", "other.txt", "--protocol", "windows,stateful", "--per-character", "rows.csv"]
    code, out, _ = evaluate(*arguments, "--json")
    assert code == 0
    with (place / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert "".join(row["character"] for row in rows) == text[1:]
    windows = json.loads(out)["runs"][0]["protocols"]["windows"]  # the first protocol given
    mean = sum(float(row["nll"]) for row in rows) / len(rows)
    assert mean == pytest.approx(windows["nll"], rel=1e-5)


def test_runs_are_compared_in_one_table(jaxrnn, trained: Path, place: Path) -> None:
    (place / "copy").symlink_to(trained, target_is_directory=True)
    code, out, err = jaxrnn("evaluate", "--protocol", "stateful", "--compare", trained, "./copy", "./copy")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split()[:3] == ["run", "step", "parameters"]
    assert len(rows) == 3
    assert len({row.split("step")[-1].split(maxsplit=1)[1] for row in rows}) == 1
    assert rows[1].startswith("copy ")


def test_a_table_of_different_texts_has_a_warning(jaxrnn, trained: Path, place: Path) -> None:
    text = (place / "text.txt").read_text(encoding="utf-8")
    (place / "new.txt").write_text(text.replace("window", "fenêtre, zou"), encoding="utf-8")
    jaxrnn("pretrain", "tiny.toml", "--to", "new", "--set", "corpus.text=new.txt", "--quiet")
    compare = ["evaluate", "--from", trained, "--compare", "new", "--protocol", "stateful"]
    out = jaxrnn(*compare).out
    assert "The texts differ" in out
    code, out, _ = jaxrnn(*compare, "--json")
    found = json.loads(out)
    assert (code, found["same_text"]) == (0, False)
    assert [run["text"]["corpus"] for run in found["runs"]] == ["text.txt", "new.txt"]
    # The same text for both runs, but one vocabulary lacks some characters.
    (place / "both.txt").write_text("soft light fenêtre\n" * 9, encoding="utf-8")
    out = jaxrnn(*compare, "--corpus", "both.txt").out
    assert "The texts differ" in out
    assert f"{trained}: 9 characters were left out" in out.replace("\n", " ")


def test_memorization_searches_the_training_split(evaluate, report, place: Path) -> None:
    arguments = ["--protocol", "stateful", "--memorization", "--length", "300"]
    found = report(*arguments)["memorization"]
    text = (place / "text.txt").read_text(encoding="utf-8")
    training = text[: int(len(text) * 0.9)]
    assert found["training_tokens"] == len(training)
    assert found["sample"]["length"] == 300
    assert found["scored_text"]["length"] == min(300, len(held_out(place)))
    for part in (found["sample"], found["scored_text"]):
        assert part["longest"] in training
        assert len(part["longest"]) == part["longest_length"] > 0
    assert report(*arguments, "--rng-seed", "1")["memorization"]["sample"] != found["sample"]
    out = evaluate(*arguments).out
    assert "strings of 64 characters" in out
    assert "300 characters sampled" in out


# Errors.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--protocol", "windowed"], "not one of stateful, windows, dynamic, all; did you mean windows?"),
        (["--protocol", ""], "'' is not one of"),
        (["--window", "0"], "0 is not from 1"),
        (["--segment", "0"], "0 is not from 1"),
        (["--corpus", "nowhere.txt"], "nowhere.txt"),
        (["--corpus", "foreign.txt"], "the model knows none of its 20 characters"),
        (["--dynamic-rate", "0.1"], "give both"),
        (["--dynamic-decay", "nan", "--dynamic-rate", "0.1"], "not from 0 to 1"),
        (["--per-character", "no/such/rows.csv"], "no/such: no such folder"),
        (["--per-character", "."], "is a directory"),
        (["--per-character", "rows.csv", "--compare", "other"], "can't be combined with --compare"),
        (["--compare", "nothing"], "nothing: no such run"),
        (["nothing"], "did you mean --from nothing? Runs to compare follow --compare"),
        (["--length", "0", "--memorization"], "0 is not from 1"),
    ],
)
def test_usage_errors_are_one_line(evaluate, place: Path, arguments: list[str], words: str) -> None:
    (place / "foreign.txt").write_text("ß" * 20, encoding="utf-8")
    assert words in evaluate(*arguments).error


def test_a_missing_run_and_a_run_without_validation_split_are_refused(jaxrnn) -> None:
    assert "no run here yet" in jaxrnn("evaluate").error
    assert "nowhere: no such run" in jaxrnn("evaluate", "--from", "nowhere").error
    settings = ["--set", "corpus.validation_fraction=0", "--set", "train.steps=1"]
    jaxrnn("pretrain", "tiny.toml", "--to", "all", "--quiet", *settings)
    assert "holds out 0 characters of text.txt" in jaxrnn("evaluate", "--from", "all").error
    code, out, err = jaxrnn("evaluate", "--corpus", "text.txt", "--protocol", "stateful")
    assert code == 0
    assert "evaluating checkpoints/all, the newest run" in err
    assert "text.txt, whole" in out


def test_parameters_that_are_nan_are_one_line(evaluate, monkeypatch) -> None:
    load = checkpoint.load_params
    monkeypatch.setattr(
        evaluation, "load_params", lambda *args: jax.tree.map(lambda leaf: leaf * np.nan, load(*args))
    )
    code, out, err = evaluate()
    assert (code, out) == (3, "")
    assert "the stateful loss is not finite" in err and len(err.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line_after_the_table(evaluate) -> None:
    code, out, err = evaluate("--protocol", "stateful", "--per-character", "/dev/full")
    assert code == 1
    assert "stateful" in out
    assert err.splitlines() == ["jaxrnn: error: /dev/full: can't be written: No space left on device"]
