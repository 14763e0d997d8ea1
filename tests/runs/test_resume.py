"""Changes of the config that a resumed run accepts or refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jaxrnn.config import Config, CorpusConfig, EmbeddingConfig, LayerConfig, ModelConfig, TrainConfig
from jaxrnn.errors import ConfigError
from jaxrnn.runs.resume import check_resumable, describe_schedule

BEGUN = Config()
LAYERS = BEGUN.model.layers
RUN = Path("checkpoints/run")


def with_train(**values: Any) -> Config:
    return replace(BEGUN, train=replace(BEGUN.train, **values))


def with_layers(*layers: LayerConfig) -> Config:
    return replace(BEGUN, model=ModelConfig(layers=layers))


def test_the_same_config_has_no_changes() -> None:
    assert check_resumable(RUN, BEGUN, Config()) == []


def test_accepted_changes_are_described() -> None:
    wanted = with_train(steps=5, learning_rate=0.5)
    wanted = replace(
        wanted, sample=replace(wanted.sample, length=3), corpus=CorpusConfig(text="elsewhere.txt")
    )
    assert check_resumable(RUN, BEGUN, wanted) == [
        'corpus.text "shakespeare" -> "elsewhere.txt"',
        "train.steps 1600 -> 5",
        "train.learning_rate 0.01 -> 0.5",
        "sample.length 500 -> 3",
    ]


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        (with_train(stateful=False), "train.stateful"),
        (with_train(rng_seed=8), "train.rng_seed"),
        (with_train(optimizer="muon"), "train.optimizer"),
        (with_train(ema_decay=0.5), "train.ema_decay"),
        (replace(BEGUN, corpus=CorpusConfig(validation_fraction=0.2)), "corpus.validation_fraction"),
        (replace(BEGUN, corpus=CorpusConfig(validation="other.txt")), "corpus.validation"),
        (replace(BEGUN, corpus=CorpusConfig(test="other.txt")), "corpus.test"),
        (replace(BEGUN, corpus=CorpusConfig(test_fraction=0.2)), "corpus.test_fraction"),
        (replace(BEGUN, corpus=CorpusConfig(tokens="bytes")), "corpus.tokens"),
        (replace(BEGUN, corpus=CorpusConfig(separator="\n")), "corpus.separator"),
        (with_layers(EmbeddingConfig(size=8), *LAYERS[1:]), "model.layers[0]"),
        (with_layers(*LAYERS[:2], *LAYERS[1:]), "model.layers[2]"),
    ],
)  # fmt: skip
def test_refused_changes_are_named(wanted: Config, key: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_resumable(RUN, BEGUN, wanted)
    assert f"another {key}: " in str(error.value)
    assert "\n" not in str(error.value)
    assert str(RUN) in str(error.value)
    assert ("jaxrnn finetune --from checkpoints/run --corpus TEXT" in str(error.value)) == key.startswith(
        "train."
    )


def test_more_steps_are_described_with_the_learning_rate() -> None:
    begun = TrainConfig(steps=100, learning_rate=1.0, warmup_steps=0)
    longer = replace(begun, steps=200)
    assert describe_schedule(begun, begun, 50) is None
    told = describe_schedule(begun, longer, 100)
    assert told is not None
    assert "linear" in told
    assert "from 0 to 0.5" in told
    constant = replace(longer, schedule="constant")
    assert "does not depend" in (describe_schedule(begun, constant, 100) or "")
