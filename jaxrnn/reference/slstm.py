"""sLSTM (Beck et al. 2024, arXiv:2405.04517): an LSTM with exponential gates, a normalizer and heads.

The input gate is exp(z_i), not a sigmoid: what is written can outweigh all that was written before. A normalizer n adds
up the same weights, so that c / n is a weighted mean of the candidates. Both would overflow; they are stored divided
by e^m, and m, the stabilizer, is chosen so that the larger of the two gates is 1.

The units are divided into heads; w_h connects a unit with those of its own head. In each head, with gates i, f, g, o:

    z = x_t @ w_x + h_{t-1} @ w_h + b                                                (1)
    log_f = log sigmoid(z_f)
    m_t = max(log_f + m_{t-1}, z_i),  or z_i where n_{t-1} = 0: an empty state           (2)
    i = exp(z_i - m_t),  f = exp(log_f + m_{t-1} - m_t), or 0 where n_{t-1} = 0          (3)
    g = tanh(z_g),  o = sigmoid(z_o)
    c_t = f * c_{t-1} + i * g,   n_t = f * n_{t-1} + i                               (4)
    h_t = o * q,  q = c_t / n_t                                                      (5)

Backward. h_t does not depend on m_t, which divides c_t and n_t alike, so m_t is a constant here:

    d_h_t = (as an output) + (from step t+1)                                         (6)
    d_c_t = (from step t+1) + d_h_t * o / n_t                          by (5)        (7)
    d_n_t = (from step t+1) - d_h_t * o * q / n_t                      by (5)        (8)
    d_z_o = d_h_t * q * o * (1 - o),   d_z_g = d_c_t * i * (1 - g^2)                 (9)
    d_z_i = (d_c_t * g + d_n_t) * i                                    by (3), (4)   (10)
    d_log_f = (d_c_t * c_{t-1} + d_n_t * n_{t-1}) * f                      by (3), (4)   (11)
    d_c_{t-1} = d_c_t * f,   d_n_{t-1} = d_n_t * f                     by (4)        (12)

The carry that is returned does depend on m_T: d c_T / d m_T = -c_T, and the same for n. What its cotangents say of m_T
goes back along the choices of (2), and reaches m_0 and, as e^{m_0} c_0 is what counts, meets (12) there:

    u_T = d_m_T - (d_c_T * c_T + d_n_T * n_T)                                        (13)
    u_{t-1} = u_t and d_log_f += u_t where m_t is log_f + m_{t-1};  0 and d_z_i += u_t else  (14)
    d_m_0 = u_0 + d_c_0 * c_0 + d_n_0 * n_0                                          (15)

with d_z_f = d_log_f * (1 - sigmoid(z_f)). Then, for each head, as in lstm.py:

    d_x_t = d_z @ w_x.T,   d_h_{t-1} = d_z @ w_h.T                                   (16)
    d_w_x = sum_t x_t.T @ d_z,  d_w_h = sum_t h_{t-1}.T @ d_z,  d_b = sum_t d_z      (17)

Where a document begins, k_t = 0 multiplies all four states that step t reads, and what goes back.

Step by step: docs/maths.md, section 17.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.reference.arrays import Array, draw_orthogonal, draw_uniform, keep, sigmoid


class SLSTMParams(NamedTuple):
    """Parameters of an sLSTM; of each head the columns i, f, g, o, each D = H / heads wide."""

    w_x: Array  # [I, 4H]
    w_h: Array  # [heads, D, 4D]
    b: Array  # [4H]


class SLSTMCarry(NamedTuple):
    """The state from one step to the next, [B, H] each."""

    h: Array
    c: Array
    n: Array
    m: Array


class SLSTMStep(NamedTuple):
    """The residuals of one step, [B, heads, D] unless noted."""

    x: Array  # [B, I], x_t
    h_before: Array  # k_t * mask * h_{t-1}
    c_before: Array  # k_t * c_{t-1}
    n_before: Array  # k_t * n_{t-1}
    i: Array
    f: Array
    g: Array
    o: Array
    sigmoid_f: Array  # sigmoid(z_f)
    is_kept: Array  # whether m_t is log_f + m_{t-1}
    c: Array  # c_t
    n: Array  # n_t
    k: Array  # [B, 1, 1]
    mask: Array | float


def init_slstm(rng: np.random.Generator, input_size: int, hidden_size: int, heads: int) -> SLSTMParams:
    """Uniform input weights; an orthogonal matrix for each head and gate; forget bias 1, the other biases 0."""
    size = hidden_size // heads
    b = np.zeros((heads, 4, size))
    b[:, 1] = 1
    return SLSTMParams(
        w_x=draw_uniform(rng, input_size, 4 * hidden_size),
        w_h=np.stack(
            [np.concatenate([draw_orthogonal(rng, size) for _ in range(4)], axis=1) for _ in range(heads)]
        ),
        b=b.reshape(-1),
    )


def slstm_forward(
    params: SLSTMParams,
    carry: SLSTMCarry,
    xs: Array,
    resets: Array | None = None,
    mask: Array | float = 1.0,
) -> tuple[SLSTMCarry, Array, list[SLSTMStep]]:
    """Map xs [T, B, I], T at least 1, to the last state, all hs [T, B, H], and one record a step.

    Args:
        params: the weights.
        carry: the state before the first step.
        xs: [T, B, I].
        resets: [T, B], whether the state is reset to zeros before a step.
        mask: the factors [B, H] on what w_h reads.
    """
    heads = len(params.w_h)
    h, c, n, m = (_by_head(state, heads) for state in carry)
    factors = mask if isinstance(mask, float) else _by_head(mask, heads)
    hs = []
    residuals = []
    for x, k in zip(xs, keep(resets, xs)[..., None], strict=True):
        h_before, c_before, n_before, m_before = k * factors * h, k * c, k * n, k * m
        z = _by_head(x @ params.w_x + params.b, heads) + _each_head(h_before, params.w_h)  # (1)
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
        log_f = -np.logaddexp(0, -z_f)
        is_empty = n_before == 0
        is_kept = ~is_empty & (log_f + m_before >= z_i)
        m = np.where(is_kept, log_f + m_before, z_i)  # (2)
        i = np.exp(z_i - m)  # (3)
        f = np.where(is_empty, 0, np.exp(np.where(is_empty, 0, log_f + m_before - m)))
        g, o = np.tanh(z_g), sigmoid(z_o)
        c, n = f * c_before + i * g, f * n_before + i  # (4)
        h = o * c / n  # (5)
        hs.append(_merged(h))
        residuals.append(
            SLSTMStep(x, h_before, c_before, n_before, i, f, g, o, sigmoid(z_f), is_kept, c, n, k, factors)
        )
    return SLSTMCarry(*map(_merged, (h, c, n, m))), np.stack(hs), residuals


def slstm_backward(
    params: SLSTMParams, residuals: list[SLSTMStep], d_carry: SLSTMCarry, d_hs: Array
) -> tuple[SLSTMParams, SLSTMCarry, Array]:
    """Backpropagation through time.

    Args:
        params: as in the forward pass.
        residuals: from the forward pass.
        d_carry: cotangents of the last state; zero if nothing follows this sequence.
        d_hs: [T, B, H], cotangents of the outputs.

    Returns:
        Gradients of the parameters, of the first state, and of xs [T, B, I].
    """
    heads = len(params.w_h)
    d_w_x, d_w_h, d_b = (np.zeros_like(leaf) for leaf in params)
    d_xs = []
    d_h, d_c, d_n, d_m = (_by_head(cotangent, heads) for cotangent in d_carry)
    u = d_m - (d_c * residuals[-1].c + d_n * residuals[-1].n)  # (13)
    for step, d_output in zip(reversed(residuals), d_hs[::-1], strict=True):
        i, f, g, o, n = step.i, step.f, step.g, step.o, step.n
        q = step.c / n
        d_h = _by_head(d_output, heads) + d_h  # (6)
        d_c = d_c + d_h * o / n  # (7)
        d_n = d_n - d_h * o * q / n  # (8)
        d_z_o, d_z_g = d_h * q * o * (1 - o), d_c * i * (1 - g**2)  # (9)
        d_z_i = (d_c * g + d_n) * i + np.where(step.is_kept, 0, u)  # (10), (14)
        u = np.where(step.is_kept, u, 0)  # (14)
        d_log_f = (d_c * step.c_before + d_n * step.n_before) * f + u  # (11), (14)
        d_z_f = d_log_f * (1 - step.sigmoid_f)
        d_z = np.concatenate([d_z_i, d_z_f, d_z_g, d_z_o], axis=-1)
        d_h = step.k * step.mask * _each_head(d_z, params.w_h.swapaxes(1, 2))  # (16)
        d_c, d_n, u = step.k * d_c * f, step.k * d_n * f, step.k * u  # (12)
        d_xs.append(_merged(d_z) @ params.w_x.T)  # (16)
        d_w_x += step.x.T @ _merged(d_z)  # (17)
        for head in range(heads):
            d_w_h[head] += step.h_before[:, head].T @ d_z[:, head]
        d_b += _merged(d_z).sum(axis=0)
    # At the first step k_1 * c_0 is what was read.
    d_m = u + d_c * residuals[0].c_before + d_n * residuals[0].n_before  # (15)
    d_first = SLSTMCarry(*map(_merged, (d_h, d_c, d_n, d_m)))
    return SLSTMParams(d_w_x, d_w_h, d_b), d_first, np.stack(d_xs[::-1])


def _each_head(xs: Array, w: Array) -> Array:
    """`xs[:, head] @ w[head]` for each head: [B, heads, n] by [heads, n, m] is [B, heads, m]."""
    return np.stack([xs[:, head] @ matrix for head, matrix in enumerate(w)], axis=1)


def _by_head(array: Array, heads: int) -> Array:
    """[B, units] as [B, heads, units / heads]."""
    return array.reshape(len(array), heads, -1)


def _merged(array: Array) -> Array:
    """[B, heads, D] as [B, heads * D]."""
    return array.reshape(len(array), -1)
