"""A description of the machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_PACKAGES = ("jaxrnn", "jax", "jaxlib", "numpy", "optax", "torch", "flax", "equinox")


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory, GPU if any, and the versions of the compared packages."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": _gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def describe_in_lines(machine: dict[str, Any]) -> str:
    """The same for the terminal."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    gpu = f"; {machine['gpu']}" if machine["gpu"] else ""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']:g} GB{gpu}; {machine['system']}\n"
        f"Python {machine['python']}; {versions}\n"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    fields = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = fields.get("flags", "").split()
    widest = next((flag for flag in ("avx512f", "avx2") if flag in flags), "")
    return f"{name} ({widest})" if widest else name


def _gpu() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
