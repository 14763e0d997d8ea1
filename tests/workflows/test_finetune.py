"""`jaxrnn.finetune`."""

from pathlib import Path

import numpy as np
import pytest

import jaxrnn
from jaxrnn.config import Overrides
from jaxrnn.errors import CheckpointError, VocabularyError
from jaxrnn.workflows import open_finetuning
from tests.workflows.test_pretrain import SMALL

GENTLE = {"train.steps": 8, "train.batch_size": 2, "train.seq_len": 8, "train.eval_every": 4}


@pytest.fixture
def source(corpus: str) -> str:
    assert corpus
    Path("other.txt").write_text("être ou ne pas être\n" * 40, encoding="utf-8")
    jaxrnn.pretrain("shakespeare", SMALL, to="runs/mine")
    return "runs/mine"


def test_new_characters_get_rows_and_the_initial_loss_is_recorded(source: str) -> None:
    run = jaxrnn.finetune(source, "other.txt", GENTLE)
    assert "ê" in run.vocabulary.characters and "q" in run.vocabulary.characters
    steps, losses = run.curve("val_loss")
    assert steps.tolist() == [0, 4, 8]
    assert losses[2] < losses[0]
    assert run.config.model.layers == jaxrnn.load(source).config.layers
    on_disk = jaxrnn.finetune(source, Path("other.txt"), GENTLE, to="runs/other")
    np.testing.assert_array_equal(on_disk.metrics["val_loss"], run.metrics["val_loss"])
    assert jaxrnn.load("runs/other").vocabulary == run.vocabulary


def test_a_run_is_named_by_what_pretrain_returned_if_it_has_a_directory(source: str) -> None:
    run = jaxrnn.finetune(source, "other.txt", GENTLE, to="runs/other")
    again = jaxrnn.finetune(run, "my.txt", GENTLE)
    assert again.vocabulary == run.vocabulary
    with pytest.raises(CheckpointError, match="a run in memory can't be fine-tuned"):
        jaxrnn.finetune(again, "my.txt", GENTLE)


def test_fine_tuning_in_memory_without_improvement_keeps_the_initial_model(source: str) -> None:
    run = jaxrnn.finetune(source, "my.txt", {**GENTLE, "train.learning_rate": 5.0})
    assert np.nanargmin(run.metrics["val_loss"]) == 0
    best, begun = run.model("best"), jaxrnn.load(source)
    np.testing.assert_array_equal(best.params[1].w_h, begun.params[1].w_h)
    assert not np.array_equal(run.model("last").params[1].w_h, begun.params[1].w_h)


def test_unknown_characters_may_be_refused_or_dropped(source: str) -> None:
    with pytest.raises(VocabularyError, match="does not know 'ê'"):
        jaxrnn.finetune(source, "other.txt", GENTLE, on_unknown="error")
    run = jaxrnn.finetune(source, "other.txt", GENTLE, on_unknown="drop")
    assert run.vocabulary == jaxrnn.load(source).vocabulary


def test_a_run_is_not_fine_tuned_into_itself(source: str) -> None:
    with pytest.raises(CheckpointError, match="is the run to fine-tune"):
        jaxrnn.finetune(source, "other.txt", to=source, overwrite=True)


def test_one_or_several_corpora_with_either_form_of_overrides(source: str) -> None:
    several = ("a, b.txt", '"c".txt')
    overrides: Overrides
    for overrides in ({}, []):
        assert open_finetuning(source, Path("my.txt"), overrides).config.corpus.text == "my.txt"
        assert open_finetuning(source, several, overrides).config.corpus.text == several
