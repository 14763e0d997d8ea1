"""JAX before it is used: the platform that it runs on, and where compiled programs are kept."""

import contextlib
import hashlib
import logging
import os
import platform as machine
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import jaxrnn
from jaxrnn.errors import ConfigError
from jaxrnn_cli.options.choices import choice

if TYPE_CHECKING:
    from jaxrnn.config import Config

_INSTALL = {"gpu": "pip install -e '.[cuda]'", "tpu": "pip install -e '.[tpu]'"}
_PLATFORMS = ("cpu", *_INSTALL)

_CACHE_BYTES = 256 * 2**20
_WORTH_KEEPING = 0.05  # seconds of compiling


Platform: TypeAlias = Annotated[
    str | None, choice("--platform", _PLATFORMS, help="What to run on.  [default: the fastest there is]")
]


def start_training_jax(config: "Config", platform: str | None) -> None:
    """Start JAX as `start_jax` does, a CPU split into as many devices as the config means, or the user outside of it.

    Raises:
        ConfigError: The devices can't share the batch, or there are not so many; or as `start_jax`.
    """
    jaxrnn.parallel.split_cpu(config)
    start_jax(platform)
    jaxrnn.parallel.training_mesh(config.train)


def start_jax(platform: str | None) -> None:
    """Start JAX on a platform; without one, on what `JAX_PLATFORMS` says or else on the fastest there is.

    Raises:
        ConfigError: There is no such platform here.
    """
    import jax  # imported here: it takes longer than `jaxrnn --help` may take

    _keep_compiled()
    if platform is None:
        try:
            jax.devices()
        except (RuntimeError, AssertionError):  # the latter where JAX looks for a GPU and there is none
            asked = os.environ.get("JAX_PLATFORMS") or jax.config.jax_platforms  # type: ignore[attr-defined]
            if not asked:
                raise
            raise ConfigError(
                f"JAX_PLATFORMS={asked}: JAX can't start on it, only on {_best_platform()}; unset it, or say --platform"
            ) from None
    # JAX's own "gpu" asks for every make of GPU at once; left to itself, it takes the GPU or TPU that there is.
    elif (here := _best_platform("cpu" if platform == "cpu" else None)) != platform:
        raise ConfigError(
            f"--platform {platform}: JAX sees none here, only {here}; for one, {_INSTALL[platform]}"
        )


def _best_platform(among: str | None = None) -> str:
    """Starts JAX on the fastest platform there is, without a word about those that are not there."""
    import jax

    jax.config.update("jax_platforms", among)  # type: ignore[no-untyped-call]
    logger = logging.getLogger("jax._src.xla_bridge")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return jax.default_backend()
    finally:
        logger.setLevel(level)


def _keep_compiled() -> None:
    """Lets JAX keep what it compiles in the user's cache folder, so that the next process need not compile it again.

    What the user has told JAX about its cache (`JAX_COMPILATION_CACHE_DIR`, `JAX_ENABLE_COMPILATION_CACHE`) stands. A
    folder that can't be written is done without, and so is an entry that can't be read or written.
    """
    import jax

    if not jax.config.jax_enable_compilation_cache or jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        return
    with contextlib.suppress(OSError, RuntimeError):  # the latter where nobody is at home
        folder = _cache_home() / "jaxrnn" / f"compiled-{_fingerprint()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _limit_size(folder, _CACHE_BYTES)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))  # type: ignore[no-untyped-call]
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)  # type: ignore[no-untyped-call]
        warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")


def _cache_home() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return home if home.is_absolute() else Path.home() / ".cache"


def _fingerprint() -> str:
    """Names the processor: a home shared by machines must not hand one of them what was compiled for another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told = sorted(
        {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    )
    processor = "\n".join([machine.machine(), machine.processor(), *told])
    return hashlib.sha256(processor.encode()).hexdigest()[:12]


def _limit_size(folder: Path, limit: int) -> None:
    """Removes the oldest entries of a cache that is larger than `limit` bytes (JAX's own needs another package)."""
    entries = sorted(((entry.stat(), entry) for entry in folder.iterdir()), key=lambda e: -e[0].st_mtime)
    size = 0
    for status, entry in entries:
        size += status.st_size
        if size > limit and entry.is_file():
            entry.unlink(missing_ok=True)
