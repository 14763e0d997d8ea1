"""The weight gradient of an LSTM's recurrence, outside of the loop over time and inside: python -m benchmarks.ablation.

Three ways to the same gradients, for one layer on one device, of inputs that are projected already:

    ours        the hand-derived backward pass: one product for dW_h after the loop
    inside      the same loop, with dW_h summed up at every step
    autodiff    JAX differentiates a `lax.scan` over the same cell

Prints the CPU time of a forward and backward pass relative to ours: medians of interleaved rounds.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.machine import describe_in_lines, describe_machine
from benchmarks.report import table
from jaxrnn.layers.lstm import (
    LSTMCarry,
    LSTMParams,
    _lstm_fwd,
    init_lstm,
    lstm_carry,
    lstm_cell,
    lstm_cell_bwd,
    lstm_recurrence,
)
from jaxrnn.layers.product import loop_product, product, weight_gradient
from jaxrnn.layers.time_loop import time_loop
from jaxrnn.types import NO_GRADIENT, Array

SHAPES = ((256, 16, 128), (192, 32, 32), (512, 64, 64))  # hidden, batch, time
Recurrence = Callable[[LSTMParams, LSTMCarry, Array], tuple[LSTMCarry, Array]]


@jax.custom_vjp
def inside(params: LSTMParams, carry: LSTMCarry, zs: Array) -> tuple[LSTMCarry, Array]:
    """Return what `lstm_recurrence` returns; its backward pass sums up dW_h in the loop."""
    return lstm_recurrence(params, carry, zs)


def _inside_fwd(params: LSTMParams, carry: LSTMCarry, zs: Array) -> Any:
    return _lstm_fwd(params, carry, zs, None, None)


def _inside_bwd(residuals: Any, cotangents: tuple[LSTMCarry, Array]) -> tuple[LSTMParams, LSTMCarry, Array]:
    w_h, h_0, _, _, (hs, gates, c_prev, tanh_cs) = residuals
    d_carry, d_hs = cotangents
    times_w_h_t = loop_product(w_h.T)
    h_prev = jnp.concatenate([h_0[None], hs])[:-1]

    def step(loop: tuple[LSTMCarry, Array], inputs: Any, _: Array) -> tuple[tuple[LSTMCarry, Array], Array]:
        d_next, d_w_h = loop
        d_h, ifgo, c_before, tanh_c, h_before = inputs
        dz, dc = lstm_cell_bwd(ifgo, c_before, tanh_c, d_h + d_next.h, d_next.c)
        return (LSTMCarry(times_w_h_t(dz), dc), d_w_h + weight_gradient(h_before, dz, w_h)), dz

    inputs = d_hs, gates, c_prev, tanh_cs, h_prev
    first = d_carry, jnp.zeros_like(w_h)
    (d_carry_0, d_w_h), dzs = time_loop(step, first, inputs, jnp.empty_like(gates), reverse=True)
    return LSTMParams(NO_GRADIENT, d_w_h, NO_GRADIENT), d_carry_0, dzs


inside.defvjp(_inside_fwd, _inside_bwd)


def autodiff(params: LSTMParams, carry: LSTMCarry, zs: Array) -> tuple[LSTMCarry, Array]:
    """Return what `lstm_recurrence` returns; JAX derives the backward pass."""

    def step(carry: LSTMCarry, z: Array) -> tuple[LSTMCarry, Array]:
        _, _, after = lstm_cell(z + product(carry.h, params.w_h), carry.c)
        return after, after.h

    return jax.lax.scan(step, carry, zs)


WAYS: dict[str, Recurrence] = {"ours": lstm_recurrence, "inside": inside, "autodiff": autodiff}


def gradients(recurrence: Recurrence, hidden: int, batch: int, length: int) -> Callable[[], Any]:
    """Return a compiled function of no arguments: the gradients by w_h, the carry and the projected inputs."""
    params = init_lstm(jax.random.key(0), hidden, hidden)
    zs = jax.random.normal(jax.random.key(1), (length, batch, 4 * hidden))

    @jax.jit
    def run(w_h: Array, carry: LSTMCarry, zs: Array) -> Any:
        def loss(w_h: Array, carry: LSTMCarry, zs: Array) -> Array:
            return (recurrence(params._replace(w_h=w_h), carry, zs)[1] ** 2).mean()

        return jax.grad(loss, (0, 1, 2))(w_h, carry, zs)

    carry = lstm_carry(params, batch)
    return lambda: jax.block_until_ready(run(params.w_h, carry, zs))  # type: ignore[no-untyped-call]


def main() -> int:
    """Measures, prints a table and returns 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--rounds", type=int, default=7, help="interleaved rounds, of which the median counts (7)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="the time that each way has in a round (1)"
    )
    options = parser.parse_args()
    print(describe_in_lines(describe_machine()), flush=True)
    lines = []
    for shape in SHAPES:
        runs = {name: gradients(way, *shape) for name, way in WAYS.items()}
        for run in runs.values():
            run()  # compiles
        relative: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(options.rounds):
            seconds = {name: _cpu_seconds(run, options.seconds) for name, run in runs.items()}
            for name in WAYS:
                relative[name].append(seconds[name] / seconds["ours"])
        lines.append(
            [str(shape), *(f"{statistics.median(relative[name]):.2f}" for name in ("inside", "autodiff"))]
        )
    title = "CPU time of a forward and backward pass, relative to ours"
    print(table(title, ["(hidden, batch, time)", "dW_h inside the loop", "autodiff"], lines))
    return 0


def _cpu_seconds(run: Callable[[], Any], at_least: float) -> float:
    """Return the CPU time of all threads for one call, from as many as take so long."""
    begun, cpu, calls = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begun < at_least:
        run()
        calls += 1
    return (time.process_time() - cpu) / calls


if __name__ == "__main__":
    sys.exit(main())
