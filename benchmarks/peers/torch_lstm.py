"""PyTorch: `nn.LSTM` (or `nn.GRU`), all its layers in one call, with AdamW and clipping.

On a GPU its matrix products may use TF32, and `precision` other than float32 is autocast (with loss scaling for
float16, which is untested).
"""

import contextlib
import os
from typing import Any

import torch

from benchmarks.cases import Case
from benchmarks.task import Task

_BATCHES = 16
_CELLS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


def train(case: Case, *, compiled: bool = False, precision: str = "float32") -> Task:
    """Training; counts steps, returns the last loss."""
    device = start()
    embedding, recurrent, head = modules = make_modules(case, device)
    parameters = list(modules.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    scaler = torch.amp.GradScaler(device, enabled=precision == "float16")
    batches = torch.randint(case.vocabulary, (_BATCHES, case.time + 1, case.batch), device=device)
    zeros = torch.zeros(case.layers, case.batch, case.hidden, device=device)
    carry: Any = (zeros, zeros) if case.cell == "lstm" else zeros

    def mean_loss(tokens: Any, carry: Any) -> tuple[Any, Any]:
        hs, carry = recurrent(embedding(tokens[:-1]), carry)
        loss = torch.nn.functional.cross_entropy(head(hs).flatten(0, 1), tokens[1:].flatten())
        return loss, carry

    forward = torch.compile(mean_loss) if compiled else mean_loss

    def run(steps: int) -> float:
        nonlocal carry
        for index in range(steps):
            with _precision(device, precision):
                loss, carry = forward(batches[index % _BATCHES], carry)
            carry = tuple(part.detach() for part in carry) if case.cell == "lstm" else carry.detach()
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            scaler.step(optimizer)
            scaler.update()
        return float(loss.detach())  # waits for the device

    return Task(run, f"{torch.get_num_threads()} threads" if device == "cpu" else f"cuDNN, {precision}")


def start() -> str:
    """The device, set up: all cores of a CPU; TF32 on a GPU."""
    torch.manual_seed(0)
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        return "cuda"
    torch.set_num_threads(os.cpu_count() or 1)
    return "cpu"


def make_modules(case: Case, device: str) -> Any:
    """Embedding, recurrent layers and output layer."""
    cell = _CELLS[case.cell](case.embedding, case.hidden, num_layers=case.layers)
    embedding = torch.nn.Embedding(case.vocabulary, case.embedding)
    return torch.nn.ModuleList([embedding, cell, torch.nn.Linear(case.hidden, case.vocabulary)]).to(device)


def _precision(device: str, precision: str) -> Any:
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device, getattr(torch, precision))
