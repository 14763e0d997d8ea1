"""One time step of a recurrent layer: a sequence of length 1, so that both have one forward and one backward pass."""

from collections.abc import Callable
from typing import Any

from jaxrnn.types import Array, Carry, Params


def single_step(
    layer: Callable[..., tuple[Any, Array]],
    params: Params,
    carry: Carry,
    x: Array,
    reset: Array | None,
    **options: Any,
) -> tuple[Any, Array]:
    """Run the public function of a recurrent layer on one time step.

    Args:
        layer: for example `rnn`; `rnn_step` is what messages call the step.
        params: as for the layer.
        carry: as for the layer.
        x: `[batch, input]`.
        reset: bool `[batch]`, or None.
        **options: further arguments of the layer.

    Returns:
        The carry after the step, and the hidden state `[batch, hidden]`.

    Raises:
        ValueError: `x` is not of rank 2, `reset` is not bool `[batch]`, or a size does not fit.
    """
    name = f"{layer.__name__}_step"
    if x.ndim != 2:
        raise ValueError(f"{name}: x must be [batch, input], got shape {x.shape}")
    if reset is not None and (reset.shape != x.shape[:1] or reset.dtype != bool):
        raise ValueError(
            f"{name}: reset must be bool [batch], {x.shape[:1]}, got {reset.dtype} of shape {reset.shape}"
        )
    carry, hs = layer(params, carry, x[None], resets=None if reset is None else reset[None], **options)
    return carry, hs[0]
