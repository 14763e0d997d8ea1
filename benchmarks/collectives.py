"""The traffic between devices of a compiled program, read from its HLO text."""

import math
import re
from typing import NamedTuple

_KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast"
_OPERATION = re.compile(rf" = (?P<result>.*?) (?P<kind>{_KINDS})(?:-start)?\(")
_ARRAY = re.compile(r"\b(pred|[a-z]+?(\d+)[a-z0-9]*)\[([\d,]*)\]")


class Collective(NamedTuple):
    """One operation between devices."""

    kind: str
    size: int  # bytes of its result on each device
    computation: str  # the one that it stands in


def find_collectives(hlo: str) -> list[Collective]:
    """All operations between devices in the text of a compiled program (`compiled.as_text()`)."""
    found, computation = [], ""
    for line in hlo.splitlines():
        if head := re.match(r"(?:ENTRY )?%?([\w.-]+) .*\{$", line):
            computation = head[1]
        if operation := _OPERATION.search(line):
            found.append(Collective(operation["kind"], _size(operation["result"]), computation))
    return found


def outermost_loops(hlo: str) -> list[str]:
    """The bodies of the loops that the entry runs itself: of a training run, the loop over steps alone."""
    return re.findall(r" while\(.*body=%?([\w.-]+)", hlo[hlo.index("\nENTRY ") :])


def _size(shape: str) -> int:
    """The bytes of an array `f32[3,4]{1,0}`, or of all in a tuple of such."""
    return sum(
        math.prod(map(int, filter(None, dimensions.split(",")))) * max(1, int(bits or 8) // 8)
        for _, bits, dimensions in _ARRAY.findall(re.sub(r"\{.*?\}", "", shape))
    )
