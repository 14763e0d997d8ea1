"""The running average of the parameters, and the parameters to use."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.config import TrainConfig
from jaxrnn.training.averaging import averaged, init_average, update_average

EMA = TrainConfig(ema_decay=0.9)
POINTS = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)


def walk(config: TrainConfig, average: Any, points: np.ndarray) -> Any:
    for point in points:
        average = update_average(config, average, {"w": jnp.asarray(point)})
    return average


def begin(config: TrainConfig) -> Any:
    return init_average(config, {"w": jnp.full(3, 7.0)})


def test_without_averaging_the_parameters_are_used() -> None:
    config = TrainConfig()
    assert begin(config) == ()
    assert update_average(config, (), {"w": 1}) == ()
    assert averaged({"w": 1}, ()) == {"w": 1}


def test_before_the_first_update_the_average_equals_the_parameters() -> None:
    np.testing.assert_array_equal(averaged(None, begin(EMA))["w"], 7.0)


def test_the_decay_of_the_average_has_a_warm_up() -> None:
    average = walk(EMA, begin(EMA), POINTS)
    expected = np.full(3, 7.0)
    for n, point in enumerate(POINTS):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * point
    np.testing.assert_allclose(averaged(None, average)["w"], expected, rtol=1e-5)
    assert int(average.updates) == 200
    on = walk(EMA, average, np.zeros((1, 3), np.float32))
    np.testing.assert_allclose(on.params["w"], 0.9 * expected, rtol=1e-5)


def test_a_young_average_does_not_depend_on_the_initial_parameters() -> None:
    config = TrainConfig(ema_decay=0.999)
    average = walk(config, begin(config), np.zeros((20, 3), np.float32))
    assert (
        abs(float(averaged(None, average)["w"][0])) < 1e-3
    )  # without warm-up it would be 7 * 0.999^20 = 6.86
