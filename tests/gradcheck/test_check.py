from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxrnn import dense, embedding, gru, lstm, rnn
from jaxrnn.errors import ConfigError
from jaxrnn.gradcheck.cases import ON_TRIAL, Sizes
from jaxrnn.gradcheck.check import Check, check_gradients
from jaxrnn.layers.block import rnn_block
from jaxrnn.layers.losses import softmax_cross_entropy

LSTM_LEAVES = {"params.w_x", "params.w_h", "params.b", "carry.h", "carry.c", "xs"}
LEAVES = {
    "rms_norm": {"params.scale", "xs"},
    "gated_mlp": {"params.w_in", "params.w_out", "xs"},
    "embedding": {"params.table"},
    "dense": {"params.w", "params.b", "xs"},
    "dropout": {"xs"},
    "dropout (variational)": {"xs"},
    "rnn": LSTM_LEAVES - {"carry.c"},
    "gru": LSTM_LEAVES - {"carry.c"} | {"params.b_n"},
    "min_gru": {"params.w_x", "params.b", "carry.h", "xs"},
    "min_lstm": {"params.w_x", "params.b", "carry.h", "xs"},
    "rg_lru": {"params.w_x", "params.b", "params.a_param", "carry.h", "xs"},
    "softmax_cross_entropy": {"logits"},
}
BLOCK_LEAVES = {
    "params.cell.w_x",
    "params.cell.w_h",
    "params.cell.b",
    "params.dense.w",
    "params.dense.b",
    "carry.h",
    "xs",
}


SINGLE_LAYERS = [layer for layer in ON_TRIAL if layer != "projected_table"]


def cases_of(layer):
    """Return the cases of a layer; call it with 64-bit types enabled."""
    return ON_TRIAL[layer].cases(np.random.default_rng(0), Sizes())


@pytest.mark.parametrize("layer", ON_TRIAL)
def test_every_hand_derived_gradient_agrees_with_three_oracles(layer):
    checks = list(check_gradients(layer))
    assert [check for check in checks if not check.passed] == []
    leaves = {
        name: {check.leaf for check in checks if check.layer == name} for name in {c.layer for c in checks}
    }
    if layer == "rnn_block":
        lstm_leaves, gru_leaves = BLOCK_LEAVES | {"carry.c"}, BLOCK_LEAVES | {"params.cell.b_n"}
        expected = {
            "rnn_block (rnn)": BLOCK_LEAVES,
            "rnn_block (lstm)": lstm_leaves,
            "rnn_block (gru)": gru_leaves,
            "rnn_block (lstm, resets)": lstm_leaves,
        }
        assert leaves == expected
    elif layer == "lstm":
        options = ("lstm", "lstm (recurrent_dropout)", "lstm (resets)")
        assert leaves == dict.fromkeys(options, LSTM_LEAVES)
    elif layer == "mogrifier_lstm":
        low = {f"params.rounds.{k}.{w}" for k in range(3) for w in ("w_in", "w_out")}
        options = ("", " (recurrent_dropout)", " (resets)")
        assert leaves == {
            "mogrifier_lstm": LSTM_LEAVES | {f"params.rounds.{k}.w_out" for k in range(4)},
            **{f"mogrifier_lstm, low rank{option}": LSTM_LEAVES | low for option in options},
        }
    elif layer == "slstm":
        names = ("slstm, one head", "slstm", "slstm (recurrent_dropout)", "slstm (resets)")
        assert leaves == dict.fromkeys(names, LSTM_LEAVES | {"carry.n", "carry.m"})
    elif layer == "mlstm":
        names = ("mlstm", "mlstm (resets)", "mlstm, chunks", "mlstm, chunks (resets)")
        assert leaves == {name: {"params.w_x", "params.b", "params.scale", "carry.c", "xs"} for name in names}
    elif layer == "causal_conv":
        names = ("causal_conv", "causal_conv (resets)", "causal_conv, wide (resets)")
        assert leaves == {name: {"params.taps", "params.b", "carry.xs", "xs"} for name in names}
    elif layer == "linear_scan":
        names = ("linear_scan", "linear_scan (resets)")
        assert leaves == {name: {"xs.0", "xs.1", "carry"} for name in names}
    elif layer == "residual":
        inside = {
            "params.0.scale",
            "params.1.taps",
            "params.2.w_h",
            "params.3.w",
            "carry.1.xs",
            "carry.2.c",
            "xs",
        }
        assert set(leaves) == {
            f"residual ({each}" for each in ("recurrent)", "recurrent) (resets)", "feed-forward)")
        }
        assert inside <= leaves["residual (recurrent)"] & leaves["residual (recurrent) (resets)"]
        assert leaves["residual (feed-forward)"] == {
            "params.0.scale",
            "params.1.w_in",
            "params.1.w_out",
            "xs",
        }
    elif layer == "projected_table":
        assert {f"projected_table ({cell})" for cell in ("rnn", "lstm", "gru", "rnn_block")} == set(leaves)
        assert {"params.0.table", "params.1.w_x", "params.1.w_h", "params.2.w"} <= leaves[
            "projected_table (lstm)"
        ]
        assert {"carry.1.h", "carry.1.c"} <= leaves["projected_table (lstm)"]
    elif layer == "dropout":
        assert leaves == {name: LEAVES[name] for name in ("dropout", "dropout (variational)")}
    elif layer in ("rnn", "gru", "min_gru", "min_lstm", "rg_lru"):
        assert leaves == dict.fromkeys((layer, f"{layer} (resets)"), LEAVES[layer])
    else:
        assert leaves[layer] == LEAVES[layer]


