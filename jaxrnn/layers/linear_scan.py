"""The linear recurrence h_t = a_t * h_{t-1} + b_t, in which a_t and b_t do not depend on the state.

forward     h_t = a_t * h_{t-1} + b_t               from h_0, the carry; returns every h_t, and h_T once more

backward    Write dh_t for the total derivative of the loss with respect to h_t: the cotangent of h_t, plus what comes
            back from step t + 1. h_{t-1} enters h_t with the factor a_t:

            dh_T     = cotangent of h_T + cotangent of the carry
            dh_t     = cotangent of h_t + a_{t+1} * dh_{t+1}      for t < T: the same recurrence, backward in time
            da_t     = dh_t * h_{t-1},   db_t = dh_t,   dh_0 = a_1 * dh_1

resets      keep_t is 0 where a document begins with step t, else 1 (resets.py): keep_t * h_{t-1} replaces h_{t-1}
            everywhere above, and dh_t = cotangent of h_t + keep_{t+1} * a_{t+1} * dh_{t+1}, dh_0 = keep_1 * a_1 * dh_1.

Two steps in a row are a step of the same form: h_t = (a_t a_{t-1}) * h_{t-2} + (a_t b_{t-1} + b_t). So an associative
scan computes all states in about 2 log2(T) parallel rounds (Blelloch, 1990). A program compiled for a GPU or TPU does
that. On a CPU a loop over the T steps is used, which does less work; a program that is exported for sequences of any
length has the loop for every platform. The results are equal to rounding.

Layers with this recurrence: min_gru.py, min_lstm.py, rg_lru.py. Step by step: docs/maths.md, section 20.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import export, lax

from jaxrnn.layers.resets import reset_state
from jaxrnn.layers.time_loop import time_loop
from jaxrnn.types import Array, check_resets


@jax.custom_vjp
def linear_scan(a: Array, b: Array, carry: Array, resets: Array | None = None) -> tuple[Array, Array]:
    """Run `h_t = a_t * h_{t-1} + b_t` over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        a: `[time, batch, hidden]`, the factors of the state.
        b: `[time, batch, hidden]`, what is added to it.
        carry: `[batch, hidden]`, the state before the first step.
        resets: bool `[time, batch]`, whether the state is reset to zeros before a step; None is never.

    Returns:
        The state after the last step, and all states `[time, batch, hidden]`.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> half, one = jnp.full((3, 1, 1), 0.5), jnp.ones((3, 1, 1))
        >>> carry, hs = linear_scan(half, one, jnp.zeros((1, 1)))
        >>> hs.ravel().tolist()
        [1.0, 1.5, 1.75]
    """
    return _scan(a, b, carry, resets)


LinearScanResiduals = tuple[Array, Array, Array, Array | None]  # a, h_0, hs and resets


def _linear_scan_fwd(
    a: Array, b: Array, carry: Array, resets: Array | None
) -> tuple[tuple[Array, Array], LinearScanResiduals]:
    carry_out, hs = _scan(a, b, carry, resets)
    return (carry_out, hs), (a, carry, hs, resets)


def linear_scan_bwd(
    residuals: LinearScanResiduals, cotangents: tuple[Array, Array]
) -> tuple[Array, Array, Array, None]:
    """Run the recurrence backward in time with a_{t+1} in place of a_t; layers call this in their backward passes.

    Args:
        residuals: a, h_0, hs and resets, as given to `linear_scan` and returned by it.
        cotangents: of the last state, and of all states.

    Returns:
        The cotangents of a, b and carry; resets have none.
    """
    a, h_0, hs, resets = residuals
    d_carry, d_hs = cotangents
    # a_{t+1} and keep_{t+1} for every t; the carry's cotangent reaches dh_T with factor 1.
    a_next = jnp.concatenate([a, jnp.ones_like(a[:1])])[1:]
    resets_next = None if resets is None else jnp.concatenate([resets, jnp.zeros_like(resets[:1])])[1:]
    _, dhs = _scan(a_next, d_hs, d_carry, resets_next, reverse=True)

    h_prev = reset_state(jnp.concatenate([h_0[None], hs])[:-1], resets)  # keep_t * h_{t-1} for every t
    dh_0 = d_carry if len(a) == 0 else reset_state(a[0] * dhs[0], None if resets is None else resets[0])
    return dhs * h_prev, dhs, dh_0, None


linear_scan.defvjp(_linear_scan_fwd, linear_scan_bwd)


def _scan(
    a: Array, b: Array, h: Array, resets: Array | None, *, reverse: bool = False
) -> tuple[Array, Array]:
    """Return the last state and all states, in the way that suits the platform."""
    if a.shape != b.shape or b.shape[1:] != h.shape or b.ndim != 3:
        wanted = "a and b must be [time, batch, hidden], and the carry [batch, hidden]"
        raise ValueError(f"linear_scan: {wanted}; got shapes {a.shape}, {b.shape} and {h.shape}")
    check_resets("linear_scan", resets, b)

    def in_sequence(a: Array, b: Array, h: Array, resets: Array | None) -> tuple[Array, Array]:
        return scan_in_sequence(a, b, h, resets, reverse=reverse)

    def in_parallel(a: Array, b: Array, h: Array, resets: Array | None) -> tuple[Array, Array]:
        return scan_in_parallel(a, b, h, resets, reverse=reverse)

    if export.is_symbolic_dim(b.shape[0]):  # an associative scan is compiled for one length
        return in_sequence(a, b, h, resets)
    states: tuple[Array, Array] = lax.platform_dependent(
        a, b, h, resets, cpu=in_sequence, default=in_parallel
    )
    return states


def scan_in_sequence(
    a: Array, b: Array, h: Array, resets: Array | None, *, reverse: bool = False
) -> tuple[Array, Array]:
    """Return what `linear_scan` returns, from a loop over time; `reverse` runs it from the last step to the first."""

    def step(h: Array, here: tuple[Array, Array | None], b: Array) -> tuple[Array, Array]:
        a, reset = here
        h = a * reset_state(h, reset) + b
        return h, h

    h, hs = time_loop(step, h, (a, resets), b, reverse=reverse)  # the states take the place of b
    return h, hs


def scan_in_parallel(
    a: Array, b: Array, h: Array, resets: Array | None, *, reverse: bool = False
) -> tuple[Array, Array]:
    """Return what `linear_scan` returns, from an associative scan; `reverse` as for `scan_in_sequence`."""
    if len(a) == 0:
        return h, b
    first = -1 if reverse else 0
    b = b.at[first].add(a[first] * reset_state(h, None if resets is None else resets[first]))

    # A span of steps is (a, b, is_reset): h after it = a * (h before it) + b, or b if a reset lies in it.
    def join(earlier: Any, later: Any) -> Any:
        (a_1, b_1, reset_1), (a_2, b_2, reset_2) = earlier, later
        if reset_1 is None:
            return a_2 * a_1, a_2 * b_1 + b_2, None
        return a_2 * a_1, a_2 * reset_state(b_1, reset_2) + b_2, reset_1 | reset_2

    _, hs, _ = lax.associative_scan(join, (a, b, resets), reverse=reverse)
    return hs[-1 - first], hs
