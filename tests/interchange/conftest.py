"""PyTorch, if installed."""

import os
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch. Without it, tests are skipped, or fail with JAXRNN_TORCH=required."""
    try:
        import safetensors.torch  # noqa: F401
        import torch
    except ImportError as error:
        why = f"{error}: pip install torch 'jaxrnn[export]'"
        pytest.fail(why) if os.environ.get("JAXRNN_TORCH") == "required" else pytest.skip(why)
    torch.set_num_threads(1)
    return torch
