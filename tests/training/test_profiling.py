"""A profile of a few training steps."""

from pathlib import Path

import pytest

from jaxrnn.errors import SaveError
from jaxrnn.training.loop import Progress
from jaxrnn.training.profiling import prepare_profile
from jaxrnn.workflows import pretrain

SMALL = {"train.steps": 30, "train.batch_size": 2, "train.seq_len": 8, "model.layers.1.size": 8}


def test_it_names_the_layers_and_contains_a_few_steps_after_compilation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("to be or not to be, " * 50)
    dispatched = [0]
    run = pretrain(
        "shakespeare",
        {"corpus.text": "text.txt", "train.log_every": 0, **SMALL},
        profile=tmp_path / "profile",
        on_event=lambda event: dispatched.append(event.step) if isinstance(event, Progress) else None,
    )
    assert run.step == 30
    assert dispatched[:3] == [0, 1, 11]  # one step, which compiles; ten, in the profile; then the others
    (profile,) = (tmp_path / "profile").rglob("*.xplane.pb")
    assert b"1_lstm" in profile.read_bytes()


def test_a_folder_that_cant_be_created_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match=r"file/below: no profile can be written there: Not a directory$"):
        prepare_profile(tmp_path / "file" / "below")
