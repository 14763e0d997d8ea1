"""Start of JAX: the platform, and the compilation cache."""

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
_WORTH_KEEPING = 0.05  # seconds; shorter compilations are not cached


Platform: TypeAlias = Annotated[
    str | None, choice("--platform", _PLATFORMS, help="The JAX platform.  [default: the fastest available]")
]


def start_training_jax(config: "Config", platform: str | None) -> None:
    """Start JAX as `start_jax` does, with the CPU split into the number of devices that the config asks for.

    Raises:
        ConfigError: The batch can't be divided among the devices, or there are too few; or as `start_jax`.
    """
    jaxrnn.parallel.split_cpu(config)
    start_jax(platform)
    jaxrnn.parallel.training_mesh(config.train)


def start_jax(platform: str | None) -> None:
    """Start JAX on `platform`, by default the one in `JAX_PLATFORMS`, else the fastest available.

    Raises:
        ConfigError: The platform is not available.
    """
    import jax  # imported here because it would slow down `jaxrnn --help`

    _keep_compiled()
    if platform is None:
        try:
            jax.devices()
        except (RuntimeError, AssertionError):  # the latter if JAX finds no GPU
            asked = os.environ.get("JAX_PLATFORMS") or jax.config.jax_platforms  # type: ignore[attr-defined]
            if not asked:
                raise
            raise ConfigError(
                f"JAX_PLATFORMS={asked}: not available, only {_best_platform()}; unset it, or give --platform"
            ) from None
    # Not jax_platforms="gpu", which requires all GPU vendors at once. By default JAX takes the GPU or TPU it finds.
    elif (here := _best_platform("cpu" if platform == "cpu" else None)) != platform:
        raise ConfigError(f"--platform {platform}: not available, only {here}; try {_INSTALL[platform]}")


def _best_platform(among: str | None = None) -> str:
    """Start JAX on the fastest platform without its warnings about missing ones, and return the platform."""
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
    """Enable JAX's compilation cache in the user's cache folder.

    The user's own settings (`JAX_COMPILATION_CACHE_DIR`, `JAX_ENABLE_COMPILATION_CACHE`) take precedence. A folder or
    an entry that can't be read or written is ignored.
    """
    import jax

    if not jax.config.jax_enable_compilation_cache or jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        return
    with contextlib.suppress(OSError, RuntimeError):  # the latter without a home directory
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
    """Return a hash of the processor, because machines that share a home can't share compiled code."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    described = sorted(
        {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    )
    processor = "\n".join([machine.machine(), machine.processor(), *described])
    return hashlib.sha256(processor.encode()).hexdigest()[:12]


def _limit_size(folder: Path, limit: int) -> None:
    """Remove the oldest entries above `limit` bytes; JAX's own limit needs another package."""
    entries = sorted(((entry.stat(), entry) for entry in folder.iterdir()), key=lambda e: -e[0].st_mtime)
    size = 0
    for status, entry in entries:
        size += status.st_size
        if size > limit and entry.is_file():
            entry.unlink(missing_ok=True)
