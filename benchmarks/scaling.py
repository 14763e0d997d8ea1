"""scaling: work and traffic by the number of devices.

Strong scaling shares one batch out to 1, 2, 4 and 8 devices; weak scaling gives each device a batch of its own, so that
the whole one grows. Devices are simulated on a CPU, where their times mean nothing: a row is the work of one device and
step (counted, `cases.step_flop` of its rows) and what it sends to others (read off the collectives of the compiled
program; a ring all-reduce of S bytes over D devices sends 2 S (D - 1) / D from each). With `--platform gpu` the devices
are real, as many as there are, and the measured time of a step is listed too.

    python -m benchmarks.scaling --efficiency [--megabytes M --milliseconds T]

computes what to expect of so many devices that no machine here has them, by `efficiency` below.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cases import TINY, Case, step_flop
from benchmarks.processes import environment
from benchmarks.report import number, table
from benchmarks.settings import Settings

_CASE = Case(512, 512, 2, 64, 64)
_DEVICES = (1, 2, 4, 8)


def run(settings: Settings) -> list[dict[str, Any]]:
    """One row a number of devices; prints a table for strong and for weak scaling, and one for accumulation."""
    case = replace(TINY, batch=8) if settings.quick else _CASE
    counts = _DEVICES[:2] if settings.quick else _DEVICES
    groups = {
        "strong": [(case, count, 1) for count in counts],
        "weak": [(replace(case, batch=case.batch * count // counts[-1]), count, 1) for count in counts],
        "strong, accumulate 4": [(case, count, 4) for count in counts],
    }
    measured = iter(_ask_worker(settings, [each for wanted in groups.values() for each in wanted]))
    rows = []
    for name, wanted in groups.items():
        found = [next(measured) for _ in wanted]
        lines = [
            [
                f"{row['devices']}",
                f"{row['batch']}",
                number(row["flop"] / 1e9),
                f"{row['collectives']}",
                number(row["sent"] / 1e6),
                number(row["sent"] / row["characters"] * row["devices"]),
                number(row["seconds"] * 1e3) if row["seconds"] else "-",
                "",
            ]
            for row in found
        ]
        head = [
            "devices",
            "batch",
            "GFLOP a device",
            "collectives",
            "MB sent",
            "bytes a character",
            "ms a step",
            "",
        ]
        print(table(f"scaling, {name}: {case.name}, one step", head, lines), flush=True)
        rows += [{"scaling": name, "case": case.name, **row} for row in found]
    return rows


def _ask_worker(settings: Settings, wanted: Sequence[tuple[Case, int, int]]) -> list[dict[str, Any]]:
    """Compiles, and on real devices times, in a process of its own, which has as many devices as it needs.

    Raises:
        RuntimeError: It failed.
    """
    most = max(devices for _, devices, _ in wanted)
    asked = [[vars(case), devices, accumulate] for case, devices, accumulate in wanted]
    simulated = {"JAX_NUM_CPU_DEVICES": str(most)} if settings.platform == "cpu" else {}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", "--worker", json.dumps(asked)],
        env=environment(settings.platform) | simulated,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"scaling: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def measure(case: Case, devices: int, accumulate: int) -> dict[str, Any]:
    """Return the work of one step on each of `devices` devices of this process."""
    import time

    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks.collectives import find_collectives
    from jaxrnn.config import Config, DenseConfig, EmbeddingConfig, LSTMConfig, ModelConfig, TrainConfig
    from jaxrnn.config.model import LayerConfig
    from jaxrnn.parallel.devices import replicate, training_mesh
    from jaxrnn.training.state import init_state, place
    from jaxrnn.training.step import run_steps

    cells: list[LayerConfig] = [LSTMConfig(size=case.hidden)] * case.layers
    layers = (EmbeddingConfig(size=case.embedding), *cells, DenseConfig())
    train = TrainConfig(
        batch_size=case.batch, seq_len=case.time, num_devices=devices, accumulate_steps=accumulate
    )
    config = Config(model=ModelConfig(layers=layers), train=train)
    mesh = training_mesh(train)
    text = np.random.default_rng(0).integers(0, case.vocabulary, case.characters, np.uint8)
    ids, state = replicate(mesh, jnp.asarray(text)), place(mesh, init_state(config, case.vocabulary))
    compiled = run_steps.lower(config.model, train, mesh, state, ids, jnp.int32(1)).compile()
    found = find_collectives(compiled.as_text() or "")
    size = sum(each.size for each in found)
    seconds = 0.0
    if jax.default_backend() != "cpu":
        for steps in (1, 20):
            begun = time.perf_counter()
            state, tally, _ = compiled(state, ids, jnp.int32(steps))
            float(tally.loss)
            seconds = (time.perf_counter() - begun) / steps
    return {
        "devices": devices,
        "batch": case.batch,
        "accumulate": accumulate,
        "characters": train.tokens_per_step,
        "flop": accumulate * step_flop(replace(case, batch=case.batch // devices)),
        "collectives": len(found),
        "reduced": size,
        "sent": 2 * size * (devices - 1) / devices,
        "seconds": seconds,
    }


# What to expect of many devices.


class Link(NamedTuple):
    """What connects devices in a ring."""

    name: str
    bytes_per_second: float  # out of each device
    latency: float  # seconds, of one hop


NVLINK = Link("NVLink", 450e9, 3e-6)  # 900 GB/s both ways, as of an H100
NETWORK = Link("100 Gb/s", 100e9 / 8, 20e-6)  # one network card for each device
_LINKS = (NVLINK, NETWORK)
_MANY = (8, 64, 512)


def all_reduce_seconds(link: Link, size: float, devices: int) -> float:
    """A ring: 2 (D - 1) hops, in each of which every device sends 1 / D of the gradient."""
    hops = 2 * (devices - 1)
    return hops * (size / devices / link.bytes_per_second + link.latency)


def efficiency(link: Link, size: float, devices: int, seconds: float, accumulate: int = 1) -> float:
    """The share of its time that a device computes, in weak scaling.

    Args:
        link: what connects the devices.
        size: bytes of the gradient.
        devices: how many.
        seconds: what forward and backward pass of one batch take on one device.
        accumulate: batches between two exchanges.
    """
    computing = accumulate * seconds
    return computing / (computing + all_reduce_seconds(link, size, devices))


# Measured on two cores (docs/performance.md, `python -m benchmarks --only roofline`): ms a step; the gradient in MB.
_MEASURED = (
    ("LSTM 512 x 2, 64 x 64", 486.0, 17.1),
    ("LSTM 1024 x 1, 32 x 64", 379.0, 34.1),
)
_FASTER = (1, 100)  # as measured; and for a device on which a step takes a hundredth


def show_efficiency(measured: Sequence[tuple[str, float, float]]) -> None:
    """Prints what to expect of measured steps: name, milliseconds and megabytes each."""
    head = ["step", "ms", "MB", "accumulate", *(f"{n}, {link.name}" for link in _LINKS for n in _MANY), ""]
    lines = [
        [
            name,
            number(milliseconds / faster),
            number(megabytes),
            str(accumulate),
            *(
                f"{efficiency(link, megabytes * 1e6, n, milliseconds / faster / 1e3, accumulate):.1%}"
                for link in _LINKS
                for n in _MANY
            ),
            "",
        ]
        for name, milliseconds, megabytes in measured
        for faster in _FASTER
        for accumulate in (1, 4, 16)
    ]
    print(table("efficiency of 8, 64, 512 devices", head, lines))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def main() -> int:
    """Prints the efficiency to expect; and is the process that `run` asks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--efficiency", action="store_true", help="of 8, 64 and 512 devices")
    parser.add_argument("--milliseconds", type=_positive, help="a step of your own, measured on one device")
    parser.add_argument("--megabytes", type=_positive, help="the size of its gradient")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps([measure(Case(**case), *counts) for case, *counts in options.worker]))
        return 0
    if (options.milliseconds is None) != (options.megabytes is None):
        parser.error("--milliseconds and --megabytes go together")
    if not options.efficiency:
        parser.error("say --efficiency; the measurement is python -m benchmarks --only scaling")
    given = [("yours", options.milliseconds, options.megabytes)] if options.megabytes is not None else []
    show_efficiency(given or _MEASURED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
