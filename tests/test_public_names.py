"""`from jaxrnn import ...`: what a reader's own program can count on."""

import inspect

import jaxrnn

PUBLIC = {
    "embedding dense dropout rnn lstm gru rnn_block softmax_cross_entropy",
    "init_embedding init_dense init_rnn init_lstm init_gru init_rnn_block",
    "EmbeddingParams DenseParams RNNParams LSTMParams GRUParams RNNBlockParams",
    "RNNCarry LSTMCarry GRUCarry rnn_carry lstm_carry gru_carry rnn_block_carry",
}


def test_every_promised_name_is_there_and_says_what_it_is() -> None:
    for name in " ".join(PUBLIC).split():
        assert inspect.getdoc(getattr(jaxrnn, name)), name


def test_recurrent_layers_take_parameters_carry_and_inputs_in_this_order() -> None:
    for layer in (jaxrnn.rnn, jaxrnn.lstm, jaxrnn.gru, jaxrnn.rnn_block):
        assert list(inspect.signature(layer).parameters) == ["params", "carry", "xs"]
