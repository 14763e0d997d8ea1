"""A model's carry by names, as programs outside see it: `h_1` is what layer 1 hands on, `c_1` its cell.

Layers are counted from 0, the embedding's number, as in a config and in `--set model.layers.1.size`.
"""

from typing import Any

import jax

from jaxrnn.interchange.description import describe
from jaxrnn.models import stack
from jaxrnn.runs.loading import Trained
from jaxrnn.types import Array, Carry


def by_name(carry: Carry) -> dict[str, Array]:
    """The arrays of a carry, each by its field and the number of its layer, in the order of the layers.

    Example:
        >>> from jaxrnn import LSTMCarry, GRUCarry
        >>> by_name(((), LSTMCarry(h="first", c="second"), (), GRUCarry(h="third")))
        {'h_1': 'first', 'c_1': 'second', 'h_3': 'third'}
    """
    return {
        f"{field}_{index}": array
        for index, layer in enumerate(carry)
        if layer
        for field, array in layer._asdict().items()
    }


def after(name: str) -> str:
    """What a state is called where it comes out."""
    return f"next_{name}"


def empty_carry(trained: Trained) -> Carry:
    """The shapes and types of the carry of one row; no memory is taken."""
    return jax.eval_shape(lambda: stack.initial_carry(trained.config, trained.params, 1))


def describe_with_states(trained: Trained) -> dict[str, Any]:
    """What is said of a model, and in `states` the names and sizes of what is to be handed from call to call."""
    states = [
        {"input": name, "output": after(name), "size": array.shape[1]}
        for name, array in by_name(empty_carry(trained)).items()
    ]
    return describe(trained) | {"states": states}
