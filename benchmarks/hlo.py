"""The loops of a compiled program, and the operations in them, read from its text in XLA's language, HLO."""

import re
from typing import NamedTuple

# They cost a device nothing: names for parts of others, and constants. Nor does arithmetic of single numbers outside of
# fusions, which only TPUs have, on a core for that.
_FREE = {"parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all", "opt-barrier"}
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (?:\(.*?\)|\S+) ([a-z][\w\-]*)\((.*)$")
_SCALAR = re.compile(r" = \w+\[\](?:\{[^}]*\})? (?!fusion)")
_BODY = re.compile(r"body=%?([\w.\-]+)")
_CALLED = re.compile(r"to_apply=%?([\w.\-]+)")


class Loop(NamedTuple):
    """A loop of a program."""

    rounds: int | None  # how often its body runs; None where the program decides that as it runs
    operations: list[str]  # those of a round that take time: on a GPU, kernels; an inner loop counts as one


def loops(program: str) -> list[Loop]:
    """Return the loops of a program, as `compiled.as_text()` shows it."""
    computations = _computations(program)
    found = []
    for lines in computations.values():
        for line in lines:
            if " while(" in line and (body := _BODY.search(line)):
                known = re.search(r'known_trip_count"?:\{"n":"(\d+)"', line.replace('\\"', '"'))
                rounds = int(known[1]) if known else _rounds(computations, line)
                found.append(Loop(rounds, _operations(computations, body[1])))
    return found


def count(program: str, operation: str) -> int:
    """Return how many operations of a kind a program has, such as `"scatter"`."""
    return program.count(f" {operation}(")


def _computations(program: str) -> dict[str, list[str]]:
    """Return the lines of each computation by its name."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in program.splitlines():
        if start := _COMPUTATION.match(line):
            lines = found.setdefault(start[1], [])
        elif line == "}":
            lines = []
        else:
            lines.append(line)
    return found


def _operations(computations: dict[str, list[str]], name: str) -> list[str]:
    """Return the operations of a computation that take time, and of those it calls (CUDA graphs are calls)."""
    found: list[str] = []
    for line in computations[name]:
        if _SCALAR.search(line) or not (instruction := _INSTRUCTION.match(line)):
            continue
        kind, rest = instruction.groups()
        if kind == "call" and (called := _CALLED.search(rest)):
            found += _operations(computations, called[1])
        elif kind not in _FREE:
            found.append(kind)
    return found


def _rounds(computations: dict[str, list[str]], line: str) -> int | None:
    """Return the rounds of a loop of a TPU's program: the number that its counter is compared with."""
    condition = re.search(r"condition=%?([\w.\-]+)", line)
    numbers = (
        re.findall(r"constant\((\d+)\)", "\n".join(computations.get(condition[1], []))) if condition else []
    )
    return int(numbers[0]) if len(numbers) == 1 else None
