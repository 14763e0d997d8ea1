"""The report of `jaxrnn evaluate`."""

from collections.abc import Sequence
from typing import Any

import jaxrnn
from jaxrnn.errors import counted
from jaxrnn_cli.display import console
from jaxrnn_cli.display.numbers import TOKEN

_SHOWN = 8  # number of unseen characters that are listed
_LONGEST = 300  # maximum length of a printed passage
_LOSSES = ("nll", "bits_per_token", "bits_per_byte")


def print_report(runs: Sequence[dict[str, Any]]) -> None:
    """Print one table of all runs, then further results of each run.

    Args:
        runs: Records of `evaluate_run`.
    """
    several = len(runs) > 1
    kinds = {run["text"]["tokens"] for run in runs}
    tokens = kinds.pop() if len(kinds) == 1 else "tokens"
    if several:
        head = ["run", "step", "parameters", "text", tokens, "protocol"]
        left = [*map(_describe_run, runs)]
    else:
        head, left = ["protocol"], [[]]
        (run,) = runs
        _print(f"{run['run']}: step {run['step']:,}, {run['parameters']:,} parameters")
        _print(f"{_name_text(run)}: {counted(run['text']['scored_tokens'], tokens[:-1])} scored")
    unit = TOKEN.get(tokens, "token")
    losses = [f"nats/{unit}", f"bits/{unit}"] + ["bits/byte"] * (tokens != "bytes")
    rows = [
        [*cells, _name_protocol(protocol, result), *_losses(result, len(losses))]
        for cells, run in zip(left, runs, strict=True)
        for protocol, result in run["protocols"].items()
    ]
    _print_table([*head, *losses, "perplexity", "top-1 accuracy"], rows, words={"run", "text", "protocol"})
    if tokens == "tokens":
        _print("Some runs have characters as tokens, others bytes: only bits/byte is comparable.")
    if not same_text(runs):
        _print(
            "The texts differ: these losses are not comparable. --corpus TEXT scores all runs on one text."
        )
    for run in runs:
        prefix = f"{run['run']}: " if several else ""
        _print_unseen(run["text"], prefix)
        _print_rates(run["protocols"], prefix)
        if "memorization" in run:
            _print_memorization(run["memorization"], run["text"]["tokens"], prefix)


def same_text(runs: Sequence[dict[str, Any]]) -> bool:
    """Return whether all runs were scored on the same text."""
    return len({run["text"]["sha256"] for run in runs}) == 1


def _describe_run(run: dict[str, Any]) -> list[str]:
    text = run["text"]
    return [
        run["run"],
        f"{run['step']:,}",
        f"{run['parameters']:,}",
        _name_text(run),
        f"{text['scored_tokens']:,}",
    ]


def _name_text(run: dict[str, Any]) -> str:
    return f"{run['text']['corpus']}, {run['text']['part']}"


def _name_protocol(protocol: str, result: dict[str, Any]) -> str:
    size = result.get("window", result.get("segment"))
    return protocol if size is None else f"{protocol} {size}"


def _losses(result: dict[str, Any], shown: int) -> list[str]:
    perplexity = result["perplexity"]
    return [
        *(f"{result[name]:.4f}" for name in _LOSSES[:shown]),
        "huge" if perplexity is None else f"{perplexity:,.3f}",
        f"{result['top1_accuracy']:.1%}",
    ]


def _print(line: str) -> None:
    console.write(console.one_line(line) + "\n")


def _print_table(head: list[str], rows: list[list[str]], words: set[str]) -> None:
    """Print an aligned table: columns named in `words` to the left, numbers to the right."""
    table = [head, *([console.one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [
            cell.ljust(width) if name in words else cell.rjust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        console.write("  ".join(cells).rstrip() + "\n")


def _print_unseen(text: dict[str, Any], prefix: str) -> None:
    unseen = text["unseen"]
    if not unseen:
        return
    named = [f"{jaxrnn.data.describe_character(c)} {count:,}" for c, count in list(unseen.items())[:_SHOWN]]
    if len(unseen) > _SHOWN:
        named.append(f"and {len(unseen) - _SHOWN:,} more")
    count, share = text["unseen_tokens"], text["unseen_share"]
    percent = f"{share:.2%}" if share >= 0.0001 else "under 0.01%"
    were = "was" if count == 1 else "were"
    left_out = f"{counted(count, 'character')} {were} left out ({percent})"
    _print(f"{prefix}{left_out}, not in the vocabulary: {', '.join(named)}")


def _print_rates(protocols: dict[str, Any], prefix: str) -> None:
    if "dynamic" not in protocols:
        return
    found = protocols["dynamic"]
    _print(
        f"{prefix}dynamic: rate {found['rate']:g}, decay {found['decay']:g}, from {found['rates_from']}; "
        f"gradient statistics from {found['statistics_from']}"
    )


def _print_memorization(found: dict[str, Any], tokens: str, prefix: str) -> None:
    sample, text = found["sample"], found["scored_text"]
    console.write("\n")
    training = counted(found["training_tokens"], tokens[:-1])
    _print(f"{prefix}strings copied verbatim from the training split of {training}")
    rows = [
        [f"strings of {n} {tokens}", f"{share:.2%}", f"{text['shares'][n]:.2%}"]
        for n, share in sample["shares"].items()
    ]
    rows.append(["longest passage", f"{sample['longest_length']:,}", f"{text['longest_length']:,}"])
    heads = [
        f"{counted(part['length'], tokens[:-1])} {what}"
        for part, what in ((sample, "sampled"), (text, "scored"))
    ]
    _print_table(["", *heads], rows, words={""})
    for what, part in (("sampled", sample), ("scored", text)):
        passage = part["longest"]
        shown = repr(passage[:_LONGEST]) + ("..." if len(passage) > _LONGEST else "")
        shown = shown.replace(r"\\x", r"\x") if tokens == "bytes" else shown  # escaped already
        _print(f"longest passage {what}: {shown}")
