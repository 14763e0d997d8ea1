"""Recurrent language models in JAX that you can read, prove and train fast."""

from jaxrnn.layers.block import RNNBlockParams as RNNBlockParams
from jaxrnn.layers.block import init_rnn_block as init_rnn_block
from jaxrnn.layers.block import rnn_block as rnn_block
from jaxrnn.layers.block import rnn_block_carry as rnn_block_carry
from jaxrnn.layers.block import rnn_block_step as rnn_block_step
from jaxrnn.layers.dense import DenseParams as DenseParams
from jaxrnn.layers.dense import dense as dense
from jaxrnn.layers.dense import init_dense as init_dense
from jaxrnn.layers.dropout import dropout as dropout
from jaxrnn.layers.embedding import EmbeddingParams as EmbeddingParams
from jaxrnn.layers.embedding import embedding as embedding
from jaxrnn.layers.embedding import init_embedding as init_embedding
from jaxrnn.layers.gru import GRUCarry as GRUCarry
from jaxrnn.layers.gru import GRUParams as GRUParams
from jaxrnn.layers.gru import gru as gru
from jaxrnn.layers.gru import gru_carry as gru_carry
from jaxrnn.layers.gru import gru_step as gru_step
from jaxrnn.layers.gru import init_gru as init_gru
from jaxrnn.layers.losses import softmax_cross_entropy as softmax_cross_entropy
from jaxrnn.layers.lstm import LSTMCarry as LSTMCarry
from jaxrnn.layers.lstm import LSTMParams as LSTMParams
from jaxrnn.layers.lstm import init_lstm as init_lstm
from jaxrnn.layers.lstm import lstm as lstm
from jaxrnn.layers.lstm import lstm_carry as lstm_carry
from jaxrnn.layers.lstm import lstm_step as lstm_step
from jaxrnn.layers.mogrifier import MogrifierLSTMParams as MogrifierLSTMParams
from jaxrnn.layers.mogrifier import MogrifierRound as MogrifierRound
from jaxrnn.layers.mogrifier import init_mogrifier_lstm as init_mogrifier_lstm
from jaxrnn.layers.mogrifier import mogrifier_lstm as mogrifier_lstm
from jaxrnn.layers.mogrifier import mogrifier_lstm_step as mogrifier_lstm_step
from jaxrnn.layers.rnn import RNNCarry as RNNCarry
from jaxrnn.layers.rnn import RNNParams as RNNParams
from jaxrnn.layers.rnn import init_rnn as init_rnn
from jaxrnn.layers.rnn import rnn as rnn
from jaxrnn.layers.rnn import rnn_carry as rnn_carry
from jaxrnn.layers.rnn import rnn_step as rnn_step

__version__ = "0.2.0"
