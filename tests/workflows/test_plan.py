"""What a training would be, before it is."""

from types import SimpleNamespace

import numpy as np
import pytest

from jaxrnn.config import Config, DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig, TrainConfig
from jaxrnn_cli.plan import estimate_memory

pytestmark = pytest.mark.usefixtures("place")


@pytest.mark.parametrize(("layers", "size", "gigabytes"), [(1, 2327, 1), (2, 4824, 8), (1, 22_182, 80)])
def test_the_widest_model_by_the_formula_of_the_docs_is_what_is_estimated(
    layers: int, size: int, gigabytes: float
) -> None:
    """docs/scale.md, the widest model."""
    model = ModelConfig(
        layers=(EmbeddingConfig(size=size), *[LSTMConfig(size=size)] * layers, DenseConfig())  # type: ignore[arg-type]
    )
    nothing = np.zeros(0, np.uint8)
    data = SimpleNamespace(vocabulary=SimpleNamespace(size=65), train_ids=nothing, val_ids=nothing)
    config = Config(model=model, train=TrainConfig(batch_size=32, seq_len=64))
    estimated = estimate_memory(config, data)  # type: ignore[arg-type]
    parameters = 8 * layers * size**2
    assert 4 * (5 * parameters + 7 * layers * size * 32 * 64) == pytest.approx(gigabytes * 1e9, rel=0.001)
    assert estimated.total == pytest.approx(gigabytes * 1e9, rel=0.011)
    twice = Config(model=model, train=TrainConfig(batch_size=32, seq_len=64, accumulate_steps=2))
    more = estimate_memory(twice, data).total - estimated.total  # type: ignore[arg-type]
    assert more == 4 * estimated.parameters


def test_a_plan_counts_all_batches_of_a_step(jaxrnn) -> None:
    once, thrice = (
        dict(
            line.split(":", 1)
            for line in jaxrnn(
                "pretrain", "tiny.toml", "--dry-run", "--set", f"train.accumulate_steps={n}"
            ).out.splitlines()
        )
        for n in (1, 3)
    )
    assert once["steps"].strip() == "20 of 32 characters (4 x 8)"
    assert thrice["steps"].strip() == "20 of 96 characters (3 batches of 4 x 8)"
    assert float(thrice["epochs"].split(",")[0]) == pytest.approx(
        3 * float(once["epochs"].split(",")[0]), abs=0.02
    )
