"""The environment that a run's exact result depends on, in addition to config and corpus: devices, versions, flags."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import jax
from jax.sharding import Mesh

import jaxrnn

_FLAGS = ("XLA_FLAGS", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_ENABLE_X64", "JAX_DEFAULT_PRNG_IMPL")


def describe_environment(mesh: Mesh) -> dict[str, str]:
    """Describe the environment of a training run on these devices.

    Two runs with equal environment, config and corpus are bitwise identical.
    """
    device = mesh.devices.flat[0]
    kind = device.device_kind
    if device.platform == "cpu":
        kind = f"{_processor()} with {os.cpu_count()} cores"
    packages = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "optax")}
    flags = {name: os.environ.get(name, "") for name in _FLAGS}
    together = {"processes": str(jax.process_count())} if jax.process_count() > 1 else {}
    return {"devices": f"{mesh.size} x {kind}", **together, "jaxrnn": jaxrnn.__version__, **packages, **flags}


def describe_changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the differences, each as `jax 0.10.2 -> 0.11.0`."""
    names = [name for name in {**before, **now} if before.get(name, "") != now.get(name, "")]
    return [f"{name} {before.get(name) or '(none)'} -> {now.get(name) or '(none)'}" for name in names]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
