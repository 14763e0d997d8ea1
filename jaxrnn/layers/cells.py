"""The three recurrent cells by the name they have in a config: what a stack needs to know of each."""

from collections.abc import Callable
from typing import NamedTuple

from jaxrnn.layers.gru import gru_carry, gru_input_projection, gru_recurrence, init_gru
from jaxrnn.layers.lstm import init_lstm, lstm_carry, lstm_input_projection, lstm_recurrence
from jaxrnn.layers.rnn import init_rnn, rnn_carry, rnn_input_projection, rnn_recurrence
from jaxrnn.types import Array, Carry, Params


class Cell(NamedTuple):
    """A recurrent layer in two functions: what needs no recurrence, and the recurrence."""

    init: Callable[..., Params]  # (key, input_size, hidden_size, dtype)
    carry: Callable[[Params, int], Carry]  # (params, batch_size) -> zeros
    input_projection: Callable[[Params, Array], Array]  # (params, xs [..., input]) -> [..., gates * hidden]
    recurrence: Callable[..., tuple[Carry, Array]]  # (params, carry, zs, resets) -> (carry, hs)


CELLS = {
    "rnn": Cell(init_rnn, rnn_carry, rnn_input_projection, rnn_recurrence),
    "lstm": Cell(init_lstm, lstm_carry, lstm_input_projection, lstm_recurrence),
    "gru": Cell(init_gru, gru_carry, gru_input_projection, gru_recurrence),
}
