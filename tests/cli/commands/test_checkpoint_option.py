"""`--checkpoint`: the checkpoint that a command uses and reports."""

import json
import shutil
from pathlib import Path

import pytest

from jaxrnn.runs import find_step
from jaxrnn.runs.directory import read_record
from jaxrnn_cli import app
from tests.cli.conftest import arrays, write_files

WORSE = "checkpoints/worse"
LINE = f"jaxrnn: {WORSE}: the best, step 0 (validation loss "


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints at steps 0, 2, 4, 6 and 7, of which step 0 is the best."""
    folder = tmp_path_factory.mktemp("worse")
    write_files(folder)
    shutil.copytree(trained, folder / "checkpoints/tiny")
    ruin = {
        "learning_rate": 1.0,
        "max_grad_norm": 0,
        "steps": 7,
        "batch_size": 4,
        "seq_len": 8,
        "keep_every": 2,
    }
    settings = [f"--set=train.{key}={value}" for key, value in ruin.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        more = ["finetune", "--from", "tiny", "--corpus", "text.txt", "--to", "worse", "--quiet"]
        assert app.run([*more, *settings]) == 0
    return folder


@pytest.fixture(autouse=True)
def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_the_best_checkpoint_is_the_default_and_reported(jaxrnn) -> None:
    assert sorted(int(path.name) for path in Path(WORSE, "steps").iterdir()) == [0, 2, 4, 6, 7]
    assert find_step(Path(WORSE), "best").step == 0
    for command in (
        "sample --rng-seed 1",
        "evaluate",
        "export --format stablehlo --overwrite",
        "inspect --sample 9 --output /dev/null",
    ):
        _, _, err = jaxrnn(*command.split(), "--from", WORSE)
        assert err.startswith(LINE) and "; the last is step 7\n" in err, err


def test_last_and_a_step_can_be_selected(jaxrnn) -> None:
    def write(*args: str) -> str:
        return jaxrnn("sample", "--from", WORSE, "--rng-seed", "1", "--length", "40", *args).out

    texts = {which: write("--checkpoint", which) for which in ("best", "last", "0", "2", "4", "7")}
    assert texts["0"] == texts["best"] == write()
    assert texts["7"] == texts["last"]
    assert len(set(texts.values())) == 4
    assert jaxrnn("sample", "--from", WORSE, "--checkpoint", "last", "--rng-seed", "1").err == ""
    _, _, err = jaxrnn("sample", "--from", WORSE, "--checkpoint", "2", "--rng-seed", "1")
    assert err.startswith(f"jaxrnn: {WORSE}: step 2") and err.endswith("; the last is step 7\n")
    steps = {
        which: json.loads(jaxrnn("evaluate", "--from", WORSE, "--json", "--checkpoint", which).out)["runs"][
            0
        ]["step"]
        for which in ("best", "last", "4")
    }
    assert steps == {"best": 0, "last": 7, "4": 4}


def test_finetune_starts_from_any_checkpoint(jaxrnn) -> None:
    more = ("finetune", "--from", WORSE, "--corpus", "text.txt", "--to", "more", "--set", "train.steps=1")
    code, _, err = jaxrnn(*more, "--checkpoint", "4")
    assert code == 0, err
    assert read_record(Path("checkpoints/more")).history[-1].step == 4
    began, wanted = arrays(Path("checkpoints/more"), 0), arrays(Path(WORSE), 4)
    assert began["params.0.table"] == wanted["params.0.table"]
    error = jaxrnn(*more, "--checkpoint", "2", "--resume").err.splitlines()[-1]
    assert "was fine-tuned from step 4, not 2" in error


def test_a_corrupt_best_is_refused_with_a_remedy_and_a_corrupt_manifest_is_reported(
    jaxrnn, trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for file in (run / "steps/20/arrays").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    refused = jaxrnn("export", "--format", "stablehlo", "--from", run, "--output", tmp_path / "out").error
    assert "steps/20" in refused and "; step 10 is intact: --checkpoint 10 uses it" in refused
    assert jaxrnn("sample", "--from", run, "--rng-seed", "1", "--checkpoint", "10").code == 0
    (run / "steps/20/checkpoint.json").write_text("{}")
    code, _, err = jaxrnn("sample", "--from", run, "--rng-seed", "1")
    assert (code, err) == (0, f"jaxrnn: {run}: step 20 is corrupt and skipped\n")


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("5", "step 5: no such checkpoint; steps saved: 0, 2, 4, 6, 7"),
        ("bset", "'bset' is not best, last or a step; did you mean best"),
        ("-1", "'-1' is not best, last or a step"),
    ],
)
@pytest.mark.parametrize("command", ["sample", "evaluate", "inspect", "play", "export", "finetune"])
def test_a_missing_checkpoint_is_refused(jaxrnn, command: str, which: str, message: str) -> None:
    needed = {"export": ["--format", "onnx"], "finetune": ["--corpus", "text.txt"]}.get(command, [])
    assert message in jaxrnn(command, "--from", WORSE, "--checkpoint", which, *needed).error
