"""Checkpoints: what is saved comes back, or one line says why not."""

import json
import logging
import math
import multiprocessing
import os
import random
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrnn import checkpoint, model
from jaxrnn.checkpoint import Checkpoints, SavedStep, find_step, list_steps, load_params, load_state, save_new
from jaxrnn.config import Config
from jaxrnn.errors import CheckpointError, SaveError


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


def make_state(seed=0, size=5):
    keys = jax.random.split(jax.random.key(seed), 3)
    params = (
        Layer(jax.random.normal(keys[0], (size, 7)), jnp.zeros(7)),
        (),  # a layer without parameters
        Layer(jax.random.normal(keys[1], (7, 3)), jnp.ones(3, jnp.bfloat16)),
    )
    opt_state = optax.adamw(1e-3).init(params)
    return State(jnp.array(seed), params, opt_state, (jnp.ones((2, 3)), jnp.array(True)), keys[2])


def assert_same(state, expected):
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for leaf, expected_leaf in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == expected_leaf.dtype
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf, expected_leaf = jax.random.key_data(leaf), jax.random.key_data(expected_leaf)
        np.testing.assert_array_equal(leaf, expected_leaf)


def entries(run):
    return sorted(path.name for path in (run / "steps").iterdir())


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def run(tmp_path):
    """A run with the checkpoint of step 0, whose state is make_state(0)."""
    (tmp_path / "run" / "steps").mkdir(parents=True)
    save_new(tmp_path / "run" / "steps", make_state(0))
    return tmp_path / "run"


# What is saved comes back.


def test_a_state_comes_back_as_it_was(run):
    assert_same(load_state(run, make_state(1)), make_state(0))


def test_an_abstract_state_is_enough_to_load_one(run):
    assert_same(load_state(run, jax.eval_shape(make_state)), make_state(0))


def test_a_loaded_key_draws_the_same_numbers(run):
    key = load_state(run, jax.eval_shape(make_state)).key
    np.testing.assert_array_equal(jax.random.normal(key, (9,)), jax.random.normal(make_state(0).key, (9,)))


def test_keys_of_another_kind_come_back_as_that_kind(tmp_path):
    save_new(tmp_path, {"key": jax.random.key(5, impl="rbg")})
    (tmp_path / "steps").symlink_to(tmp_path)  # a folder of checkpoints is one, wherever it lies
    like = jax.eval_shape(lambda: {"key": jax.random.key(0, impl="rbg")})
    assert load_state(tmp_path, like)["key"].dtype == jax.random.key(5, impl="rbg").dtype


def test_the_parameters_alone_can_be_loaded(tmp_path):
    config = Config().model
    params = model.init(jax.random.key(1), config, 11)
    (tmp_path / "steps").mkdir()
    save_new(tmp_path / "steps", make_state()._replace(params=params))
    assert_same(load_params(tmp_path, config, 11), params)


def test_loaded_arrays_are_free_to_be_donated_and_moved(run):
    state = load_state(run, jax.eval_shape(make_state))
    w = state.params[0].w
    assert not w.committed
    doubled = jax.jit(lambda x: x * 2, donate_argnums=0)(w)
    assert w.is_deleted()
    np.testing.assert_array_equal(doubled, make_state(0).params[0].w * 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: make_state(size=6), "opt_state.0.mu.0.w is float32[5, 7], but float32[6, 7]"),
        (lambda state: state._replace(step=jnp.array(1.0)), "step is int32[], but float32[] is asked for"),
        (lambda state: state._replace(carry=()), "it has carry.0"),
        (lambda state: state._replace(carry=(*state.carry, jnp.ones(1))), "it has no carry.2"),
    ],
)
def test_a_state_of_another_shape_is_refused_by_name(run, change, words):
    wanted = jax.eval_shape(lambda: change(make_state()))
    with pytest.raises(CheckpointError) as error:
        load_state(run, wanted)
    assert words in one_line(error)


def test_parameters_for_another_vocabulary_are_refused_before_any_file_is_read(tmp_path, monkeypatch):
    config = Config().model
    (tmp_path / "steps").mkdir()
    save_new(tmp_path / "steps", make_state()._replace(params=model.init(jax.random.key(1), config, 11)))
    monkeypatch.setattr(checkpoint, "_read_leaves", None)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_params(tmp_path, config, 12)


