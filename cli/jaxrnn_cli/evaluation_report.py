"""The report of `jaxrnn evaluate` for people."""

from typing import Any

from jaxrnn_cli import console

_WORDS = (0, 1, 3)  # columns that are no numbers
_SHOWN = 8  # unseen characters that are named


def print_report(runs: list[dict[str, Any]]) -> None:
    """Prints one table of all runs, then what else there is to say of each."""
    head = ["run", "text", "characters", "protocol", "nats/char", "bits/char", "bits/byte", "first choice"]
    rows = [head]
    for run in runs:
        for result in run["results"]:
            losses = [
                f"{result[key]:.4f}" for key in ("nats_per_character", "bits_per_character", "bits_per_byte")
            ]
            text = f"{run['corpus']}, {run['part']}"
            rows.append(
                [
                    run["run"],
                    text,
                    f"{run['characters_scored']:,}",
                    _protocol(result),
                    *losses,
                    f"{result['first_choice']:.1%}",
                ]
            )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        cells = [
            cell.ljust(width) if column in _WORDS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        console.write(console.one_line("  ".join(cells).rstrip()) + "\n")
    if len({(run["corpus"], run["part"]) for run in runs}) > 1:
        console.write("These are different texts: compare runs on one text with --corpus TEXT.\n")
    for run in runs:
        _print_unseen(run, several=len(runs) > 1)
        if "memorisation" in run:
            _print_memorisation(run)


def _protocol(result: dict[str, Any]) -> str:
    match result["protocol"]:
        case "windows":
            return f"windows {result['window']}"
        case "dynamic":
            return f"dynamic (rate {result['rate']:g}, decay {result['decay']:g})"
        case name:
            return str(name)


def _print_unseen(run: dict[str, Any], *, several: bool) -> None:
    from jaxrnn.vocabulary import describe_character

    unseen = run["unseen"]
    if not unseen:
        return
    named = [f"{describe_character(c)} ({count:,})" for c, count in list(unseen.items())[:_SHOWN]]
    more = f" and {len(unseen) - _SHOWN:,} others" if len(unseen) > _SHOWN else ""
    total = sum(unseen.values())
    share = total / (total + run["characters_scored"] + 1)
    where = f"{run['run']}: " if several else ""
    console.write(
        f"{where}{total:,} characters ({share:.2%}) were left out, as the model does not know them and they have no "
        f"probability: {', '.join(named)}{more}.\n"
    )


def _print_memorisation(run: dict[str, Any]) -> None:
    report = run["memorisation"]
    console.write(f"{run['run']}: strings that stand in the training text\n")
    for name, what in (("written", "written by the model"), ("scored", "of the text scored")):
        shares = ", ".join(f"{share:.2%} of {n} characters" for n, share in report[name]["shares"].items())
        longest = console.escape(repr(report[name]["longest"]))
        console.write(f"  {what}: {shares}; the longest has {report[name]['longest_length']}: {longest}\n")
