"""accelerators: what the programs do on GPUs and TPUs, found by compiling them on a machine without one.

    python -m benchmarks.accelerators                       every config for every target
    python -m benchmarks.accelerators --check shakespeare   fails where a limit of this file is exceeded

Nothing is timed. The compilers need an environment of their own: `.ci/accelerators FOLDER` makes one.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export
from jax.sharding import SingleDeviceSharding

from benchmarks.collectives import find_collectives
from benchmarks.hlo import count, loops
from benchmarks.report import table
from jaxrnn.config import load_config
from jaxrnn.data.vocabulary import Vocabulary
from jaxrnn.interchange.stablehlo_file import write_stablehlo
from jaxrnn.models import LanguageModel, stack
from jaxrnn.parallel.targets import target_devices
from jaxrnn.sampling.generation import draw_block, make_choice
from jaxrnn.training.ahead import compile_steps

ROOT = Path(__file__).parents[1]
CONFIGS = (
    "fast",
    "shakespeare",
    "rnn",
    "gru",
    "two_minutes",
    "original_rnn",
    "original_lstm",
    "best_cpu",
    "best_gpu",
)
VOCABULARY = Vocabulary("".join(map(chr, range(33, 98))))  # 65 characters, as many as Tiny Shakespeare has
CHARACTERS = 1_000_000  # of the corpus
SAMPLES, BLOCK = 64, 128  # texts side by side, and characters of each that a program draws
BATCH, LENGTH = 16, 64  # of the tokens that an exported program reads


class Limit(NamedTuple):
    """What a program of a model with one recurrent layer must not exceed."""

    per_step: float  # operations per time step in each loop of training
    per_character: float  # operations per character of a sample
    all_reduces: int


# The targets; `-4`: four devices share the batch.
LIMITS = {"h100": Limit(4, 7, 0), "v5e": Limit(8, 10, 0), "v5e-4": Limit(10, 0, 1), "v6e": Limit(8, 10, 0)}


class Found(NamedTuple):
    """What a compiled program does."""

    target: str
    config: str
    program: str
    per_step: list[float]  # for each loop over time, forward before backward: operations per time step
    copies: int  # in these loops, per round
    scatters: int
    all_reduces: int
    other_traffic: int  # other operations between devices
    peak: int  # bytes
    seconds: float  # of compilation


def training(target: str, name: str) -> Found:
    """Compile the training step of a config."""
    config = load_config(ROOT / "configs" / f"{name}.toml")
    ids = jax.eval_shape(lambda: jnp.zeros(CHARACTERS, jnp.uint8))

    def compile_it(devices: Sequence[jax.Device]) -> jax.stages.Compiled:
        return compile_steps(config, VOCABULARY.size, ids, devices)

    return _find(target, name, "training step", config.train.seq_len, compile_it)


def sampling(target: str, name: str) -> Found:
    """Compile the program that draws the next characters of many samples."""
    model = _model(name)

    def compile_it(devices: Sequence[jax.Device]) -> jax.stages.Compiled:
        choice = make_choice(VOCABULARY.size, 0.8, 0, 1.0)
        at = jnp.uint32(0), jnp.int32(0), jnp.int32(0)
        carry = stack.initial_carry(model.config, model.params, SAMPLES)
        state = carry, jnp.zeros(SAMPLES, jnp.int32), None
        projected = stack.project_table(model.config, model.params)
        arguments = _on(devices[0], (model.params, projected, choice, at, state))
        return draw_block.lower(model.config, None, BLOCK, _observe_nothing, *arguments).compile()

    return _find(target, name, "sampling", BLOCK, compile_it)


def exported(target: str, name: str) -> Found:
    """Compile the program that `jaxrnn export --format stablehlo` writes."""
    model = _model(name)

    def compile_it(devices: Sequence[jax.Device]) -> jax.stages.Compiled:
        with tempfile.TemporaryDirectory() as folder:
            file, *_ = write_stablehlo(model, Path(folder) / "model.stablehlo")
            program = export.deserialize(bytearray(file.read_bytes()))
        (states, _), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
        rows = {key: jnp.zeros((BATCH, *state.shape[1:]), state.dtype) for key, state in states.items()}
        arguments = _on(devices[0], (rows, jnp.zeros((BATCH, LENGTH), jnp.int32)))
        return jax.jit(program.call).lower(*arguments).compile()

    return _find(target, name, "exported", LENGTH, compile_it)


PROGRAMS = (training, sampling, exported)


def _model(name: str) -> LanguageModel:
    config = load_config(ROOT / "configs" / f"{name}.toml").model
    return LanguageModel(config, stack.init(jax.random.key(0), config, VOCABULARY.size), VOCABULARY)


def _observe_nothing(_carry: Any, _logits: Any) -> tuple[()]:
    return ()


def _on(device: jax.Device, tree: Any) -> Any:
    """Return shapes in the place of arrays, on a device that is not here."""
    layout: Any = SingleDeviceSharding(device)
    make: Any = partial(jax.ShapeDtypeStruct, sharding=layout)
    return jax.tree.map(lambda leaf: make(leaf.shape, leaf.dtype), tree)


def _find(
    target: str,
    config: str,
    program: str,
    length: int,
    compile_it: Callable[[Sequence[jax.Device]], jax.stages.Compiled],
) -> Found:
    """Compile for a target; `length` is the number of time steps."""
    kind, _, several = target.partition("-")
    devices = target_devices(kind, int(several or 1))
    begun = time.perf_counter()
    compiled = compile_it(devices)
    seconds, text = time.perf_counter() - begun, compiled.as_text() or ""
    kinds = [each.kind for each in find_collectives(text)]
    memory: Any = compiled.memory_analysis()
    over_time = [
        loop
        for loop in loops(text)
        if loop.rounds and "while" not in loop.operations and loop.rounds <= length
    ]
    return Found(
        target,
        config,
        program,
        [len(loop.operations) * (loop.rounds or 0) / length for loop in over_time],
        sum(loop.operations.count("copy") for loop in over_time),
        count(text, "scatter"),
        kinds.count("all-reduce"),
        len(kinds) - kinds.count("all-reduce"),
        memory.peak_memory_in_bytes,
        seconds,
    )


def exceeded(found: Found) -> list[str]:
    """Return the limits that a program exceeds."""
    limit = LIMITS[found.target]
    most = max(found.per_step, default=0)
    allowed = {"training step": limit.per_step, "sampling": limit.per_character}.get(found.program, most)
    checks = {
        "no loop over time": not found.per_step,
        f"{most:.3g} operations per step": most > allowed,
        f"{found.scatters} scatters": found.scatters > 0,
        f"{found.all_reduces} all-reduces": found.all_reduces > limit.all_reduces,
        f"{found.other_traffic} other operations between devices": found.other_traffic > 0,
    }
    where = f"{found.target}, {found.config}, {found.program}"
    return [
        f"{where}: {what}; see LIMITS in benchmarks/accelerators.py" for what, bad in checks.items() if bad
    ]


def main() -> int:
    """Print what was found in each program; with `--check`, fail where it exceeds a limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("configs", nargs="*", metavar="CONFIG", help=f"default: {', '.join(CONFIGS)}")
    parser.add_argument("--target", action="append", choices=LIMITS, help="may be repeated; default: all")
    parser.add_argument("--check", action="store_true", help="fail where a limit is exceeded")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]  # it would look for the devices
    rows = []
    for config in options.configs or CONFIGS:
        for target in options.target or LIMITS:
            # Only training runs on several devices.
            rows += [program(target, config) for program in (PROGRAMS[:1] if "-" in target else PROGRAMS)]
    head = [
        "",
        "",
        "operations per step",
        "copies",
        "scatters",
        "all-reduces",
        "peak MB",
        "compiled in s",
        "program",
    ]
    print(table(f"jax {jax.__version__}", head, [_line(row) for row in rows]))
    problems = [problem for row in rows for problem in exceeded(row)] if options.check else []
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)


def _line(found: Found) -> list[str]:
    return [
        found.config,
        found.target,
        " ".join(f"{each:.3g}" for each in found.per_step),
        str(found.copies),
        str(found.scatters),
        str(found.all_reduces),
        f"{found.peak / 1e6:,.1f}",
        f"{found.seconds:.1f}",
        found.program,
    ]


if __name__ == "__main__":
    sys.exit(main())