SAVE_ON_TWO_DEVICES = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxrnn.checkpoint import save_new
devices = Mesh(jax.devices(), ("batch",))
assert devices.size == 2
params = jax.device_put(jnp.arange(6.0), NamedSharding(devices, PartitionSpec()))
carry = jax.device_put(jnp.arange(8.0).reshape(4, 2), NamedSharding(devices, PartitionSpec("batch")))
save_new(Path(sys.argv[1]), {"params": params, "carry": carry})
"""


def test_what_two_devices_saved_one_device_loads(tmp_path):
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


def test_the_last_and_the_best_are_kept(run):
    losses = {1: 3.0, 2: 2.0, 3: 2.5, 4: None, 5: 2.2, 6: None}
    kept = []
    with Checkpoints(run) as checkpoints:
        for step, loss in losses.items():
            checkpoints.save(step, make_state(step), loss)
            checkpoints.wait()
            kept.append(entries(run))
        assert checkpoints.last == SavedStep(6, None)
        assert checkpoints.best == SavedStep(2, 2.0)
    assert kept == [["1"], ["2"], ["2", "3"], ["2", "4"], ["2", "5"], ["2", "6"]]
    assert list_steps(run) == [SavedStep(2, 2.0), SavedStep(6, None)]
    assert_same(load_state(run, make_state(), "last"), make_state(6))
    assert_same(load_state(run, make_state(), "best"), make_state(2))


def test_the_best_is_the_last_where_nothing_was_evaluated(run):
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
        checkpoints.save(2, make_state(2))
    assert entries(run) == ["2"]
    assert find_step(run, "best") == SavedStep(2, None)


def test_of_equals_the_first_stays_the_best(run):
    with Checkpoints(run) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, make_state(step), 2.0)
    assert find_step(run, "best").step == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_no_loss(run, loss):
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1), 4.0)
        checkpoints.save(2, make_state(2), loss)
    assert find_step(run, "best") == SavedStep(1, 4.0)
    assert find_step(run, "last") == SavedStep(2, None)


def test_the_best_is_found_again_after_a_restart(run):
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1), 1.0)
        checkpoints.save(2, make_state(2), 2.0)
    with Checkpoints(run) as checkpoints:
        assert checkpoints.best == SavedStep(1, 1.0)
        checkpoints.save(3, make_state(3), 1.5)
    assert entries(run) == ["1", "3"]


def test_a_buffer_may_be_donated_as_soon_as_save_returns(run):
    @partial(jax.jit, donate_argnums=0)
    def train(state):
        return state._replace(
            step=state.step + 1, params=jax.tree.map(lambda x: x * 0 + state.step, state.params)
        )

    state = make_state(0)
    saved = {}
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
def disk(monkeypatch):
    """An event without which no checkpoint is written."""
    free = threading.Event()
    describe = checkpoint._describe
    monkeypatch.setattr(checkpoint, "_describe", lambda *args: free.wait(60) and describe(*args))
    return free


def test_save_returns_before_the_checkpoint_is_written(run, disk):
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
        assert entries(run) == ["0"]
        disk.set()
        checkpoints.wait()
        assert entries(run) == ["1"]


def test_what_is_saved_is_the_state_as_it_was_when_save_was_called(run, disk):
    state = {"step": np.array(1, np.int32)}
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, state)
        state["step"][...] = 2
        disk.set()
    assert load_state(run, {"step": jnp.array(0)})["step"] == 1


def test_a_step_that_is_saved_already_is_not_written_again(run):
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1), 2.0)
        checkpoints.wait()
        before = (run / "steps" / "1").stat().st_ino
        checkpoints.save(1, make_state(1))  # at the end, say, or on a signal
    assert (run / "steps" / "1").stat().st_ino == before
    assert find_step(run) == SavedStep(1, 2.0)


def test_a_step_saved_again_with_a_loss_learns_the_loss(run):
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
        checkpoints.save(1, make_state(1), 2.0)
    assert find_step(run) == SavedStep(1, 2.0)


def test_a_step_saved_again_with_another_state_is_replaced(run):
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
        checkpoints.save(1, make_state(8))
    assert entries(run) == ["1"]
    assert_same(load_state(run, make_state()), make_state(8))


def test_saving_leaves_signals_alone(run):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_saving_logs_nothing(run, caplog):
    with caplog.at_level(logging.DEBUG, logger="absl"), Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
    assert caplog.records == []


# When the disk says no.


@pytest.fixture
def file_size_limit():
    """A function that limits how large a file this process may write; None lifts it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


