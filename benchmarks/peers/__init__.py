"""The implementations that are held side by side: a file each, imported by a worker alone.

Each file has one function for each kind of measurement it takes part in (`train`, `sample`, ...), which takes a
`Case` and the options below and returns a `Task`.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Peer:
    """An implementation, by the name it has in the tables."""

    name: str
    module: str  # in this package
    options: dict[str, Any] = field(default_factory=dict)


OURS = Peer("ours", "ours")
AUTODIFF = Peer("autodiff", "autodiff")
TORCH = Peer("torch", "torch_lstm")
TORCH_SAMPLER = Peer("torch", "torch_sampling")
GEMMS = tuple(Peer(f"gemm-{size}", "gemm", {"size": size}) for size in (2048, 4096))
TRAINERS = (
    OURS,
    AUTODIFF,
    TORCH,
    Peer("torch.compile", "torch_lstm", {"compiled": True}),
    Peer("flax", "flax_nnx"),
    Peer("equinox", "equinox_scan"),
)
TRAINERS_ON_GPU = (
    *TRAINERS,
    Peer("ours-bf16", "ours", {"precision": "bfloat16"}),
    Peer("torch-fp16", "torch_lstm", {"precision": "float16"}),
    Peer("torch-bf16", "torch_lstm", {"precision": "bfloat16"}),
    Peer("jax-cudnn", "jax_cudnn"),
)


def trainers(platform: str) -> tuple[Peer, ...]:
    """Those that train on `platform`, `cpu` or `gpu`; ours first."""
    return TRAINERS_ON_GPU if platform == "gpu" else TRAINERS
