"""Settings and fixtures that all tests share."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxrnn.config import (
    Config,
    DenseConfig,
    EmbeddingConfig,
    LSTMConfig,
    ModelConfig,
    SampleConfig,
    TrainConfig,
)
from jaxrnn.data.vocabulary import Vocabulary, build_vocabulary, encode
from jaxrnn.models import LanguageModel, stack
from jaxrnn.workflows import Run, pretrain

# A shell that starts pytest in the background makes it and its processes ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A process of pytest and those that it starts share a compilation cache, separate from the user's: the same program is
# made by many functions. Two processes of pytest don't share it, as JAX writes an entry in place, and one could read
# half of what the other writes.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if _WORKER is None:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxrnn-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
else:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(os.environ["JAX_COMPILATION_CACHE_DIR"]) / _WORKER)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])  # type: ignore[no-untyped-call]
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)  # type: ignore[no-untyped-call]

# Compilation takes most of the tests' time, so optimizations are disabled here and in the processes that tests start;
# results are equal to rounding. Tests of bitwise equality that depend on the compiler use a fixture, `optimised`, or
# `users_environment` for a new process. `JAX_DISABLE_MOST_OPTIMIZATIONS=false pytest` runs every test optimized.
_USERS_FLAGS = os.environ.get("XLA_FLAGS", "")
_QUICKLY = os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true") == "true"
if _QUICKLY:
    jax.config.update("jax_disable_most_optimizations", True)  # type: ignore[no-untyped-call]  # JAX is imported already
# Fusion with MLIR would take half of the remaining time, and code generation in up to 32 parts a fifth. XLA reads its
# flags once per process. jaxlib 0.11 removed the first flag and aborts on unknown flags.
_FLAGS = "--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"
if _QUICKLY and jax.__version_info__ < (0, 11):
    os.environ["XLA_FLAGS"] = " ".join(dict.fromkeys([*_USERS_FLAGS.split(), *_FLAGS]))

# jaxrnn's code states its types; calls into optax, which relies on promotion, run in their own context.
jax.config.update("jax_numpy_dtype_promotion", "strict")  # type: ignore[no-untyped-call]


def _compile_quickly(quickly: bool) -> None:
    """Disable optimizations from now on, in this process and in those it starts."""
    jax.clear_caches()
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(quickly).lower()
    jax.config.update("jax_disable_most_optimizations", quickly)  # type: ignore[no-untyped-call]


@pytest.fixture
def optimised() -> Iterator[None]:
    """Compile with optimizations, and use no cached program compiled without."""
    _compile_quickly(False)
    yield
    _compile_quickly(_QUICKLY)


@pytest.fixture
def users_environment() -> dict[str, str]:
    """The environment of a process that compiles with optimizations."""
    flags = " ".join(flag for flag in _USERS_FLAGS.split() if flag not in _FLAGS)
    return {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "false", "XLA_FLAGS": flags}


@pytest.fixture(scope="session")
def text() -> str:
    """A text of 1200 characters, 7 distinct, that a small model soon memorizes."""
    return "to be or not " * 92 + "to b"


@pytest.fixture(scope="session")
def vocabulary(text: str) -> Vocabulary:
    return build_vocabulary(text)


@pytest.fixture(scope="session")
def ids(vocabulary: Vocabulary, text: str) -> np.ndarray:
    return encode(vocabulary, text)


@pytest.fixture(scope="session")
def config() -> Config:
    """A small LSTM on short sequences; 12 steps with different events."""
    return Config(
        model=ModelConfig(layers=(EmbeddingConfig(size=5), LSTMConfig(size=8), DenseConfig())),
        train=TrainConfig(
            steps=12,
            batch_size=4,
            seq_len=6,
            warmup_steps=2,
            learning_rate=0.05,
            log_every=5,
            eval_every=4,
            save_every=6,
            sample_every=8,
            num_devices=1,
        ),
        sample=SampleConfig(prompt="to", length=10),
    )


@pytest.fixture
def kill_after():
    return _kill_after


def _kill_after(command: Sequence[str | Path], appears: Path, seconds: float, timeout: float = 120) -> bool:
    """Start `command`, wait until the path `appears`, and kill it with SIGKILL some seconds later.

    Its child processes are killed too.

    Returns:
        Whether it was killed; False if it had already finished successfully.

    Raises:
        AssertionError: It failed, or the path did not appear within `timeout` seconds.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            give_up = time.monotonic() + timeout
            while process.poll() is None and not appears.exists():
                assert time.monotonic() < give_up, f"{appears} did not appear in {timeout} seconds"
                time.sleep(0.002)
            time.sleep(0 if process.poll() is not None else seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        output.seek(0)
        assert status in (0, -signal.SIGKILL), output.read().decode(errors="replace")
        return status != 0


@pytest.fixture(scope="session")
def language_model(config: Config, vocabulary: Vocabulary) -> LanguageModel:
    """An untrained model."""
    return LanguageModel(
        config.model, stack.init(jax.random.key(0), config.model, vocabulary.size), vocabulary
    )


@pytest.fixture(scope="session")
def run(config: Config, text: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run trained in memory."""
    corpus = tmp_path_factory.mktemp("corpus") / "text.txt"
    corpus.write_text(text, encoding="utf-8")
    return pretrain(config, {"corpus.text": corpus})
