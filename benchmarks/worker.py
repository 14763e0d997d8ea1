"""One implementation in a process of its own: JSON lines in, JSON lines out.

    {"do": "start", "module": "ours", "kind": "train", "case": {...}, "options": {...}}
                                        -> {"detail": "...", "seconds": 1.2}    imports and prepares
    {"do": "run", "count": 20}          -> {"seconds": 0.8, "value": 4.17}      runs; the first run may compile
    {"do": "memory"}                    -> {"peak": 123, "imported": 45}        bytes of resident memory
    anything that fails                 -> {"error": "..."}, or {"missing": "torch"} for a package not installed

A process each, since thread pools and the number of devices belong to a process; between two questions it sleeps.
"""

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from benchmarks.cases import Case
from benchmarks.task import Task


def main() -> None:
    """Answers until its input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps output of libraries out of the answers
    task, imported = Task(run=float), 0
    for line in sys.stdin:
        request = json.loads(line)
        try:
            match request["do"]:
                case "start":
                    begun = time.perf_counter()
                    module = importlib.import_module(f"benchmarks.peers.{request['module']}")
                    imported = peak_memory()
                    task = getattr(module, request["kind"])(Case(**request["case"]), **request["options"])
                    answer: dict[str, Any] = {
                        "detail": task.detail,
                        "seconds": time.perf_counter() - begun,
                    }
                case "run":
                    begun = time.perf_counter()
                    value = task.run(request["count"])
                    answer = {"seconds": time.perf_counter() - begun, "value": value}
                case "memory":
                    answer = {"peak": peak_memory(), "imported": imported}
                case other:
                    answer = {"error": f"can't do {other}"}
        except ModuleNotFoundError as error:
            answer = {"missing": (error.name or str(error)).partition(".")[0]}
        except Exception as error:  # the parent reports it next to the other implementations' numbers
            answer = {"error": f"{type(error).__name__}: {error}".partition("\n")[0][:300]}
        _send(answers, answer)


def peak_memory() -> int:
    """The most resident memory this process has had, in bytes.

    From Linux's own count if available, because `getrusage` of a new process includes its parent's memory.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _send(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
