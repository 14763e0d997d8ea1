"""A new layer is added in five places: its file, NumPy twin, gradcheck case, registry row and config class."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import LAYER_TYPES, DenseConfig, EmbeddingConfig, LayerConfig, ModelConfig
from jaxrnn.config.fields import Range
from jaxrnn.errors import InterchangeError
from jaxrnn.gradcheck import cases
from jaxrnn.gradcheck.check import check_gradients
from jaxrnn.inspection.activity import observe
from jaxrnn.interchange.torch_names import torch_modules
from jaxrnn.layers.dense import DenseParams, dense
from jaxrnn.layers.resets import reset_state
from jaxrnn.models import registry, stack
from jaxrnn.reference import model as reference
from jaxrnn.types import NO_GRADIENT, Array, Carry, Key
from jaxrnn_cli import app
from tests.cli.conftest import write_files

# 1. The layer, a leaky integrator: h_t = a * h_{t-1} + (1 - a) * u_t with u_t = tanh(x_t W_x + b).
#
#    dh_t = cotangent of h_t + a * dh_{t+1},   dz_t = dh_t * (1 - a) * (1 - u_t^2),
#    da = sum_t sum_batch dh_t * (h_{t-1} - u_t)


class LeakyParams(NamedTuple):
    w_x: Any  # [input, hidden]
    b: Any  # [hidden]
    a: Any  # [hidden]


class LeakyCarry(NamedTuple):
    h: Any  # [batch, hidden]


def init_leaky(key: Key, input_size: int, hidden_size: int, dtype: Any = jnp.float32) -> LeakyParams:
    w_x = jax.nn.initializers.glorot_uniform()(key, (input_size, hidden_size), dtype)
    return LeakyParams(w_x, jnp.zeros(hidden_size, dtype), jnp.full(hidden_size, 0.5, dtype))


def leaky_carry(params: LeakyParams, batch_size: int) -> LeakyCarry:
    return LeakyCarry(jnp.zeros((batch_size, params.a.size), params.a.dtype))


def leaky_input_projection(params: LeakyParams, xs: Array) -> Array:
    return dense(DenseParams(params.w_x, params.b), xs)


@jax.custom_vjp
def leaky_recurrence(
    params: LeakyParams, carry: LeakyCarry, zs: Array, resets: Array | None = None
) -> tuple[LeakyCarry, Array]:
    outputs, _ = leaky_fwd(params, carry, zs, resets)
    return outputs


def leaky_fwd(params: LeakyParams, carry: LeakyCarry, zs: Array, resets: Array | None) -> Any:
    us = jnp.tanh(zs)

    def step(h: Array, here: Any) -> tuple[Array, tuple[Array, Array]]:
        u, reset = here
        h_before = reset_state(h, reset)
        h = params.a[None] * h_before + (1 - params.a[None]) * u
        return h, (h, h_before)

    h, (hs, h_prev) = jax.lax.scan(step, carry.h, (us, resets))
    return (LeakyCarry(h), hs), (params.a, us, h_prev, resets)


def leaky_bwd(residuals: Any, cotangents: Any) -> Any:
    a, us, h_prev, resets = residuals
    d_carry, d_hs = cotangents

    def step(dh_next: Array, here: Any) -> tuple[Array, Array]:
        d_h, reset = here
        dh = d_h + dh_next
        return reset_state(a[None] * dh, reset), dh

    dh_0, dhs = jax.lax.scan(step, d_carry.h, (d_hs, resets), reverse=True)
    d_params = LeakyParams(NO_GRADIENT, NO_GRADIENT, (dhs * (h_prev - us)).sum((0, 1)))
    return d_params, LeakyCarry(dh_0), dhs * (1 - a)[None, None] * (1 - us * us), None


leaky_recurrence.defvjp(leaky_fwd, leaky_bwd)


def leaky(
    params: LeakyParams, carry: LeakyCarry, xs: Array, *, resets: Array | None = None
) -> tuple[LeakyCarry, Array]:
    return leaky_recurrence(params, carry, leaky_input_projection(params, xs), resets)


# 2. Its twin in NumPy.


def leaky_forward(params: Any, carry: Any, xs: Any, resets: Any = None) -> Any:
    h, hs, residuals = carry.h, [], []
    for t, x in enumerate(xs):
        h_before = h if resets is None else np.where(resets[t][:, None], 0, h)
        u = np.tanh(x @ params.w_x + params.b)
        h = params.a[None] * h_before + (1 - params.a[None]) * u
        hs.append(h)
        residuals.append((x, u, h_before, None if resets is None else resets[t]))
    return LeakyCarry(h), np.stack(hs), residuals


def leaky_backward(params: Any, residuals: Any, d_carry: Any, d_hs: Any) -> Any:
    d_w_x, d_b, d_a = (np.zeros_like(leaf) for leaf in params)
    d_xs, d_h = [], d_carry.h
    for (x, u, h_before, reset), d_output in zip(reversed(residuals), d_hs[::-1], strict=True):
        d_h = d_output + d_h
        d_a += (d_h * (h_before - u)).sum(0)
        d_z = d_h * (1 - params.a) * (1 - u**2)
        d_w_x += x.T @ d_z
        d_b += d_z.sum(0)
        d_xs.append(d_z @ params.w_x.T)
        d_h = params.a * d_h if reset is None else np.where(reset[:, None], 0, params.a * d_h)
    return LeakyParams(d_w_x, d_b, d_a), LeakyCarry(d_h), np.stack(d_xs[::-1])


TWIN = reference.Layer(
    init=lambda rng, config, input_size, **_: LeakyParams(
        rng.standard_normal((input_size, config.size)), np.zeros(config.size), np.full(config.size, 0.5)
    ),
    forward=lambda params, carry, xs, resets, **_: leaky_forward(params, carry, xs, resets),
    backward=lambda params, residuals, d_carry, d_ys, **_: leaky_backward(params, residuals, d_carry, d_ys),
    initial_carry=lambda params, batch_size, **_: LeakyCarry(np.zeros((batch_size, params.a.size))),
)

# 3. Its gradcheck case.


def plain_leaky_step(params: LeakyParams, carry: Carry, x: Array) -> tuple[LeakyCarry, Array]:
    h = params.a[None] * carry.h + (1 - params.a[None]) * jnp.tanh(x @ params.w_x + params.b[None])
    return LeakyCarry(h), h


def leaky_cases(rng: np.random.Generator, sizes: cases.Sizes) -> list[cases.Case]:
    arguments = cases.recurrent_arguments(rng, sizes, init_leaky, leaky_carry)
    options = {"": {}, " (resets)": cases.resets_option(sizes)}
    return cases.recurrent_cases("leaky", arguments, leaky_forward, leaky_backward, options)


# 4. Its row in the table of layers.

ROW = registry.Layer(
    init=lambda key, config, input_size, dtype, **_: init_leaky(key, input_size, config.size, dtype),
    apply=lambda params, carry, projected, resets, **_: leaky_recurrence(params, carry, projected, resets),
    initial_carry=lambda params, batch_size, **_: leaky_carry(params, batch_size),
    input_projection=leaky_input_projection,
)


# 5. Its config class.


@dataclass(frozen=True, kw_only=True)
class LeakyConfig(LayerConfig):
    type: ClassVar[str] = "leaky"
    size: Annotated[int, Range(1, 100)]


@pytest.fixture(autouse=True)
def joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYER_TYPES, "leaky", LeakyConfig)
    monkeypatch.setitem(registry.LAYERS, "leaky", ROW)
    monkeypatch.setitem(reference.LAYERS, "leaky", TWIN)
    trial = cases.OnTrial(leaky, cases.over_time(plain_leaky_step), leaky_cases)
    monkeypatch.setitem(cases.ON_TRIAL, "leaky", trial)


CONFIG = ModelConfig(layers=(EmbeddingConfig(size=4), LeakyConfig(size=6), DenseConfig()))


def test_gradcheck_verifies_it() -> None:
    checks = list(check_gradients("leaky"))
    assert [check for check in checks if not check.passed] == []
    leaves = {"params.w_x", "params.b", "params.a", "carry.h", "xs"}
    assert {(check.layer, check.leaf) for check in checks} == {
        (case, leaf) for case in ("leaky", "leaky (resets)") for leaf in leaves
    }


def test_its_stack_agrees_with_the_numpy_stack() -> None:
    params = stack.init(jax.random.key(0), CONFIG, 5)
    tokens = np.random.default_rng(0).integers(0, 5, (3, 8))
    carry, logits = stack.apply(CONFIG, params, stack.initial_carry(CONFIG, params, 3), jnp.asarray(tokens))
    in_numpy = jax.device_get(params)
    first = reference.initial_carry(CONFIG.layers, in_numpy, 3)
    expected_carry, expected, _ = reference.model_forward(CONFIG.layers, in_numpy, first, tokens)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(carry[1].h, expected_carry[1].h, rtol=1e-5, atol=1e-6)


def test_it_can_be_trained_saved_resumed_and_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> str:
        assert app.run([*args]) == 0
        return capsys.readouterr().out

    options = ("--set", "model.layers.1.type=leaky", "--set", "train.schedule=constant", "--quiet")
    run("pretrain", "tiny.toml", "--to", "whole", *options)
    run("pretrain", "tiny.toml", "--to", "parts", *options, "--set", "train.steps=10")
    run("pretrain", "tiny.toml", "--to", "parts", *options, "--resume")

    def losses(name: str) -> list[str]:
        with Path("checkpoints", name, "metrics.csv").open() as file:
            return [row["val_loss"] for row in csv.DictReader(file)]

    assert len(losses("whole")) == 2
    assert losses("whole") == losses("parts")
    whole, parts = (run("sample", "--from", name, "--rng-seed", "1") for name in ("whole", "parts"))
    assert len(whole) > 20
    assert whole == parts


def test_it_can_be_inspected_and_unsupported_formats_refuse_it_by_name() -> None:
    params = stack.init(jax.random.key(0), CONFIG, 5)
    (track,) = observe(CONFIG, params, np.arange(5, dtype=np.uint8)).tracks
    assert (track.layer, track.kind, track.values.shape) == (1, "h", (5, 6))
    with pytest.raises(InterchangeError, match=r"layers\[1\] is of type leaky, which no module of PyTorch"):
        torch_modules(CONFIG, 5)
