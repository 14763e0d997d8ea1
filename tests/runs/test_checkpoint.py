"""Checkpoints: what is saved comes back, while training goes on. What goes wrong: test_checkpoint_failures.py."""

import logging
import math
import os
import signal
import subprocess
import sys
import threading
from functools import partial
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
from jaxrnn.runs import checkpoint, saving
from jaxrnn.runs.checkpoint import load_params, load_state, save_new
from jaxrnn.runs.manifest import describe
from jaxrnn.runs.saved_steps import SavedStep, find_step, list_steps
from jaxrnn.runs.saving import Checkpoints
from jaxrnn.training.averaging import averaged
from jaxrnn.training.state import init_state


class Layer(NamedTuple):
    w: Any
    b: Any


class State(NamedTuple):
    """A training state in small: every kind of leaf and of node that the real one has."""

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


def entries(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "steps").iterdir())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with the checkpoint of step 0, whose state is make_state(0)."""
    (tmp_path / "run" / "steps").mkdir(parents=True)
    save_new(tmp_path / "run" / "steps", make_state(0))
    return tmp_path / "run"


# What is saved comes back.


def test_a_state_comes_back_as_it_was(run: Path) -> None:
    assert_same(load_state(run, make_state(1)), make_state(0))


def test_an_abstract_state_is_enough_to_load_one(run: Path) -> None:
    assert_same(load_state(run, jax.eval_shape(make_state)), make_state(0))


def test_the_parameters_alone_can_be_loaded(tmp_path: Path) -> None:
    config = Config().model
    params = stack.init(jax.random.key(1), config, 11)
    (tmp_path / "steps").mkdir()
    save_new(tmp_path / "steps", make_state()._replace(params=params))
    assert_same(load_params(tmp_path, config, 11), params)


@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.9}], ids=str)
def test_where_there_is_an_average_it_is_the_parameters_that_are_loaded(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    config = Config(train=TrainConfig(**options))
    state = init_state(config, 11)
    plus_one = jax.tree.map(lambda leaf: leaf + 1, state.params)
    state = state._replace(params=plus_one)  # as if training had gone on
    (tmp_path / "steps").mkdir()
    save_new(tmp_path / "steps", state)
    assert_same(load_params(tmp_path, config.model, 11), averaged(plus_one, state.average))
    assert_same(load_state(tmp_path, jax.eval_shape(lambda: init_state(config, 11))), state)


def test_parameters_for_another_vocabulary_are_refused_before_any_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config().model
    (tmp_path / "steps").mkdir()
    save_new(tmp_path / "steps", make_state()._replace(params=stack.init(jax.random.key(1), config, 11)))
    monkeypatch.setattr(checkpoint, "_read_leaves", None)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_params(tmp_path, config, 12)


SAVE_ON_TWO_DEVICES = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxrnn.runs.checkpoint import save_new
devices = Mesh(jax.devices(), ("batch",))
assert devices.size == 2
params = jax.device_put(jnp.arange(6.0), NamedSharding(devices, PartitionSpec()))
carry = jax.device_put(jnp.arange(8.0).reshape(4, 2), NamedSharding(devices, PartitionSpec("batch")))
save_new(Path(sys.argv[1]), {"params": params, "carry": carry})
"""


def test_what_two_devices_saved_one_device_loads(tmp_path: Path) -> None:
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


# Saving while training goes on.


def test_the_last_two_and_the_best_are_kept(run: Path) -> None:
    losses = {1: 3.0, 2: 2.0, 3: 2.5, 4: None, 5: 2.2, 6: None}
    kept = []
    with Checkpoints(run) as checkpoints:
        for step, loss in losses.items():
            checkpoints.save(step, make_state(step), loss)
            checkpoints.wait()
            kept.append(entries(run))
        assert checkpoints.last == SavedStep(6, None)
        assert checkpoints.best == SavedStep(2, 2.0)
    assert kept == [["0", "1"], ["1", "2"], ["2", "3"], ["2", "3", "4"], ["2", "4", "5"], ["2", "5", "6"]]
    assert list_steps(run) == [SavedStep(2, 2.0), SavedStep(5, 2.2), SavedStep(6, None)]
    assert_same(load_state(run, make_state(), "last"), make_state(6))
    assert_same(load_state(run, make_state(), "best"), make_state(2))


def test_the_best_is_the_last_where_nothing_was_evaluated(run: Path) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
        checkpoints.save(2, make_state(2))
    assert entries(run) == ["1", "2"]
    assert find_step(run, "best") == SavedStep(2, None)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_no_loss(run: Path, loss: float) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1), 4.0)
        checkpoints.save(2, make_state(2), loss)
    assert find_step(run, "best") == SavedStep(1, 4.0)
    assert find_step(run, "last") == SavedStep(2, None)


def test_the_best_is_found_again_after_a_restart(run: Path) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1), 1.0)
        checkpoints.save(2, make_state(2), 2.0)
    with Checkpoints(run) as checkpoints:
        assert checkpoints.best == SavedStep(1, 1.0)
        checkpoints.save(3, make_state(3), 1.5)
        checkpoints.save(4, make_state(4), 1.6)
    assert entries(run) == ["1", "3", "4"]


def test_a_buffer_may_be_donated_as_soon_as_save_returns(run: Path) -> None:
    @partial(jax.jit, donate_argnums=0)
    def train(state: State) -> State:
        return state._replace(
            step=state.step + 1, params=jax.tree.map(lambda x: x * 0 + state.step, state.params)
        )

    state = make_state(0)
    saved = state
    with Checkpoints(run) as checkpoints:
        for step in range(1, 31):
            state = train(state)
            if step % 5 == 0:
                checkpoints.save(step, state, -step)
                saved = jax.tree.map(np.array, state._replace(key=None))
                for _ in range(3):
                    state = train(state)  # donates what is being written
    loaded = load_state(run, make_state())
    np.testing.assert_array_equal(loaded.params[0].w, saved.params[0].w)
    assert loaded.step == saved.step


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event without which no checkpoint is written."""
    free = threading.Event()
    monkeypatch.setattr(saving, "describe", lambda *args: free.wait(60) and describe(*args))
    return free


def test_save_returns_before_the_checkpoint_is_written(run: Path, disk: threading.Event) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
        assert entries(run) == ["0"]
        disk.set()
        checkpoints.wait()
        assert entries(run) == ["0", "1"]


def test_what_is_saved_is_the_state_as_it_was_when_save_was_called(run: Path, disk: threading.Event) -> None:
    state = {"step": np.array(1, np.int32)}
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, state)
        state["step"][...] = 2
        disk.set()
    assert load_state(run, {"step": jnp.array(0)})["step"] == 1


def test_a_step_that_is_saved_already_is_not_written_again(run: Path) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1), 2.0)
        checkpoints.wait()
        before = (run / "steps" / "1").stat().st_ino
        checkpoints.save(1, make_state(1))  # at the end, say, or on a signal
    assert (run / "steps" / "1").stat().st_ino == before
    assert find_step(run) == SavedStep(1, 2.0)


def test_a_step_saved_again_with_a_loss_learns_the_loss(run: Path) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
        checkpoints.save(1, make_state(1), 2.0)
    assert find_step(run) == SavedStep(1, 2.0)


def test_a_step_saved_again_with_another_state_is_replaced(run: Path) -> None:
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
        checkpoints.save(1, make_state(8))
    assert entries(run) == ["0", "1"]
    assert_same(load_state(run, make_state()), make_state(8))


def test_saving_leaves_signals_alone(run: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_saving_logs_nothing(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="absl"), Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
    assert caplog.records == []