def test_a_save_that_fails_says_why_in_one_line_and_the_next_one_works(run, file_size_limit, capfd):
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1), 1.0)
        checkpoints.wait()
        file_size_limit(100)
        checkpoints.save(2, make_state(2), 0.5)
        with pytest.raises(SaveError, match=r"steps/2: .*File too large") as error:
            checkpoints.wait()
        one_line(error)
        assert entries(run) == ["1"]  # the good one is there, and no rest of the other
        file_size_limit(None)
        checkpoints.save(3, make_state(3), 0.7)
    assert entries(run) == ["3"]
    assert capfd.readouterr() == ("", "")


def test_the_error_of_a_save_surfaces_at_the_next_one(run, file_size_limit):
    with Checkpoints(run) as checkpoints:
        file_size_limit(100)
        checkpoints.save(1, make_state(1))
        with pytest.raises(SaveError, match="steps/1"):
            checkpoints.save(2, make_state(2))


def test_the_error_of_the_last_save_surfaces_when_the_checkpoints_are_closed(run, file_size_limit):
    with pytest.raises(SaveError, match="steps/1"), Checkpoints(run) as checkpoints:
        file_size_limit(100)
        checkpoints.save(1, make_state(1))


def test_an_error_in_training_is_not_hidden_by_one_of_saving(run, file_size_limit):
    with pytest.raises(ZeroDivisionError), Checkpoints(run) as checkpoints:
        file_size_limit(100)
        checkpoints.save(1, make_state(1))
        raise ZeroDivisionError


def test_a_full_disk_is_named(run, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoint, "reserve", full)
    with pytest.raises(SaveError, match="No space left on device"), Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("RESOURCE_EXHAUSTED: Error writing x: [OS error 28: ENOSPC No space left on device]"),
        ValueError("RESOURCE_EXHAUSTED: Error writing x"),
    ],
)
def test_a_disk_that_fills_while_orbax_writes_is_named_too(error):
    assert checkpoint._reason(error) == "No space left on device"


def test_a_run_that_was_deleted_while_it_trained_ends_in_one_line(run):
    with pytest.raises(SaveError, match="No such file or directory"), Checkpoints(run) as checkpoints:
        shutil.rmtree(run)
        checkpoints.save(1, make_state(1))


# Damage.


def files_of(run):
    return sorted(path for path in (run / "steps").rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "one bit", "garbage"])
def test_damage_to_any_file_is_found_and_named(run, damage, capfd):
    generator = random.Random(damage)
    for path in files_of(run):
        good = path.read_bytes()
        if damage != "missing" and not good:
            continue  # nothing to damage
        if damage == "one bit":
            bit = generator.randrange(8 * len(good))
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
        else:
            bad = {"truncated": good[: len(good) // 2], "garbage": generator.randbytes(len(good))}.get(
                damage, b""
            )
        path.write_bytes(bad)
        if damage == "missing":
            path.unlink()
        with pytest.raises(CheckpointError) as error:
            load_state(run, make_state())
        assert str(path) in one_line(error)
        path.write_bytes(good)
    assert_same(load_state(run, make_state()), make_state(0))
    assert capfd.readouterr() == ("", "")


def test_arrays_that_orbax_reads_differently_are_found(run):
    # Files whose hashes are right, but leaves that are not what was handed to orbax.
    path = run / "steps" / "0" / "checkpoint.json"
    content = json.loads(path.read_text())
    content["leaves"]["params.0.w"]["sha256"] = content["leaves"]["params.0.b"]["sha256"]
    del content["sha256"]
    path.write_text(json.dumps({**content, "sha256": checkpoint._hash_json(content)}))
    with pytest.raises(CheckpointError, match=r"checksum of params\.0\.w does not match"):
        load_state(run, make_state())


def test_a_checkpoint_of_a_newer_format_is_refused_in_words(run):
    path = run / "steps" / "0" / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}))
    with pytest.raises(CheckpointError, match=r"format version 99.*update jaxrnn"):
        load_state(run, make_state())


