"""Samples on stdout, as JSON or as text, which may be colored by surprisal."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from jaxrnn_cli.display import console
from jaxrnn_cli.display.byte_text import characters_of

if TYPE_CHECKING:
    from jaxrnn.data import Text
    from jaxrnn.sampling import Sample


def print_json(prompt: "Text", sample: "Sample") -> None:
    """Print a sample as one line of JSON; invalid UTF-8 becomes replacement characters."""
    record = {
        "prompt": _unicode(prompt),
        "text": _unicode(sample.text),
        "tokens": len(sample.nll),
        "nll": sample.mean_nll,
    }
    console.write(json.dumps(record) + "\n")


def _unicode(text: "Text") -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text


def print_samples(
    samples: Iterable[tuple[Any, Iterable[Any], list[float]]], total: int, separator: str, *, is_painted: bool
) -> None:
    """Stream samples to stdout, with a header for each on stderr if there are several.

    Args:
        samples: For each sample its prompt, the pieces of its text, and the surprisal of its tokens, as `one_by_one`
            yields them. The surprisal of printed tokens is removed from the list.
        total: Number of samples.
        separator: Printed between two samples; a newline follows the last one.
        is_painted: Whether to color the text by surprisal; the prompt has no color.
    """
    for number, (prompt, pieces, nats) in enumerate(samples, 1):
        if total > 1:
            console.note(f"sample {number:,} of {total:,}")
        nats[:0] = [0.0] * len(prompt)
        text = chain([prompt], pieces)
        shown = characters_of(text, nats) if isinstance(prompt, bytes) else _with_surprisal(text, nats)
        for piece, of_piece in shown:
            console.write_by_surprisal(piece, of_piece if is_painted else ())
        console.write(separator if number < total else "\n")


def _with_surprisal(pieces: Iterable[str], nats: list[float]) -> Iterator[tuple[str, list[float]]]:
    for piece in pieces:
        yield piece, nats[: len(piece)]
        del nats[: len(piece)]
