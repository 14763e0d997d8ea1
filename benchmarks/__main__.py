"""Compare jaxrnn with other implementations: python -m benchmarks --help."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import growth, memory, roofline, sampling, scaling, startup, time_to_loss, train_step
from benchmarks.cases import train_cases
from benchmarks.machine import describe_in_lines, describe_machine
from benchmarks.peers import trainers
from benchmarks.report import write_json
from benchmarks.settings import Settings

BENCHMARKS: dict[str, Callable[[Settings], list[dict[str, Any]]]] = {
    "train_step": train_step.run,
    "memory": memory.run,
    "time_to_loss": time_to_loss.run,
    "sample": sampling.run,
    "startup": startup.run,
    "growth": growth.run,
    "scaling": scaling.run,
    "roofline": roofline.run,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen benchmarks and return the exit code: 1 if one of them failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    settings = _settings(parser, options)
    machine = describe_machine()
    print(describe_in_lines(machine), flush=True)
    asked = {"platform": settings.platform, "rounds": settings.rounds, "quick": settings.quick}
    results: dict[str, Any] = {}
    status = 0
    for name in options.only or BENCHMARKS:
        begun = time.monotonic()
        try:
            results[name] = BENCHMARKS[name](settings)
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            results[name] = [{"error": str(error)}]
            status = 1
        print(f"({name}: {time.monotonic() - begun:.0f} s)\n", file=sys.stderr, flush=True)
        if options.json:  # after each, so that no result is lost
            write_json(options.json, machine, asked, results)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare jaxrnn with other implementations: medians of interleaved rounds.",
        epilog="The docstring of each file describes its benchmark. For the other implementations: "
        "pip install -e '.[bench]'. Leave the machine to itself meanwhile.",
    )
    parser.add_argument(
        "--only", type=_names, metavar="NAME,...", help=f"of {', '.join(BENCHMARKS)} (default: all)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="how often each has its turn (default 5)"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that everything runs")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write everything, every round, to FILE"
    )
    parser.add_argument("--corpus", type=Path, metavar="FILE", help="tinyshakespeare, for time_to_loss")
    parser.add_argument(
        "--platform", choices=("cpu", "gpu"), default="cpu", help="what to run on (default cpu)"
    )
    parser.add_argument(
        "--cases",
        type=_names,
        metavar="NAME,...",
        help="training steps, as lstm-128x2-b50-t50 (default: all)",
    )
    parser.add_argument(
        "--peers", type=_names, metavar="NAME,...", help="implementations, as ours,torch (default: all)"
    )
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _settings(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Settings:
    """Check the names; argparse reports an unknown one and exits with code 2."""
    cases = {case.name: case for case in train_cases(options.platform, quick=options.quick)}
    peers = {peer.name: peer for peer in trainers(options.platform)}
    for given, known in ((options.only, BENCHMARKS), (options.cases, cases), (options.peers, peers)):
        if unknown := set(given or ()) - set(known):
            parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return Settings(
        platform=options.platform,
        rounds=options.rounds,
        quick=options.quick,
        corpus=options.corpus,
        cases=tuple(case for name, case in cases.items() if not options.cases or name in options.cases),
        trainers=tuple(peer for name, peer in peers.items() if not options.peers or name in options.peers),
    )


if __name__ == "__main__":
    sys.exit(main())