@pytest.mark.parametrize("make", [lambda _: None, lambda run: (run / "steps").mkdir(parents=True)])
def test_a_run_without_checkpoints_says_so(tmp_path, make):
    make(tmp_path / "run")
    with pytest.raises(CheckpointError, match="no checkpoint") as error:
        load_state(tmp_path / "run", make_state())
    assert str(tmp_path / "run" / "steps") in one_line(error)


def test_a_first_checkpoint_that_does_not_read_back_is_an_error_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_hash_files", lambda _: {"state/lost": "0"})
    with pytest.raises(SaveError, match="a moment ago"):
        save_new(tmp_path, make_state())


# What others leave, and what others do meanwhile.


def test_opening_for_writing_cleans_up_what_a_killed_process_left(run):
    steps = run / "steps"
    shutil.copytree(steps / "0", steps / ".5.new")
    shutil.copytree(steps / "0", steps / ".0.old")
    (steps / ".3.gone").mkdir()
    (steps / ".mine").mkdir()
    (steps / "notes").mkdir()
    with Checkpoints(run) as checkpoints:
        assert checkpoints.last == SavedStep(0, None)
    assert entries(run) == [".mine", "0", "notes"]


def test_a_checkpoint_moved_aside_by_a_killed_process_is_brought_back(run):
    (run / "steps" / "0").rename(run / "steps" / ".0.old")
    with Checkpoints(run):
        assert entries(run) == ["0"]
    assert_same(load_state(run, make_state()), make_state(0))


def test_nothing_is_deleted_through_a_symbolic_link(run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (run / "steps" / ".1.new").symlink_to(outside)
    with Checkpoints(run) as checkpoints:
        checkpoints.save(1, make_state(1))
    assert (outside / "precious").exists()
    assert entries(run) == ["1"]


def test_a_folder_of_checkpoints_behind_a_symbolic_link_is_not_written(run, tmp_path):
    (run / "steps").rename(tmp_path / "elsewhere")
    (run / "steps").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="symbolic link"):
        Checkpoints(run)
    assert_same(load_state(run, make_state()), make_state(0))  # but it is read


def test_a_reader_gets_the_newer_checkpoint_when_its_own_vanishes(run, monkeypatch):
    load = checkpoint._load

    def load_slowly(steps, step, part, abstract):
        if step == 0:
            with Checkpoints(run) as checkpoints:
                checkpoints.save(1, make_state(1))
        return load(steps, step, part, abstract)

    monkeypatch.setattr(checkpoint, "_load", load_slowly)
    assert_same(load_state(run, make_state()), make_state(1))


# kill -9.


def state_at(step):
    return {"step": np.array(step), "params": np.full((64, 64), step, np.float32)}


def loss_at(step):
    return math.sin(step * 1.7) + 2


def save_for_ever(run):
    with Checkpoints(run) as checkpoints:
        step = checkpoints.last.step
        while True:
            step += 1
            checkpoints.save(step, state_at(step), loss_at(step))


def test_killed_at_any_moment_the_last_and_the_best_load(tmp_path):
    run = tmp_path / "run"
    (run / "steps").mkdir(parents=True)
    save_new(run / "steps", state_at(0))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["jaxrnn.checkpoint", "orbax.checkpoint.v1"])
    generator = random.Random(0)
    last = 0
    for _ in range(8):
        process = processes.Process(target=runpy.run_path, args=(__file__, {"RUN": run}, "saving"))
        process.start()
        before = time.monotonic() + 60
        while find_step(run, "last").step == last and time.monotonic() < before:
            time.sleep(0.005)
        time.sleep(generator.random() * 0.2)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        loaded = {which: load_state(run, state_at(0), which) for which in ("last", "best")}
        assert loaded["last"]["step"] > last
        last = int(loaded["last"]["step"])
        assert loaded["best"]["step"] == min(range(1, last + 1), key=loss_at)
        for state in loaded.values():
            np.testing.assert_array_equal(state["params"], np.full((64, 64), state["step"], np.float32))


if __name__ == "saving":  # the process that is killed above
    save_for_ever(globals()["RUN"])