@pytest.mark.parametrize("layer", SINGLE_LAYERS)
def test_gradients_agree_for_sizes_of_1(layer):
    sizes = Sizes(batch_size=1, input_size=1, hidden_size=1, vocabulary_size=1)
    assert [check for check in check_gradients(layer, sizes=sizes) if not check.passed] == []


@pytest.mark.parametrize("layer", ON_TRIAL)
def test_a_layer_equals_its_plain_forward_pass(layer):
    with jax.enable_x64(True):
        trial = ON_TRIAL[layer]
        for case in cases_of(layer):
            calls = [partial(case.call, function) for function in (trial.function, trial.plain)]
            outputs, expected = jax.jit(lambda arguments, calls=calls: [call(arguments) for call in calls])(
                case.arguments
            )
            assert jax.tree.structure(outputs) == jax.tree.structure(expected)
            for output, twin in zip(jax.tree.leaves(outputs), jax.tree.leaves(expected), strict=True):
                assert output.dtype == twin.dtype == jnp.float64
                np.testing.assert_allclose(output, twin, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layer", ["embedding", "lstm"])  # another oracle, slower than ours
def test_gradients_agree_with_jax_check_grads(layer):
    with jax.enable_x64(True):
        case = cases_of(layer)[0]
        function = jax.jit(partial(case.call, ON_TRIAL[layer].function))
        check_grads(function, (case.arguments,), order=1, modes=["rev"])


# Errors that the check must detect.


def with_spoiled_gradient(function, spoil):
    """The function with `spoil` applied to the gradients of its arguments."""

    def call(*arguments, **options):
        chosen = partial(function, **options)
        spoiled = jax.custom_vjp(lambda *arguments: chosen(*arguments))
        spoiled.defvjp(lambda *arguments: jax.vjp(chosen, *arguments), lambda pull, d: spoil(*pull(d)))
        return spoiled(*arguments)

    return call


def flip_w_h(d_params, d_carry, d_xs):
    return d_params._replace(w_h=-d_params.w_h), d_carry, d_xs


def flip_c(d_params, d_carry, d_xs):
    return d_params, d_carry._replace(c=-d_carry.c), d_xs


def flip_b_n(d_params, d_carry, d_xs):
    return d_params._replace(b_n=-d_params.b_n), d_carry, d_xs


def forget_the_skip(d_params, d_carry, d_xs):
    return d_params, d_carry, d_xs / 2


@pytest.mark.parametrize(
    ("layer", "function", "spoil", "leaf"),
    [
        ("dense", dense, lambda d_params, d_xs: (d_params, -d_xs), "xs"),
        ("rnn", rnn, flip_w_h, "params.w_h"),
        ("lstm", lstm, flip_c, "carry.c"),
        ("gru", gru, flip_b_n, "params.b_n"),
        ("rnn_block", rnn_block, forget_the_skip, "xs"),
        ("softmax_cross_entropy", softmax_cross_entropy, lambda d_logits, _: (-d_logits, None), "logits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_gradient_is_detected_by_every_oracle_and_located(layer, function, spoil, leaf):
    checks = list(check_gradients(layer, replace={layer: with_spoiled_gradient(function, spoil)}))
    for check in checks:
        assert check.passed == (check.leaf != leaf)
        if check.leaf == leaf:
            assert min(check.autodiff, check.reference, check.differences) > 0.1


def test_an_embedding_gradient_that_overwrites_repeated_tokens_is_detected():
    @jax.custom_vjp
    def overwriting(params, ids):
        return embedding(params, ids)

    def backward(residuals, d_xs):
        params, ids = residuals
        return type(params)(jnp.zeros_like(params.table).at[ids].set(d_xs)), None

    overwriting.defvjp(lambda params, ids: (embedding(params, ids), (params, ids)), backward)
    for check in check_gradients("embedding", replace={"embedding": overwriting}):
        assert not check.passed
        assert min(check.autodiff, check.reference, check.differences) > 0.1


def test_an_error_in_the_eighth_digit_is_detected():
    slightly_wrong = with_spoiled_gradient(dense, lambda d_params, d_xs: (d_params, d_xs * (1 + 1e-8)))
    verdicts = {
        check.leaf: check.passed for check in check_gradients("dense", replace={"dense": slightly_wrong})
    }
    assert verdicts == {"params.w": True, "params.b": True, "xs": False}


def test_a_gradient_of_nan_is_detected():
    not_a_number = with_spoiled_gradient(dense, lambda d_params, d_xs: (d_params, d_xs * jnp.nan))
    verdicts = {
        check.leaf: check.passed for check in check_gradients("dense", replace={"dense": not_a_number})
    }
    assert verdicts == {"params.w": True, "params.b": True, "xs": False}


@pytest.mark.parametrize("oracle", ["autodiff", "reference", "differences"])
@pytest.mark.parametrize("error", [1e-5, float("nan"), float("inf")])
def test_a_check_passes_only_if_all_three_errors_are_small(oracle, error):
    small = Check("lstm", "xs", autodiff=1e-12, reference=1e-12, differences=1e-8)
    assert small.passed
    assert not small._replace(**{oracle: error}).passed


@pytest.mark.parametrize("before", [False, True])
def test_the_64_bit_setting_is_unchanged_even_between_results(before):
    with jax.enable_x64(before):
        for _ in check_gradients("dense"):
            assert jax.config.jax_enable_x64 is before
        for _ in check_gradients("dropout"):
            break
        assert jax.config.jax_enable_x64 is before


def test_an_unknown_layer_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"'lsmt'.*did you mean lstm"):
        check_gradients("lsmt")
    with pytest.raises(ConfigError, match=r"'xyzzy'.*embedding, dense, dropout"):
        check_gradients("xyzzy")
    with pytest.raises(ConfigError, match=r"'embeding'.*did you mean embedding"):
        check_gradients(replace={"embeding": embedding})
