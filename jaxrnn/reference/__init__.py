"""The layers once more, in plain NumPy, one time step after the other: to read, and to test against.

This code is slow and uses no automatic differentiation: every gradient is written by hand, each line next
to its equation. The rest of the library computes the same numbers fast; read this package to learn how
they are defined.

Read in this order:

    arrays.py       the sigmoid, and how weights are drawn
    dense.py        one matrix product, forward and backward: the rules all other layers use
    embedding.py    a table look-up, and why repeated tokens must add up
    dropout.py      a mask
    losses.py       softmax cross-entropy: where gradients start
    rnn.py          backpropagation through time in its simplest form
    lstm.py         gates and a cell state
    mogrifier.py    an LSTM whose input and state gate each other first
    gru.py          gates without the second state
    block.py        layers in a row, and a way around them
    optimizer.py    gradient descent and Adam
    model.py        a stack of layers that learns a text and writes one

Conventions: sequences are time-major, `[T, B, ...]` (time, batch, features), token ids `[T, B]`.
`layer_forward` returns its outputs and its *residuals*, the inputs of the backward pass. `layer_backward`
takes these and a *cotangent* for every output, which is the derivative of some number L (the loss, at the
end of the model) with respect to that output, and returns the derivatives of L with respect to every
parameter and every input. A cotangent `d_y` always has the shape of `y`. All
arithmetic stays in the dtype of the arguments.
"""

from jaxrnn.reference.block import RNNBlockParams as RNNBlockParams
from jaxrnn.reference.block import RNNBlockResiduals as RNNBlockResiduals
from jaxrnn.reference.block import init_rnn_block as init_rnn_block
from jaxrnn.reference.block import rnn_block_backward as rnn_block_backward
from jaxrnn.reference.block import rnn_block_forward as rnn_block_forward
from jaxrnn.reference.dense import DenseParams as DenseParams
from jaxrnn.reference.dense import DenseResiduals as DenseResiduals
from jaxrnn.reference.dense import dense_backward as dense_backward
from jaxrnn.reference.dense import dense_forward as dense_forward
from jaxrnn.reference.dense import init_dense as init_dense
from jaxrnn.reference.dropout import DropoutResiduals as DropoutResiduals
from jaxrnn.reference.dropout import draw_mask as draw_mask
from jaxrnn.reference.dropout import dropout_backward as dropout_backward
from jaxrnn.reference.dropout import dropout_forward as dropout_forward
from jaxrnn.reference.embedding import EmbeddingParams as EmbeddingParams
from jaxrnn.reference.embedding import EmbeddingResiduals as EmbeddingResiduals
from jaxrnn.reference.embedding import embedding_backward as embedding_backward
from jaxrnn.reference.embedding import embedding_forward as embedding_forward
from jaxrnn.reference.embedding import init_embedding as init_embedding
from jaxrnn.reference.gru import GRUCarry as GRUCarry
from jaxrnn.reference.gru import GRUParams as GRUParams
from jaxrnn.reference.gru import GRUStep as GRUStep
from jaxrnn.reference.gru import gru_backward as gru_backward
from jaxrnn.reference.gru import gru_forward as gru_forward
from jaxrnn.reference.gru import init_gru as init_gru
from jaxrnn.reference.losses import CrossEntropyResiduals as CrossEntropyResiduals
from jaxrnn.reference.losses import softmax_cross_entropy_backward as softmax_cross_entropy_backward
from jaxrnn.reference.losses import softmax_cross_entropy_forward as softmax_cross_entropy_forward
from jaxrnn.reference.lstm import LSTMCarry as LSTMCarry
from jaxrnn.reference.lstm import LSTMParams as LSTMParams
from jaxrnn.reference.lstm import LSTMStep as LSTMStep
from jaxrnn.reference.lstm import init_lstm as init_lstm
from jaxrnn.reference.lstm import lstm_backward as lstm_backward
from jaxrnn.reference.lstm import lstm_forward as lstm_forward
from jaxrnn.reference.model import init_model as init_model
from jaxrnn.reference.model import initial_carry as initial_carry
from jaxrnn.reference.model import loss_and_gradients as loss_and_gradients
from jaxrnn.reference.model import model_backward as model_backward
from jaxrnn.reference.model import model_forward as model_forward
from jaxrnn.reference.model import sample as sample
from jaxrnn.reference.model import train as train
from jaxrnn.reference.mogrifier import MogrifierLSTMParams as MogrifierLSTMParams
from jaxrnn.reference.mogrifier import MogrifierRound as MogrifierRound
from jaxrnn.reference.mogrifier import MogrifierStep as MogrifierStep
from jaxrnn.reference.mogrifier import init_mogrifier_lstm as init_mogrifier_lstm
from jaxrnn.reference.mogrifier import mogrifier_lstm_backward as mogrifier_lstm_backward
from jaxrnn.reference.mogrifier import mogrifier_lstm_forward as mogrifier_lstm_forward
from jaxrnn.reference.optimizer import AdamState as AdamState
from jaxrnn.reference.optimizer import adam as adam
from jaxrnn.reference.optimizer import gradient_descent as gradient_descent
from jaxrnn.reference.optimizer import init_adam as init_adam
from jaxrnn.reference.rnn import RNNCarry as RNNCarry
from jaxrnn.reference.rnn import RNNParams as RNNParams
from jaxrnn.reference.rnn import RNNStep as RNNStep
from jaxrnn.reference.rnn import init_rnn as init_rnn
from jaxrnn.reference.rnn import rnn_backward as rnn_backward
from jaxrnn.reference.rnn import rnn_forward as rnn_forward
