"""Running averages: what they are the mean of, when two tails change places, and which parameters are to be used."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import TrainConfig
from jaxrnn.training.averaging import Average, TwoTailed, averaged, init_average, switch_tails, update_average

EMA = TrainConfig(ema_decay=0.9)
TWO_TAILED = TrainConfig(two_tailed=True)
POINTS = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)


def walk(config: TrainConfig, average: Any, points: np.ndarray) -> Any:
    for point in points:
        average = update_average(config, average, {"w": jnp.asarray(point)})
    return average


def begin(config: TrainConfig) -> Any:
    return init_average(config, {"w": jnp.full(3, 7.0)})


def make_tail(value: float, count: int) -> Average:
    return Average(jnp.float32(value), jnp.int32(count))


def test_without_averaging_there_is_nothing_to_save_and_the_parameters_are_used() -> None:
    config = TrainConfig()
    assert begin(config) == ()
    assert update_average(config, (), {"w": 1}) == ()
    assert averaged({"w": 1}, ()) == {"w": 1}


@pytest.mark.parametrize("config", [EMA, TWO_TAILED])
def test_before_the_first_update_the_average_is_the_parameters(config: TrainConfig) -> None:
    average = begin(config)
    np.testing.assert_array_equal(averaged(None, average)["w"], 7.0)


def test_the_exponential_average_forgets_by_its_decay_once_that_is_warm() -> None:
    average = walk(EMA, begin(EMA), POINTS)
    expected = np.full(3, 7.0)
    for n, point in enumerate(POINTS):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * point
    np.testing.assert_allclose(averaged(None, average)["w"], expected, rtol=1e-5)
    assert int(average.updates) == 200
    on = walk(EMA, average, np.zeros((1, 3), np.float32))
    np.testing.assert_allclose(on.params["w"], 0.9 * expected, rtol=1e-5)


def test_a_young_average_has_forgotten_where_it_began() -> None:
    config = TrainConfig(ema_decay=0.999)
    average = walk(config, begin(config), np.zeros((20, 3), np.float32))
    assert abs(float(averaged(None, average)["w"][0])) < 1e-3  # uncorrected it would be 7 * 0.999^20 = 6.86


def test_both_tails_are_plain_means_since_they_began() -> None:
    average = walk(TWO_TAILED, begin(TWO_TAILED), POINTS[:50])
    average, loss = switch_tails(average, 1.0, 1.0)
    assert loss == 1.0
    average = walk(TWO_TAILED, average, POINTS[50:])
    np.testing.assert_allclose(average.long.params["w"], POINTS.mean(0), atol=1e-6)
    np.testing.assert_allclose(average.short.params["w"], POINTS[50:].mean(0), atol=1e-6)
    assert (int(average.long.updates), int(average.short.updates)) == (200, 150)
    assert averaged(None, average) is average.long.params


@pytest.mark.parametrize(
    ("long_loss", "short_loss", "is_switched"),
    [(2.0, 1.0, True), (1.0, 1.0, True), (1.0, 2.0, False), (1.0, math.nan, False), (math.nan, 1.0, False)],
)
def test_the_short_tail_becomes_the_long_one_where_it_is_no_worse(
    long_loss: float, short_loss: float, is_switched: bool
) -> None:
    before = TwoTailed(long=make_tail(3.0, 40), short=make_tail(4.0, 10))
    after, loss = switch_tails(before, long_loss, short_loss)
    if is_switched:
        assert loss == short_loss
        assert after.long == before.short
        assert int(after.short.updates) == 0
    else:
        np.testing.assert_equal(loss, long_loss)
        assert after == before


def test_a_short_tail_of_nothing_is_no_candidate() -> None:
    before = TwoTailed(long=make_tail(3.0, 40), short=make_tail(3.0, 0))
    assert switch_tails(before, 1.0, 0.5) == (before, 1.0)
