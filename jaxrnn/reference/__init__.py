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
    slstm.py        exponential gates, kept in range by a stabilizer
    rms_norm.py     a vector divided by its length
    mlstm.py        a matrix as memory
    linear_scan.py  a state that is only scaled and added to, and the three cells below on top of it
    min_gru.py      one gate
    min_lstm.py     two gates that add up to 1
    rg_lru.py       a decay for each unit, which a gate slows down
    gated_mlp.py    two dense layers and a gate between them
    causal_conv.py  a few inputs back, without recurrence
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
from jaxrnn.reference.causal_conv import CausalConvCarry as CausalConvCarry
from jaxrnn.reference.causal_conv import CausalConvParams as CausalConvParams
from jaxrnn.reference.causal_conv import CausalConvStep as CausalConvStep
from jaxrnn.reference.causal_conv import causal_conv_backward as causal_conv_backward
from jaxrnn.reference.causal_conv import causal_conv_forward as causal_conv_forward
from jaxrnn.reference.causal_conv import init_causal_conv as init_causal_conv
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
from jaxrnn.reference.gated_mlp import GatedMLPParams as GatedMLPParams
from jaxrnn.reference.gated_mlp import GatedMLPResiduals as GatedMLPResiduals
from jaxrnn.reference.gated_mlp import gated_mlp_backward as gated_mlp_backward
from jaxrnn.reference.gated_mlp import gated_mlp_forward as gated_mlp_forward
from jaxrnn.reference.gated_mlp import init_gated_mlp as init_gated_mlp
from jaxrnn.reference.gru import GRUCarry as GRUCarry
from jaxrnn.reference.gru import GRUParams as GRUParams
from jaxrnn.reference.gru import GRUStep as GRUStep
from jaxrnn.reference.gru import gru_backward as gru_backward
from jaxrnn.reference.gru import gru_forward as gru_forward
from jaxrnn.reference.gru import init_gru as init_gru
from jaxrnn.reference.linear_scan import LinearScanResiduals as LinearScanResiduals
from jaxrnn.reference.linear_scan import linear_scan_backward as linear_scan_backward
from jaxrnn.reference.linear_scan import linear_scan_forward as linear_scan_forward
from jaxrnn.reference.losses import CrossEntropyResiduals as CrossEntropyResiduals
from jaxrnn.reference.losses import softmax_cross_entropy_backward as softmax_cross_entropy_backward
from jaxrnn.reference.losses import softmax_cross_entropy_forward as softmax_cross_entropy_forward
from jaxrnn.reference.lstm import LSTMCarry as LSTMCarry
from jaxrnn.reference.lstm import LSTMParams as LSTMParams
from jaxrnn.reference.lstm import LSTMStep as LSTMStep
from jaxrnn.reference.lstm import init_lstm as init_lstm
from jaxrnn.reference.lstm import lstm_backward as lstm_backward
from jaxrnn.reference.lstm import lstm_forward as lstm_forward
from jaxrnn.reference.min_gru import MinGRUCarry as MinGRUCarry
from jaxrnn.reference.min_gru import MinGRUParams as MinGRUParams
from jaxrnn.reference.min_gru import MinGRUResiduals as MinGRUResiduals
from jaxrnn.reference.min_gru import init_min_gru as init_min_gru
from jaxrnn.reference.min_gru import min_gru_backward as min_gru_backward
from jaxrnn.reference.min_gru import min_gru_forward as min_gru_forward
from jaxrnn.reference.min_lstm import MinLSTMCarry as MinLSTMCarry
from jaxrnn.reference.min_lstm import MinLSTMParams as MinLSTMParams
from jaxrnn.reference.min_lstm import MinLSTMResiduals as MinLSTMResiduals
from jaxrnn.reference.min_lstm import init_min_lstm as init_min_lstm
from jaxrnn.reference.min_lstm import min_lstm_backward as min_lstm_backward
from jaxrnn.reference.min_lstm import min_lstm_forward as min_lstm_forward
from jaxrnn.reference.mlstm import MLSTMCarry as MLSTMCarry
from jaxrnn.reference.mlstm import MLSTMParams as MLSTMParams
from jaxrnn.reference.mlstm import MLSTMStep as MLSTMStep
from jaxrnn.reference.mlstm import init_mlstm as init_mlstm
from jaxrnn.reference.mlstm import mlstm_backward as mlstm_backward
from jaxrnn.reference.mlstm import mlstm_forward as mlstm_forward
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
from jaxrnn.reference.rg_lru import RGLRUCarry as RGLRUCarry
from jaxrnn.reference.rg_lru import RGLRUParams as RGLRUParams
from jaxrnn.reference.rg_lru import RGLRUResiduals as RGLRUResiduals
from jaxrnn.reference.rg_lru import init_rg_lru as init_rg_lru
from jaxrnn.reference.rg_lru import rg_lru_backward as rg_lru_backward
from jaxrnn.reference.rg_lru import rg_lru_forward as rg_lru_forward
from jaxrnn.reference.rms_norm import RMSNormParams as RMSNormParams
from jaxrnn.reference.rms_norm import RMSNormResiduals as RMSNormResiduals
from jaxrnn.reference.rms_norm import init_rms_norm as init_rms_norm
from jaxrnn.reference.rms_norm import rms_norm_backward as rms_norm_backward
from jaxrnn.reference.rms_norm import rms_norm_forward as rms_norm_forward
from jaxrnn.reference.rnn import RNNCarry as RNNCarry
from jaxrnn.reference.rnn import RNNParams as RNNParams
from jaxrnn.reference.rnn import RNNStep as RNNStep
from jaxrnn.reference.rnn import init_rnn as init_rnn
from jaxrnn.reference.rnn import rnn_backward as rnn_backward
from jaxrnn.reference.rnn import rnn_forward as rnn_forward
from jaxrnn.reference.slstm import SLSTMCarry as SLSTMCarry
from jaxrnn.reference.slstm import SLSTMParams as SLSTMParams
from jaxrnn.reference.slstm import SLSTMStep as SLSTMStep
from jaxrnn.reference.slstm import init_slstm as init_slstm
from jaxrnn.reference.slstm import slstm_backward as slstm_backward
from jaxrnn.reference.slstm import slstm_forward as slstm_forward
