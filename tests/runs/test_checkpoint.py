"""Saving and loading one checkpoint. Failures: test_checkpoint_failures.py."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn.config import Config, TrainConfig
from jaxrnn.errors import CheckpointError
from jaxrnn.models import stack
from jaxrnn.runs.checkpoint import load_params, save_new
from jaxrnn.runs.saved_steps import SavedStep
from jaxrnn.runs.saving import Checkpoints
from jaxrnn.training.averaging import averaged
from jaxrnn.training.state import init_state

from .conftest import load_state, state_at

Make = Callable[[Any], Path]


class Layer(NamedTuple):
    w: Any
    b: Any


class State(NamedTuple):
    """A small training state with every kind of leaf and node of the real one."""

    step: Any
    params: Any
    opt_state: Any
    carry: Any
    key: Any


def make_state(seed: int = 0) -> State:
    keys = jax.random.split(jax.random.key(seed), 3)
    params = (
        Layer(jax.random.normal(keys[0], (5, 7)), jnp.zeros(7)),
        (),  # a layer without parameters
        Layer(jax.random.normal(keys[1], (7, 3)), jnp.ones(3, jnp.bfloat16)),
    )
    opt_state = optax.adamw(1e-3).init(params)
    return State(jnp.array(seed), params, opt_state, (jnp.ones((2, 3)), jnp.array(True)), keys[2])


def assert_same(state: Any, expected: Any) -> None:
    assert str(jax.tree.structure(state)) == str(jax.tree.structure(expected))
    for leaf, expected_leaf in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == expected_leaf.dtype
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf, expected_leaf = jax.random.key_data(leaf), jax.random.key_data(expected_leaf)
        np.testing.assert_array_equal(leaf, expected_leaf)


@pytest.mark.parametrize("like", [lambda: make_state(1), lambda: jax.eval_shape(make_state)])
def test_a_state_is_loaded_into_a_concrete_or_abstract_state(make_run: Make, like: Any) -> None:
    assert_same(load_state(make_run(make_state(0)), like()), make_state(0))


def test_the_parameters_alone_can_be_loaded(make_run: Make) -> None:
    config = Config().model
    params = stack.init(jax.random.key(1), config, 11)
    run = make_run(make_state()._replace(params=params))
    assert_same(load_params(run, config, 11), params)
    with pytest.raises(CheckpointError, match=r"run: does not fit: params\.0\.table is .*, expected .*"):
        load_params(run, config, 12)


@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.9}], ids=str)
def test_averaged_parameters_are_loaded_if_there_are_any(make_run: Make, options: dict[str, Any]) -> None:
    config = Config(train=TrainConfig(**options))
    state = init_state(config, 11)
    plus_one = jax.tree.map(lambda leaf: leaf + 1, state.params)
    state = state._replace(params=plus_one)  # as after training
    run = make_run(state)
    assert_same(load_params(run, config.model, 11), averaged(plus_one, state.average))
    assert_same(load_state(run, jax.eval_shape(lambda: init_state(config, 11))), state)


def test_parameters_of_the_best_last_or_any_step_can_be_loaded(make_run: Make) -> None:
    config = Config().model
    params = [stack.init(jax.random.key(seed), config, 11) for seed in range(4)]
    run = make_run({"params": params[0]})
    with Checkpoints(run) as checkpoints:
        for step, loss in ((1, 1.0), (2, 3.0), (3, 2.0)):
            checkpoints.save(step, {"params": params[step]}, loss)
    for which, step in (("best", 1), ("last", 3), (2, 2)):
        assert_same(load_params(run, config, 11, which), params[step])  # type: ignore[arg-type]


SAVE_ON_TWO_DEVICES = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxrnn.runs.checkpoint import save_new
from jaxrnn.runs.saved_steps import SavedStep
devices = Mesh(jax.devices(), ("batch",))
assert devices.size == 2
params = jax.device_put(jnp.arange(6.0), NamedSharding(devices, PartitionSpec()))
carry = jax.device_put(jnp.arange(8.0).reshape(4, 2), NamedSharding(devices, PartitionSpec("batch")))
save_new(Path(sys.argv[1]), {"params": params, "carry": carry}, SavedStep(0))
"""


def test_a_checkpoint_of_two_devices_loads_on_one(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    two_devices = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    command = [sys.executable, "-c", SAVE_ON_TWO_DEVICES, str(tmp_path / "steps")]
    subprocess.run(command, env=two_devices, check=True)
    state = {"params": jnp.arange(6.0), "carry": jnp.arange(8.0).reshape(4, 2)}
    loaded = load_state(tmp_path, jax.eval_shape(lambda: state))
    assert_same(loaded, state)
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(loaded)} == {1}


def test_saving_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="absl"):
        save_new(tmp_path, state_at(0), SavedStep(0))
    assert caplog.records == []
