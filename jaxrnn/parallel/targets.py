"""Accelerators that programs can be compiled for on a machine without one: by libtpu, or by JAX's plugin for CUDA."""

import importlib.util
import os
from typing import NamedTuple

import jax
from jax.experimental import topologies

from jaxrnn.errors import ConfigError


class Target(NamedTuple):
    """A kind of accelerator."""

    title: str
    memory: int  # bytes
    plugin: str  # the module that compiles for it
    extra: str  # the extra of jaxrnn with that module
    description: str  # for libtpu, the name of a topology; for the CUDA plugin, a text in XLA's format


# What XLA asks a GPU, as the GPU would answer. Without the driver's version, fewer operations enter CUDA graphs.
_NVIDIA = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048 registers_per_core_limit: 65536
  registers_per_block_limit: 65536 shared_memory_per_block: 49152
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  driver_version: "13.0.0" runtime_version: "13.0.0" compile_time_toolkit_version: "13.0.0"
  {own}
}}
platform_name: "CUDA"
runtime_version {{ major: 13 minor: 0 patch: 0 }}
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{title}"
"""
_H100 = """
  core_count: 132 fpus_per_core: 128 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 84942979072
  cuda_compute_capability { major: 9 }"""
_A100 = """
  core_count: 108 fpus_per_core: 64 shared_memory_per_core: 167936 shared_memory_per_block_optin: 166912
  memory_bandwidth: 2039040000000 l2_cache_size: 41943040 clock_rate_ghz: 1.41 device_memory_size: 85100068864
  cuda_compute_capability { major: 8 }"""


def _gpu(title: str, memory: int, own: str) -> Target:
    return Target(title, memory, "jax_plugins.xla_cuda13", "cuda", _NVIDIA.format(own=own, title=title))


TARGETS = {
    "h100": _gpu("NVIDIA H100 80GB HBM3", 84_942_979_072, _H100),
    "a100": _gpu("NVIDIA A100-SXM4-80GB", 85_100_068_864, _A100),
    "v5e": Target("TPU v5e", 16 * 2**30, "libtpu", "tpu", "v5e:2x2"),
    "v6e": Target("TPU v6e", 32 * 2**30, "libtpu", "tpu", "v6e:2x2"),
}


def target_devices(name: str, count: int = 1) -> list[jax.Device]:
    """Return devices that programs can be compiled for, but not run on.

    Args:
        name: a key of `TARGETS`.
        count: how many; GPUs: 1, TPUs: at most 4.

    Raises:
        ConfigError: The module that compiles for it is not installed, or does not work.
    """
    target = TARGETS[name]
    if not _is_installed(target.plugin):
        raise ConfigError(f"{name}: no compiler for it is installed; pip install -e '.[{target.extra}]'")
    try:
        if target.extra == "cuda":
            found = topologies.get_topology_desc(
                "", "cuda", target_config=target.description, topology="1x1x1"
            )
        else:
            _calm_libtpu()
            found = topologies.get_topology_desc(target.description, "tpu")
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise ConfigError(f"{name}: its compiler does not start: {str(error).splitlines()[0]}") from error
    return list(found.devices[:count])


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False


def _calm_libtpu() -> None:
    """Keep libtpu from looking for a TPU, and from writing about that to stderr."""
    settings = {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_MIN_LOG_LEVEL": "3",
        "TPU_STDERR_LOG_LEVEL": "3",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # by several processes at once
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
