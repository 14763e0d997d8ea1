"""Byte tokens in every command: pretrain, resume, sample, evaluate, inspect, finetune on a binary file."""

import csv
import json
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxrnn.data.corpus import split_lengths
from jaxrnn.data.tokens import in_memory
from jaxrnn.evaluation import validation
from jaxrnn.runs.loading import load
from jaxrnn.sampling.generation import sample as draw
from jaxrnn_cli import app
from tests.cli.commands.test_inspect import data_of
from tests.cli.conftest import CONFIG, Command

RUN = Path("checkpoints/bytes")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def write_binary(folder: Path) -> None:
    """Write `noise.bin`: invalid UTF-8, both kinds of newlines, a byte order mark, and some Russian."""
    rng = random.Random(1)
    parts = [b"\xef\xbb\xbf", b"\r\n", "Мама мыла раму. ".encode(), b"\0\0\xff", bytes(range(256))]
    (folder / "noise.bin").write_bytes(b"".join(rng.choices(parts, (1, 3, 9, 3, 1), k=150)))


@pytest.fixture(scope="module")
def trained_on_bytes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory, shared by the tests that only read it."""
    folder = tmp_path_factory.mktemp("bytes")
    write_binary(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert app.run(["pretrain", write_config(folder), "--quiet"]) == 0
    return folder / RUN


def write_config(folder: Path) -> str:
    config = CONFIG.replace('"text.txt"', '"noise.bin"\ntokens = "bytes"').replace(
        "length = 30", "length = 60"
    )
    config = config.replace("sample_every = 0", "sample_every = 20\nlearning_rate = 3e-2")
    (folder / "bytes.toml").write_text(config, encoding="utf-8")
    return "bytes.toml"


@pytest.fixture
def here(place: Path, trained_on_bytes: Path) -> Path:
    """A working directory with the binary file, the config and a copy of the run."""
    write_binary(place)
    write_config(place)
    (place / "checkpoints").mkdir()
    (place / "checkpoints" / "bytes").symlink_to(trained_on_bytes)
    return place


@pytest.fixture
def raw(capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[..., bytes]:
    """The stdout of a command as bytes."""

    def run(*args: str) -> bytes:
        capsysbinary.readouterr()
        assert app.run(args) == 0
        return capsysbinary.readouterr().out

    return run


def test_the_run_records_bytes_and_its_training_samples_are_text(jaxrnn: Command, here: Path) -> None:
    size = len((here / "noise.bin").read_bytes())
    out = jaxrnn("pretrain", "bytes.toml", "--to", "other", "--dry-run").out
    assert f"vocabulary:     256 bytes\ntraining:       {split_lengths(size, 0.1)[0]:,} bytes" in out
    assert "char" not in out
    (written,) = (RUN / "samples.txt").read_text(encoding="utf-8").split("--- step 20 ---\n")[1:]
    assert not CONTROL.search(written)
    assert r"\x" in written
    assert json.loads((RUN / "vocabulary.json").read_bytes())["tokens"] == "bytes"


@pytest.mark.usefixtures("here")
def test_sample_writes_the_raw_bytes_drawn(raw) -> None:
    run = load(RUN)
    seed = b"\xd0\xff\n"
    ids = np.frombuffer(seed, np.uint8)
    blocks = list(draw(run.config, run.params, ids, num_samples=2, length=300, temperature=0.8, rng_seed=7))
    first, second = (
        row.astype(np.uint8).tobytes() for row in np.concatenate([block.ids for block in blocks], axis=1)
    )
    command = ["sample", "--from", "bytes", "--rng-seed", "7", "--length", "300", "--seed", os.fsdecode(seed)]
    assert raw(*command) == seed + first + b"\n"
    assert raw(*command, "--num-samples", "2") == seed + first + b"\n" + seed + second + b"\n"
    with pytest.raises(UnicodeDecodeError):
        first.decode()
    stop = first[130:132]  # in the second block
    assert raw(*command, "--stop", os.fsdecode(stop)) == seed + first.partition(stop)[0] + b"\n"


@pytest.mark.usefixtures("here")
def test_json_has_replacement_characters_for_bytes_that_are_not_utf_8(raw) -> None:
    seed = os.fsdecode(b"\xd0\xbc\xff")
    command = ["sample", "--from", "bytes", "--rng-seed", "7", "--length", "300", "--seed", seed]
    text = raw(*command, "--no-echo").removesuffix(b"\n")
    record = json.loads(raw(*command, "--json").decode("ascii"))
    assert (record["prompt"], record["tokens"]) == ("м\ufffd", 300)
    assert record["text"] == text.decode("utf-8", "replace")
    assert "\ufffd" in record["text"]


def test_default_prompt_and_standard_input_are_bytes(
    raw, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--from", "bytes", "--rng-seed", "7", "--length", "5")
    assert raw("sample", *options)[:1] == b"\n"
    given = b"\xef\xbb\xbf\r\n\xfe"
    (here / "seed").write_bytes(given)
    with (here / "seed").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert raw("sample", *options, "--seed", "-")[:-6] == given


@pytest.mark.usefixtures("here")
def test_colors_do_not_change_the_bytes(raw, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("sample", "--from", "bytes", "--rng-seed", "7", "--length", "200", "--seed", "é")
    plain = raw(*options)
    monkeypatch.setenv("FORCE_COLOR", "1")
    painted = raw(*options, "--show-probabilities").decode("utf-8", "surrogateescape")
    parts = painted.split("\x1b[")
    bare = parts[0] + "".join(part.partition("m")[2] for part in parts[1:])
    assert bare.encode("utf-8", "surrogateescape") == plain
    assert len(parts) > 100


def test_resume(jaxrnn: Command, here: Path, trained_on_bytes: Path) -> None:
    (here / RUN).unlink()
    shutil.copytree(trained_on_bytes, here / RUN)
    (here / "noise.bin").rename(here / "elsewhere")
    moved = ("--set", "corpus.text=elsewhere", "--set", "train.steps=30")
    resumed = jaxrnn("pretrain", "bytes.toml", "--resume", *moved)
    assert resumed.code == 0
    assert "bits/byte" in resumed.err and "char" not in resumed.err


def test_evaluate_scores_bytes(jaxrnn: Command, here: Path) -> None:
    record = json.loads(
        jaxrnn("evaluate", "--from", "bytes", "--json", "--memorization", "--length", "90").out
    )
    (run,) = record["runs"]
    assert run["text"]["tokens"] == "bytes" and "character" not in json.dumps(run)
    found = run["protocols"]["stateful"]
    data = (here / "noise.bin").read_bytes()
    assert run["text"]["scored_bytes"] == len(data) // 10
    assert found["bits_per_byte"] == pytest.approx(found["nll"] / np.log(2))
    (here / "other").write_bytes(data[:500])
    result = jaxrnn("evaluate", "--from", "bytes", "--corpus", "other", "--per-character", "rows.csv")
    assert "other, whole: 499 bytes scored" in result.out
    assert "nats/byte  bits/byte  perplexity" in result.out
    with Path("rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert bytes(int(row["byte"]) for row in rows) == data[1:500]
    mean = np.mean([float(row["nll"]) for row in rows])
    assert ["stateful", f"{mean:.4f}"] in [line.split()[:2] for line in result.out.splitlines()]


def test_inspect_with_a_byte_model_reads_any_file(jaxrnn: Command, here: Path, trained: Path) -> None:
    data = bytes(range(256)) + "</script> né\r\n".encode() + b"\xff"
    (here / "any").write_bytes(data)
    for given in (["--file", "any"], ["--text", os.fsdecode(data)], ["--sample", str(len(data))]):
        result = jaxrnn("inspect", "--from", "bytes", *given, "--output", "page.html", "--overwrite")
        assert result.code == 0
        found = data_of(here / "page.html")
        read = found["text"].encode("latin-1")
        assert read == data or (given[0] == "--sample" and len(read) == len(data))
        assert dict(found["about"])["bytes"] == f"{len(data):,}"
    assert "Point at a byte" in (here / "page.html").read_text(encoding="utf-8")
    refusal = jaxrnn("inspect", "--from", "bytes", "--compare", trained).error
    assert "tiny reads characters, bytes bytes" in refusal


def test_finetune_accepts_bytes_and_refuses_characters(jaxrnn: Command, here: Path) -> None:
    tune = ("finetune", "--from", RUN, "--corpus", "text.txt", "--to", "new")
    refusal = jaxrnn(*tune, "--set", "corpus.tokens=characters").error
    assert "the run's tokens are bytes, and its weights can't be used for characters" in refusal
    small = ("train.steps=2", "train.batch_size=4", "train.seq_len=8", "train.sample_every=0")
    done = jaxrnn(*tune, *(word for value in small for word in ("--set", value)))
    assert done.code == 0
    # Before the first step, the weights and therefore the loss are those of the run.
    (before,) = [line for line in done.err.splitlines() if "before the first step" in line]
    run, data = load(RUN), (here / "text.txt").read_bytes()
    held_out = in_memory(run.vocabulary, np.frombuffer(data, np.uint8)[split_lengths(len(data), 0.1)[0] :])
    nats = validation.evaluate(run.config, run.params, validation.segment(held_out))
    assert f"step: {nats:.4f} nats" in before
