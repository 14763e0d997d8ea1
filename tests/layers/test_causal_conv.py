"""The causal convolution; its gradient is verified in tests/gradcheck."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.layers.causal_conv import (
    CausalConvCarry,
    causal_conv,
    causal_conv_carry,
    causal_conv_step,
    init_causal_conv,
)

TIME, BATCH, SIZE, WIDTH = 9, 2, 3, 4
PARAMS = init_causal_conv(jax.random.key(0), SIZE, WIDTH)
EMPTY = causal_conv_carry(PARAMS, BATCH)
XS = jax.random.normal(jax.random.key(1), (TIME, BATCH, SIZE))
RESETS = jax.random.bernoulli(jax.random.key(2), 0.3, (TIME, BATCH))

jitted = jax.jit(causal_conv)


def test_it_is_numpys_convolution_of_each_feature() -> None:
    _, ys = jitted(PARAMS, EMPTY, XS)
    for row in range(BATCH):
        for feature in range(SIZE):
            expected = np.convolve(XS[:, row, feature], PARAMS.taps[:, feature])[:TIME]
            np.testing.assert_allclose(ys[:, row, feature], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("resets", [None, RESETS], ids=["no resets", "resets"])
@pytest.mark.parametrize("cut", [0, 1, 2, 5, TIME])
def test_two_chunks_with_the_carry_handed_on_are_one_sequence(resets: jax.Array | None, cut: int) -> None:
    def whole(xs: jax.Array) -> Any:
        return causal_conv(PARAMS, EMPTY, xs, resets=resets)

    def chunks(xs: jax.Array) -> Any:
        first, last = (None, None) if resets is None else (resets[:cut], resets[cut:])
        carry, before = causal_conv(PARAMS, EMPTY, xs[:cut], resets=first)
        carry, after = causal_conv(PARAMS, carry, xs[cut:], resets=last)
        return carry, jnp.concatenate([before, after])

    @jax.jit
    def both(xs: jax.Array) -> list[Any]:
        outputs, pulls = zip(*(jax.vjp(function, xs) for function in (chunks, whole)), strict=True)
        return [(output, pull(output)) for output, pull in zip(outputs, pulls, strict=True)]

    for found, expected in zip(*map(jax.tree.leaves, both(XS)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("resets", [None, RESETS], ids=["no resets", "resets"])
def test_steps_one_by_one_are_the_whole_sequence(resets: jax.Array | None) -> None:
    expected = jitted(PARAMS, EMPTY, XS, resets=resets)
    step = jax.jit(causal_conv_step)
    carry, ys = EMPTY, []
    for t, x in enumerate(XS):
        carry, y = step(PARAMS, carry, x, reset=None if resets is None else resets[t])
        ys.append(y)
    np.testing.assert_allclose(carry.xs, expected[0].xs)
    np.testing.assert_allclose(jnp.stack(ys), expected[1], rtol=1e-5, atol=1e-6)


def test_no_output_reads_an_input_of_another_document() -> None:
    resets = jnp.zeros((TIME, BATCH), bool).at[4].set(True)
    broken = XS.at[:4].set(jnp.nan)
    carry = CausalConvCarry(jnp.full_like(EMPTY.xs, jnp.nan))
    (after, ys), pull = jax.vjp(lambda c, xs: jitted(PARAMS, c, xs, resets=resets), carry, broken)
    _, expected = jitted(PARAMS, EMPTY, XS[4:])
    np.testing.assert_allclose(ys[4:], expected, rtol=1e-5, atol=1e-6)
    assert jnp.isfinite(after.xs).all()
    _, d_xs = pull((after, jnp.zeros_like(ys).at[4:].set(1)))
    assert not d_xs[:4].any()


@pytest.mark.parametrize(
    ("carry", "xs", "message"),
    [
        (EMPTY, XS[0], r"xs must be \[time, batch, input\], got shape \(2, 3\)"),
        (EMPTY, XS[..., :2], r"xs has 2 features, but the taps \(4, 3\) take 3"),
        (
            CausalConvCarry(jnp.zeros((BATCH, 6))),
            XS,
            r"the carry must be \[batch=2, hidden=9\], got shape \(2, 6\)",
        ),
        (EMPTY, XS.astype(jnp.bfloat16), "xs is bfloat16 and the carry float32"),
    ],
)
def test_what_does_not_fit_is_refused(carry: CausalConvCarry, xs: jax.Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        causal_conv(PARAMS, carry, xs)
