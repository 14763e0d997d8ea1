"""Training on several devices equals training on one to rounding; indivisible batches are refused."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.config import Config, DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig, TrainConfig
from jaxrnn.errors import ConfigError
from jaxrnn.parallel.devices import choose_cpu_devices, split_rows, training_mesh

ROOT = Path(__file__).parent.parent

TRAIN_ON_ONE_AND_ON_TWO = """
import sys
import jax, numpy as np
from jaxrnn.config import Config, TrainConfig, ModelConfig, EmbeddingConfig, LSTMConfig, DenseConfig
from jaxrnn.training.state import init_state
from jaxrnn.training.loop import Save, train
from jaxrnn.data.tokens import in_memory
from jaxrnn.data.vocabulary import build_vocabulary, encode

text = "to be or not " * 92
vocabulary = build_vocabulary(text)
tokens = in_memory(vocabulary, encode(vocabulary, text))
for devices in (1, 2):
    config = Config(
        model=ModelConfig(layers=(EmbeddingConfig(size=5), LSTMConfig(size=8), DenseConfig())),
        train=TrainConfig(
            steps=12, batch_size=4, seq_len=6, eval_every=6, save_every=0, sample_every=6, num_devices=devices
        ),
    )
    state = init_state(config, vocabulary.size)
    for event in train(config, state, tokens.part(0, 1000), tokens.part(1000, len(tokens))):
        if isinstance(event, Save):
            state = event.state
            assert state.carry[1].h.sharding.num_devices == devices
            assert state.params[1].w_h.sharding.is_fully_replicated
            flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves((state.params, state.carry))])
    np.save(f"{sys.argv[1]}/{devices}.npy", flat)
print(len(jax.devices()))
"""


def test_two_devices_agree_with_one_to_rounding(tmp_path: Path) -> None:
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", TRAIN_ON_ONE_AND_ON_TWO, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "2", done.stderr
    one, two = (np.load(tmp_path / f"{devices}.npy") for devices in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


GRADIENTS_ON_ONE_AND_ON_TWO = """
import jax, jax.numpy as jnp, numpy as np
from benchmarks.collectives import find_collectives, outermost_loops
from jaxrnn.config import *
from jaxrnn.parallel.devices import replicate, split_rows, training_mesh
from jaxrnn.training.state import init_state
from jaxrnn.training.step import run_steps

ids = jnp.asarray(np.random.default_rng(0).integers(0, 7, 500, dtype=np.uint8))

def bytes_of(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))

cells = RNNConfig(size=8), GRUConfig(size=8), RNNBlockConfig(cell="lstm"), MinLSTMConfig(size=8), RGLRUConfig()
# The compiler of JAX 0.12 for CPUs fails at bfloat16 with accumulation: "Unsupported element type".
precisions = ("float32", 1), ("bfloat16", 3 if jax.__version_info__ < (0, 12) else 1)
for precision, accumulate in precisions:
    updates = []
    for devices in (1, 2):
        lstm = LSTMConfig(size=6, recurrent_dropout=0.2)
        layers = (EmbeddingConfig(size=8), *cells, DropoutConfig(rate=0.3), lstm, DenseConfig())
        train = TrainConfig(
            batch_size=4,
            seq_len=6,
            accumulate_steps=accumulate,
            num_devices=devices,
            precision=precision,
            warmup_steps=0,
        )
        config = Config(model=ModelConfig(layers=layers), train=train)
        mesh = training_mesh(train)
        state = replicate(mesh, init_state(config, 7))
        state = state._replace(carry=split_rows(mesh, state.carry))
        arguments = config.model, train, mesh, state, replicate(mesh, ids), jnp.int32(1)
        compiled = run_steps.lower(*arguments).compile()
        moved = find_collectives(compiled.as_text())
        # Only gradients, and these once an update: in the loop over steps itself, in no loop within it.
        assert {each.kind for each in moved} == ({"all-reduce"} if devices > 1 else set()), moved
        assert {each.computation for each in moved} <= {*outermost_loops(compiled.as_text())}, moved
        # The gradient and the loss; of the projected table less, as it comes before the weights it is made of.
        size = sum(each.size for each in moved)
        assert size <= 4 + bytes_of(state.params), moved
        assert (size == 4 + bytes_of(state.params)) == (devices > 1 and accumulate > 1), moved
        state, _, _ = compiled(*arguments[3:])
        moments = jax.tree.leaves(state.opt_state)  # after one step, a tenth of the gradient and of its square
        updates.append([np.asarray(leaf) for leaf in moments])
    for one, two in zip(*updates, strict=True):
        scale = np.abs(one).max() + 1e-12
        np.testing.assert_allclose(one / scale, two / scale, atol=1e-5 if precision == "float32" else 1e-2)
print("agree")
"""


def test_gradients_are_equal_on_two_devices_and_only_gradients_are_exchanged() -> None:
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", GRADIENTS_ON_ONE_AND_ON_TWO]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "agree", done.stderr


def test_indivisible_rows_are_replicated() -> None:
    mesh = training_mesh(replace(TrainConfig(), num_devices=1))
    tree = split_rows(mesh, {"rows": jnp.arange(6).reshape(3, 2)})
    np.testing.assert_array_equal(tree["rows"], [[0, 1], [2, 3], [4, 5]])


def of_width(size: int, **train: int) -> Config:
    model = ModelConfig(layers=(EmbeddingConfig(size=8), LSTMConfig(size=size), DenseConfig()))
    return Config(model=model, train=TrainConfig(**train))  # type: ignore[arg-type]


def test_a_cpu_is_split_in_two_for_narrow_layers_and_even_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    assert choose_cpu_devices(of_width(192)) == 2
    assert choose_cpu_devices(of_width(512)) == 1
    assert choose_cpu_devices(of_width(384)) == 2
    assert choose_cpu_devices(of_width(192, batch_size=3)) == 1
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda _: {3}, raising=False
    )  # as with taskset or in a container
    assert choose_cpu_devices(of_width(192)) == 1


def test_a_given_number_of_devices_is_used() -> None:
    assert choose_cpu_devices(of_width(512, num_devices=4)) == 4


def test_an_indivisible_batch_is_refused_with_the_nearest_divisible_one() -> None:
    with pytest.raises(
        ConfigError, match=r"batch_size 32 can't be shared by train\.num_devices 3: .* 30 or 33"
    ):
        choose_cpu_devices(of_width(192, num_devices=3))
    with pytest.raises(ConfigError, match=r"use a batch_size of 64$"):
        choose_cpu_devices(of_width(192, num_devices=64))


def test_devices_of_all_processes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    assert choose_cpu_devices(of_width(192, num_devices=4), processes=2) == 4
    assert choose_cpu_devices(of_width(192, batch_size=6), processes=3) == 2
    assert choose_cpu_devices(of_width(192, batch_size=6), processes=2) == 1
    with pytest.raises(
        ConfigError, match=r"batch_size 32 can't be shared by 12 devices of 3 processes: .* 24 or 36$"
    ):
        choose_cpu_devices(of_width(192, num_devices=4), processes=3)


def test_too_many_devices_are_refused() -> None:
    config = replace(TrainConfig(), num_devices=32)
    with pytest.raises(ConfigError, match=r"train\.num_devices is 32, but JAX sees"):
        training_mesh(config)
