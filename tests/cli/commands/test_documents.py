"""A corpus of documents: the separator of the config in every command."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from jaxrnn.runs.directory import read_config, read_vocabulary, write_config
from jaxrnn.runs.loading import load
from jaxrnn_cli import app
from tests.cli.conftest import Command, write_files

pytestmark = pytest.mark.usefixtures("place")

SEPARATED = ("--set", 'corpus.separator="\\n"')
SHORT = ("--quiet", "--set", "train.steps=2", "--set", "train.seq_len=8", "--set", "train.batch_size=2")


def write_names(folder: Path) -> None:
    syllables = ["em", "ma", "o", "li", "via", "a", "va", "mi", "a"]
    rng = random.Random(0)
    names = ("".join(rng.choices(syllables, k=rng.randint(2, 3))) for _ in range(300))
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


@pytest.fixture(scope="session")
def run_of_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An RNN run on a list of names, whose state is reset at every newline."""
    folder = tmp_path_factory.mktemp("names")
    write_files(folder)
    write_names(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = [
            "--set",
            "corpus.text=names.txt",
            "--set",
            "train.steps=60",
            "--set",
            "train.learning_rate=0.05",
        ]
        assert app.run(["pretrain", "tiny.toml", "--to", "names", "--quiet", *settings, *SEPARATED]) == 0
    return folder / "checkpoints" / "names"


@pytest.fixture
def names(run_of_names: Path, place: Path) -> Path:
    write_names(place)
    return Path(shutil.copytree(run_of_names, "checkpoints/names"))


def forgets(jaxrnn: Command, run: Path | str) -> bool:
    """Return whether the sample after a newline is independent of the text before it."""
    after = []
    for seed in ("\n", "emma\n", "olivia\nav\n"):
        result = jaxrnn("sample", "--from", run, "--seed", seed, "--length", "80", "--rng-seed", "1")
        assert result.code == 0 and result.out.startswith(seed)
        after.append(result.out[len(seed) :])
    return len(set(after)) == 1


def test_every_command_resets_the_state_at_the_separator(jaxrnn, names: Path) -> None:
    assert read_config(names).corpus.separator == "\n"
    assert load(names).vocabulary.separator_id == 0
    assert forgets(jaxrnn, names)
    written = jaxrnn("sample", "--from", names, "--length", "400", "--rng-seed", "1").out.split("\n")
    assert len(written) > 20
    assert max(map(len, written)) < 20

    def bits() -> list[float]:
        result = jaxrnn("evaluate", "--from", names, "--json", "--protocol", "stateful")
        assert result.code == 0, result.err
        (record,) = json.loads(result.out)["runs"]
        return [protocol["bits_per_token"] for protocol in record["protocols"].values()]

    with_separator = bits()
    assert jaxrnn("inspect", "--from", names, "--length", "60").code == 0

    # The same weights without the separator give a different result.
    config = read_config(names)
    write_config(names, replace(config, corpus=replace(config.corpus, separator="")))
    assert not forgets(jaxrnn, names)
    assert all(a != b for a, b in zip(bits(), with_separator, strict=True))


def test_finetune_looks_up_the_separator_in_its_own_vocabulary(jaxrnn, names: Path) -> None:
    Path("more.txt").write_text("\tJohn\n\tMary\n" * 30, encoding="utf-8")
    finetune = ("finetune", "--from", names, "--corpus", "more.txt", *SHORT)
    assert jaxrnn(*finetune, "--to", "more").code == 0
    assert read_config(Path("checkpoints/more")).corpus.separator == "\n"
    assert read_vocabulary(Path("checkpoints/more")).separator_id == 1
    assert forgets(jaxrnn, "more")
    error = jaxrnn(*finetune, "--to", "other", "--set", "corpus.separator=#").error
    assert "the vocabulary lacks it" in error
    drop = ("--on-unknown", "drop", "--set", "corpus.separator=J", "--quiet")
    error = jaxrnn(*finetune, "--to", "other", *drop).error
    assert "the vocabulary lacks it" in error
    assert "--on-unknown extend adds new characters" in error
    assert not Path("checkpoints/other").exists()


def test_resume_refuses_another_separator(jaxrnn, names: Path) -> None:
    go_on = ("pretrain", "tiny.toml", "--to", "names", "--resume", "--set", "corpus.text=names.txt",
             "--set", "train.learning_rate=0.05")  # fmt: skip
    before = (names / "config.toml").read_bytes()
    for other in ((), ("--set", "corpus.separator=a")):
        error = jaxrnn(*go_on, "--set", "train.steps=60", *other).error
        assert "can't be resumed with another corpus.separator" in error
        assert '"\\n"' in error
    assert jaxrnn(*go_on, "--set", "train.steps=60", *SEPARATED).code == 0
    assert (names / "config.toml").read_bytes() == before
    assert jaxrnn(*go_on, "--set", "train.steps=64", *SEPARATED).code == 0
    assert read_config(names).train.steps == 64
    assert forgets(jaxrnn, names)


def test_an_invalid_separator_is_refused_before_anything_is_written(refused) -> None:
    assert "the vocabulary lacks it" in refused("tiny.toml", "--set", "corpus.separator=#")
    assert "must be one token" in refused("tiny.toml", "--set", "corpus.separator=\n\n")
    assert "double quotes" in refused("tiny.toml", "--set", r"corpus.separator=\n")
    assert "the vocabulary lacks it" in refused("tiny.toml", "--dry-run", "--set", "corpus.separator=#")


def test_dry_run_with_documents(jaxrnn) -> None:
    result = jaxrnn("pretrain", "tiny.toml", "--dry-run", *SEPARATED)
    assert result.code == 0
    assert "memory:" in result.out
