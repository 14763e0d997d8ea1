"""Time-series forecasting with an LSTM: a predator-prey system of which only the prey is observed.

Hares x and lynxes y follow the equations of Lotka (1925) and Volterra (1926):

    dx/dt = x (1 - y)          dy/dt = y (x - 1)

Only the hares are counted, 4 times per unit of time, with an error of 2%. One count does not determine the next: the
same number of hares grows with few lynxes and shrinks with many. The LSTM has to infer the number of lynxes from
earlier counts. It is tested on trajectories that it was not trained on, and compared with a persistence forecast (the
next count equals the last) and with a least-squares linear model of the last 10 counts.

    python examples/unseen_predator.py

prints, after a few seconds, the relative error of each forecast, which includes the 2% error of the counts:

    persistence            21.8%
    linear, 10 counts       6.3%
    LSTM                    3.0%
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrnn import DenseParams, LSTMParams, dense, init_dense, init_lstm, lstm, lstm_carry

COUNTS, TRAJECTORIES, HIDDEN, STEPS = 40, 64, 32, 200
COUNTING_ERROR = 0.02
FIRST = 10  # counts that are read before the first scored forecast


class Params(NamedTuple):
    """Parameters of an LSTM over the counts and of the dense layer on its hidden states."""

    lstm: LSTMParams
    dense: DenseParams


def count_hares(key: jax.Array) -> jax.Array:
    """Return log counts of hares `[time, trajectory, 1]` from random initial conditions."""
    start_key, error_key = jax.random.split(key)

    def change(logs: jax.Array) -> jax.Array:
        hares, lynxes = jnp.exp(logs)
        return jnp.stack([1 - lynxes, hares - 1])  # d log x / dt, d log y / dt

    def until_next_count(logs: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        for _midpoint_step in range(5):
            logs = logs + 0.05 * change(logs + 0.025 * change(logs))
        return logs, logs[0]

    start = jax.random.uniform(start_key, (2, TRAJECTORIES), minval=-1.5, maxval=1.5)
    _, log_hares = jax.lax.scan(until_next_count, start, length=COUNTS)
    return (log_hares + COUNTING_ERROR * jax.random.normal(error_key, log_hares.shape))[..., None]


def forecast(params: Params, counts: jax.Array) -> jax.Array:
    """Return the forecast of the next log count after each log count, both `[time, trajectory, 1]`."""
    _, hs = lstm(params.lstm, lstm_carry(params.lstm, TRAJECTORIES), counts)  # hs [time, trajectory, hidden]
    return counts + dense(params.dense, hs)


def linear_forecast(past: jax.Array, counts: jax.Array) -> jax.Array:
    """Return the forecasts of a linear model of the last 10 counts, fitted to `past` by least squares."""

    def last_ten(counts: jax.Array) -> jax.Array:
        lagged = [jnp.roll(counts, lag, axis=0) for lag in range(FIRST)]
        return jnp.concatenate([*lagged, jnp.ones_like(counts)], axis=-1)

    weights, *_ = jnp.linalg.lstsq(
        last_ten(past)[FIRST - 1 : -1].reshape(-1, FIRST + 1), past[FIRST:].reshape(-1, 1)
    )
    return last_ten(counts) @ weights


def error(forecasts: jax.Array, counts: jax.Array) -> jax.Array:
    """Return the root mean square of log(forecast / count), approximately the relative error."""
    return jnp.sqrt(jnp.mean((forecasts[FIRST - 1 : -1] - counts[FIRST:]) ** 2))


def main() -> dict[str, float]:
    """Train an LSTM; print and return the error of each forecast on new trajectories."""
    lstm_key, dense_key, past_key, test_key = jax.random.split(jax.random.key(0), 4)
    params = Params(init_lstm(lstm_key, 1, HIDDEN), init_dense(dense_key, HIDDEN, 1))
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))

    @jax.jit
    def update(params: Params, state: optax.OptState, counts: jax.Array) -> tuple[Params, optax.OptState]:
        gradient = jax.grad(lambda params: error(forecast(params, counts), counts))(params)
        changes, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, changes), state

    state = optimizer.init(params)
    count = jax.jit(count_hares)
    past = [count(key) for key in jax.random.split(past_key, STEPS)]
    for counts in past:
        params, state = update(params, state, counts)

    counts = count(test_key)
    forecasts = {
        "persistence": counts,
        "linear, 10 counts": linear_forecast(past[0], counts),
        "LSTM": forecast(params, counts),
    }
    errors = {name: float(error(values, counts)) for name, values in forecasts.items()}
    for name, value in errors.items():
        print(f"{name:22}{value:6.1%}")
    return errors


if __name__ == "__main__":
    main()
