"""PyTorch, sampling: a loop that carries its state, one character of all samples at a time, drawn by `multinomial`.

Of `nn.LSTM` called with one time step and of `nn.LSTMCell`, with one thread and with all of them, the fastest is taken.
"""

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.cases import Case
from benchmarks.peers.torch_lstm import make_modules, start
from benchmarks.task import Task

_TEMPERATURE = 0.8
_TRIAL = 100  # characters
_Step = Callable[[Any, Any], tuple[Any, Any]]  # (inputs [samples, embedding], carry) -> (hidden, carry)


def sample(case: Case) -> Task:
    """Sampling of `case.batch` texts; counts characters of each."""
    device = start()
    embedding, recurrent, head = make_modules(case, device)
    kinds = {"nn.LSTM": _by_layers(recurrent, case), "nn.LSTMCell": _by_cells(recurrent, case, device)}
    threads = torch.get_num_threads()
    choices = [(kind, count) for kind in kinds for count in sorted({1, threads})]

    def draw(step: _Step, length: int) -> float:
        zeros = torch.zeros(case.layers, case.batch, case.hidden, device=device)
        carry: Any = (zeros, zeros)
        tokens = torch.zeros(case.batch, dtype=torch.int64, device=device)
        written = []
        with torch.inference_mode():
            for _ in range(length):
                hidden, carry = step(embedding(tokens), carry)
                probabilities = torch.softmax(head(hidden) / _TEMPERATURE, dim=-1)
                tokens = torch.multinomial(probabilities, 1).squeeze(1)
                written.append(tokens)
            return float(len(torch.stack(written).cpu()))

    def seconds(choice: tuple[str, int]) -> float:
        torch.set_num_threads(choice[1])
        draw(kinds[choice[0]], _TRIAL // 10)
        begun = time.perf_counter()
        draw(kinds[choice[0]], _TRIAL)
        return time.perf_counter() - begun

    kind, count = min(choices, key=seconds)
    torch.set_num_threads(count)
    return Task(lambda length: draw(kinds[kind], length), f"{kind}, {count} thread{'s' * (count > 1)}")


def _by_layers(recurrent: Any, _case: Case) -> _Step:
    def step(xs: Any, carry: Any) -> tuple[Any, Any]:
        hs, carry = recurrent(xs[None], carry)
        return hs[0], carry

    return step


def _by_cells(recurrent: Any, case: Case, device: str) -> _Step:
    cells = []
    for layer in range(case.layers):
        cell = torch.nn.LSTMCell(case.hidden if layer else case.embedding, case.hidden).to(device)
        cell.load_state_dict({name: getattr(recurrent, f"{name}_l{layer}") for name in cell.state_dict()})
        cells.append(cell)

    def step(xs: Any, carry: Any) -> tuple[Any, Any]:
        hs, cs = [], []
        for cell, h, c in zip(cells, *carry, strict=True):
            xs, c = cell(xs, (h, c))
            hs.append(xs)
            cs.append(c)
        return xs, (hs, cs)

    return step
