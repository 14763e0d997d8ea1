"""mLSTM with sigmoid gates (Beck et al., 2024, arXiv:2405.04517; these gates: Beck et al., 2025, arXiv:2503.14376).

forward     [q, k, v, z_o, z_i, z_f]_t = x_t W_x + b        q, k, v and z_o [heads, D]; z_i and z_f one number a head
            i = sigmoid(z_i),  f = sigmoid(z_f)             input and forget gate of a head
            C_t = f C_{t-1} + i k_t^T v_t                   matrix memory [D, D] of a head: v is stored under the key k
            y_t = q_t C_t / sqrt(D)                         and what is stored under keys like q is read
            h_t = sigmoid(z_o) * rms_norm(y_t)              output gate; each head is normalized for itself

            Nothing here reads h_{t-1}: a chunk of l steps is computed at once. With F_t the sum of log f over the
            steps of the chunk up to t, C the memory before it, and Q, K, V the rows of its steps:

            D_ts = e^{F_t - F_s} i_s  for s <= t, else 0            what step t reads of what step s stored
            A = Q K^T / sqrt(D),   Y = (A * D) V + e^F * (Q C) / sqrt(D)
            C' = e^{F_l} C + (a * K)^T V,   a_s = e^{F_l - F_s} i_s

backward    From the last chunk to the first, with dC' the cotangent of the memory after it and P = dY V^T:

            dQ = (P * D) K / sqrt(D) + e^F * (dY C^T) / sqrt(D)
            dK = (P * D)^T Q / sqrt(D) + a * (V dC'^T)
            dV = (A * D)^T dY + a * (K dC')
            dC = e^{F_l} dC' + (e^F * Q / sqrt(D))^T dY
            dlog i_t = k_t . dk_t                               i_t stands wherever k_t does
            dlog f_t = sum over s >= t of (q_s . dq_s - k_s . dk_s) + <dC', C'>
            dz_i = dlog i * (1 - i),   dz_f = dlog f * (1 - f)

            The last sum runs over the paths from a stored k_s to a reading q_u or to C': q . dq and <dC', C'> count
            those that end at or after t, k . dk those that begin there. The difference crosses step t, where f_t is.

resets      Where a document begins at a step u, C_{u-1} counts as 0: D_ts = 0 where s < u <= t, e^F and a likewise. No
            path crosses u, so the sum for dlog f_u is zero by itself, and the equations above still hold.

Step by step: docs/maths.md, section 19.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim
from jax.typing import DTypeLike

from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.lstm import widen
from jaxrnn.layers.product import matmul
from jaxrnn.layers.rms_norm import RMSNormParams, rms_norm
from jaxrnn.layers.single_step import single_step
from jaxrnn.types import Array, Key, check_resets

CHUNK = 64


class MLSTMParams(NamedTuple):
    """The parameters of an mLSTM layer; columns are q, k, v, z_o, hidden of each, and z_i, z_f, heads of each."""

    w_x: Array  # [input, 4 * hidden + 2 * heads]
    b: Array  # [4 * hidden + 2 * heads]
    scale: Array  # [heads, D], of the norm; D = hidden / heads


class MLSTMCarry(NamedTuple):
    """The carry from one time step to the next."""

    c: Array  # [batch, heads * D * D], the matrix memories


def init_mlstm(
    key: Key, input_size: int, hidden_size: int, heads: int = 4, dtype: DTypeLike = jnp.float32
) -> MLSTMParams:
    """Draw a Glorot-uniform w_x, block by block; b is zero, but 3 to 6 for the forget gates of the heads.

    The heads begin with memories of about 20 to 400 steps.

    Raises:
        ValueError: `heads` does not divide `hidden_size`.
    """
    if hidden_size % heads:
        raise ValueError(f"mlstm: {heads} heads can't share {hidden_size} units; heads must divide them")
    sizes = [hidden_size] * 4 + [heads] * 2
    glorot = jax.nn.initializers.glorot_uniform()
    keys = jax.random.split(key, len(sizes))
    w_x = [glorot(k, (input_size, size), dtype) for k, size in zip(keys, sizes, strict=True)]
    b = jnp.zeros(sum(sizes), dtype).at[-heads:].set(jnp.linspace(3, 6, heads, dtype=dtype))
    return MLSTMParams(jnp.concatenate(w_x, axis=1), b, jnp.ones((heads, hidden_size // heads), dtype))


def mlstm_carry(params: MLSTMParams, batch_size: int) -> MLSTMCarry:
    """Return the carry before the first step: zeros."""
    return MLSTMCarry(jnp.zeros((batch_size, params.scale.size * params.scale.shape[1]), params.w_x.dtype))


def mlstm(
    params: MLSTMParams,
    carry: MLSTMCarry,
    xs: Array,
    *,
    resets: Array | None = None,
    chunk: int = CHUNK,
) -> tuple[MLSTMCarry, Array]:
    """Run an mLSTM layer over a sequence.

    Reverse mode only: the backward pass is a `custom_vjp` over the whole sequence.

    Args:
        params: `MLSTMParams(w_x [input, 4 * hidden + 2 * heads], b, scale [heads, D])`, D = hidden / heads.
        carry: `MLSTMCarry(c [batch, heads * D * D])`, the memories before the first step.
        xs: `[time, batch, input]`.
        resets: bool `[time, batch]`, whether the memories are reset to zeros before a step; None is never.
        chunk: steps that are computed at once; the result is the same to rounding.

    Returns:
        The carry after the last step, and the outputs `[time, batch, hidden]`.

    Raises:
        ValueError: `xs` is not of rank 3, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_mlstm(jax.random.key(0), input_size=3, hidden_size=4, heads=2)
        >>> carry, hs = mlstm(params, mlstm_carry(params, batch_size=2), jnp.ones((5, 2, 3)))
        >>> hs.shape, carry.c.shape
        ((5, 2, 4), (2, 8))
    """
    if xs.ndim != 3:
        raise ValueError(f"mlstm: xs must be [time, batch, input], got shape {xs.shape}")
    if xs.shape[2] != params.w_x.shape[0]:
        raise ValueError(
            f"mlstm: xs has {xs.shape[2]} features, but w_x {params.w_x.shape} takes {params.w_x.shape[0]}"
        )
    heads, size = params.scale.shape
    if carry.c.shape != (xs.shape[1], heads * size * size):
        expected = f"[batch={xs.shape[1]}, hidden={heads * size * size}]"
        raise ValueError(f"mlstm: the carry must be {expected}, got shape {carry.c.shape}")
    if carry.c.dtype != xs.dtype:
        raise ValueError(
            f"mlstm: xs is {xs.dtype} and the carry {carry.c.dtype}; give both one type (xs.astype)"
        )
    check_resets("mlstm", resets, xs)
    return mlstm_memory(params, carry, mlstm_input_projection(params, xs), resets, chunk)


def mlstm_step(
    params: MLSTMParams, carry: MLSTMCarry, x: Array, *, reset: Array | None = None
) -> tuple[MLSTMCarry, Array]:
    """Run an mLSTM layer for one time step.

    Args:
        params: as for `mlstm`.
        carry: as for `mlstm`, the memories before the step.
        x: `[batch, input]`.
        reset: bool `[batch]`, whether the memories are reset to zeros before the step; None resets nothing.

    Returns:
        The carry after the step, and the output `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, or a size does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = init_mlstm(jax.random.key(0), input_size=3, hidden_size=4)
        >>> carry, h = mlstm_step(params, mlstm_carry(params, batch_size=2), jnp.ones((2, 3)))
        >>> h.shape
        (2, 4)
    """
    return single_step(mlstm, params, carry, x, reset)


def mlstm_input_projection(params: MLSTMParams, xs: Array) -> Array:
    """Return `xs @ w_x + b`, for all time steps at once: `[..., input]` to `[..., 4 * hidden + 2 * heads]`."""
    return dense(DenseParams(params.w_x, params.b), xs)


def mlstm_memory(
    params: MLSTMParams, carry: MLSTMCarry, zs: Array, resets: Array | None = None, chunk: int = CHUNK
) -> tuple[MLSTMCarry, Array]:
    """Run the layer on projected inputs `[time, batch, 4 * hidden + 2 * heads]`; returns what `mlstm` returns."""
    qs, ks, vs, z_o, z_i, z_f = _parts(params, zs)
    c, ys = matrix_memory(qs, ks, vs, z_i, z_f, _square(params, carry), resets, chunk)
    hs = jax.nn.sigmoid(z_o) * rms_norm(RMSNormParams(params.scale), ys)
    return MLSTMCarry(c.reshape(carry.c.shape)), hs.reshape(*zs.shape[:-1], params.scale.size)


def mlstm_gates(params: MLSTMParams, carry: MLSTMCarry, xs: Array) -> dict[str, Array]:
    """Return h, the gates and the memory by name, of steps that read `xs` `[..., input]` and `carry`.

    One number for each unit: `i` and `f` are those of its head, `c` is the norm of its column of the memory.
    """
    _, _, _, z_o, z_i, z_f = _parts(params, mlstm_input_projection(params, xs))
    each = partial(jnp.broadcast_to, shape=z_o.shape)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), (carry, xs))
    after, hs = mlstm_step(params, *flat)
    columns = jnp.linalg.norm(_square(params, after), axis=-2)
    gates = {"i": each(z_i[..., None]), "f": each(z_f[..., None]), "o": z_o}
    shown = {name: jax.nn.sigmoid(z) for name, z in gates.items()} | {"h": hs, "c": columns}
    return {name: values.reshape(*xs.shape[:-1], params.scale.size) for name, values in shown.items()}


def _parts(params: MLSTMParams, zs: Array) -> list[Array]:
    """Return q, k, v and z_o `[..., heads, D]`, and z_i and z_f `[..., heads]`."""
    heads, size = params.scale.shape
    units, gates = jnp.split(zs, [4 * heads * size], axis=-1)
    blocks = units.reshape(*zs.shape[:-1], 4, heads, size)
    return [*(blocks[..., block, :, :] for block in range(4)), *jnp.split(gates, 2, axis=-1)]


def _square(params: MLSTMParams, carry: MLSTMCarry) -> Array:
    heads, size = params.scale.shape
    return carry.c.reshape(*carry.c.shape[:-1], heads, size, size)


@partial(jax.custom_vjp, nondiff_argnums=(7,))
def matrix_memory(
    qs: Array, ks: Array, vs: Array, z_i: Array, z_f: Array, c: Array, resets: Array | None, chunk: int
) -> tuple[Array, Array]:
    """Run the matrix memories of all heads over a sequence.

    Args:
        qs: `[time, batch, heads, D]`; so are `ks` and `vs`.
        ks: keys.
        vs: values.
        z_i: pre-activations of the input gates `[time, batch, heads]`; so is `z_f`.
        z_f: of the forget gates.
        c: the memories before the first step, `[batch, heads, D, D]`.
        resets: bool `[time, batch]`, or None.
        chunk: steps that are computed at once.

    Returns:
        The memories after the last step, and what was read, `[time, batch, heads, D]`.
    """
    outputs, _ = _memory_fwd(qs, ks, vs, z_i, z_f, c, resets, chunk)
    return outputs


class _Chunk(NamedTuple):
    """Chunks of a sequence; of one, `[batch, heads, l, D]`, the gates and documents without D."""

    q: Array
    k: Array
    v: Array
    i: Array  # 0 after the end of the sequence
    log_f: Array  # there too
    document: Array  # `[batch, 1, l]`, how many documents began in the chunk up to the step


def _decays(part: _Chunk) -> tuple[Array, Array, Array, Array]:
    """Return D `[batch, heads, l, l]`, e^F and a `[batch, heads, l, 1]`, and e^{F_l} `[batch, heads, 1, 1]`."""
    total = jnp.cumsum(part.log_f, axis=-1)
    length = total.shape[-1]
    is_earlier = jnp.tril(jnp.ones((length, length), bool))[None, None]
    is_same = part.document[..., :, None] == part.document[..., None, :]
    exponent = total[..., :, None] - total[..., None, :]
    decay = jnp.exp(jnp.where(is_earlier & is_same, exponent, -jnp.inf)) * part.i[..., None, :]
    from_before = jnp.where(part.document == 0, jnp.exp(total), 0)[..., None]
    return decay, from_before, decay[..., -1, :, None], from_before[..., -1:, :]


def _scaled(factor: Array, array: Array) -> Array:
    """Return `factor * array`, zero where the factor is, even if the array is not finite there."""
    return jnp.where(factor == 0, 0, factor * array)


_Residuals = tuple[_Chunk, Array, Array, tuple[Array, Array]]


def _memory_fwd(
    qs: Array, ks: Array, vs: Array, z_i: Array, z_f: Array, c: Array, resets: Array | None, chunk: int
) -> tuple[tuple[Array, Array], _Residuals]:
    length = qs.shape[0]
    log_f = jax.nn.log_sigmoid(widen(z_f)).astype(z_f.dtype)
    begun = jnp.zeros(z_i.shape[:2], bool) if resets is None else resets
    parts = [
        qs / math.sqrt(qs.shape[-1]),
        ks,
        vs,
        jax.nn.sigmoid(z_i),
        log_f,
        begun[..., None].astype(jnp.int32),
    ]
    chunks = _Chunk(*(_cut(part, chunk) for part in parts))
    chunks = chunks._replace(document=jnp.cumsum(chunks.document, axis=-1))

    def step(c: Array, part: _Chunk) -> tuple[Array, tuple[Array, Array]]:
        decay, from_before, to_end, all_steps = _decays(part)
        read = matmul(matmul(part.q, part.k.mT) * decay, part.v) + _scaled(from_before, matmul(part.q, c))
        return _scaled(all_steps, c) + matmul((to_end * part.k).mT, part.v), (c, read)

    c_last, (befores, reads) = jax.lax.scan(step, c, chunks)
    return (c_last, _joined(reads, length)), (chunks, befores, c_last, (z_i, z_f))


def _memory_bwd(
    chunk: int, residuals: _Residuals, cotangents: tuple[Array, Array]
) -> tuple[Array, Array, Array, Array, Array, Array, None]:
    chunks, befores, c_last, (z_i, z_f) = residuals
    d_last, d_ys = cotangents
    length = d_ys.shape[0]
    afters = jnp.concatenate([befores, c_last[None]])[1:]

    def step(d_after: Array, inputs: tuple[Array, _Chunk, Array, Array]) -> tuple[Array, tuple[Array, ...]]:
        d_y, part, before, after = inputs
        q, k, v = part.q, part.k, part.v  # q has its factor 1 / sqrt(D)
        decay, from_before, to_end, all_steps = _decays(part)
        d_a = matmul(d_y, v.mT) * decay
        d_q = matmul(d_a, k) + _scaled(from_before, matmul(d_y, before.mT))
        d_k = matmul(d_a.mT, q) + to_end * matmul(v, d_after.mT)
        d_v = matmul((matmul(q, k.mT) * decay).mT, d_y) + to_end * matmul(k, d_after)
        d_before = all_steps * d_after + matmul((from_before * q).mT, d_y)
        stored = (k * d_k).sum(-1)
        later = (q * d_q).sum(-1) - stored
        from_t = jnp.flip(jnp.cumsum(jnp.flip(later, -1), axis=-1), -1)
        d_log_f = from_t + (d_after * after).sum((-2, -1))[..., None]
        return d_before, (d_q, d_k, d_v, stored, d_log_f)

    d_first, gradients = jax.lax.scan(
        step, d_last, (_cut(d_ys, chunk), chunks, befores, afters), reverse=True
    )
    d_q, d_k, d_v, d_log_i, d_log_f = (_joined(gradient, length) for gradient in gradients)
    d_q = d_q / math.sqrt(d_q.shape[-1])
    return d_q, d_k, d_v, d_log_i * jax.nn.sigmoid(-z_i), d_log_f * jax.nn.sigmoid(-z_f), d_first, None


matrix_memory.defvjp(_memory_fwd, _memory_bwd)


def _cut(array: Array, chunk: int) -> Array:
    """`[time, batch, heads, ...]` to `[chunks, batch, heads, chunk, ...]`, padded with zeros at the end."""
    length = array.shape[0]
    if is_symbolic_dim(length):  # a program for sequences of any length, which runs them in single steps
        return array[:, :, :, None]
    chunk = min(chunk, max(length, 1))
    missing = -length % chunk
    padded = jnp.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
    return jnp.moveaxis(padded.reshape(-1, chunk, *array.shape[1:]), 1, 3)


def _joined(chunks: Array, length: int) -> Array:
    """`[chunks, batch, heads, chunk, ...]` to `[time, batch, heads, ...]`, without the padding."""
    if is_symbolic_dim(length):
        return chunks[:, :, :, 0]
    by_time = jnp.moveaxis(chunks, 3, 1)
    return by_time.reshape(math.prod(by_time.shape[:2]), *by_time.shape[2:])[:length]
