"""Rows of tables as documents: one column of CSV files, or one key of JSON Lines, `corpus.field`."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any

from jaxrnn.errors import CorpusError

_PIECE = 1 << 20  # characters
_PACKED = (".gz", ".bz2", ".xz")


def kind_of_table(name: str) -> str:
    """Return "csv" or "jsonl" by the name of a file, compressed or not; "" if it is neither."""
    suffixes = [suffix for suffix in PurePath(name.lower()).suffixes if suffix not in _PACKED]
    return {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(suffixes[-1] if suffixes else "", "")


def read_rows(
    pieces: Iterable[tuple[Any, int]], name: str, field: str, between: str
) -> Iterator[tuple[str, int]]:
    """Yield one field of each row of a table, joined into pieces of text; empty fields are skipped.

    Args:
        pieces: The pieces of the file, from `texts.read_pieces`.
        name: The name of the file, with the suffix of a table (see `kind_of_table`).
        field: The column, or the key.
        between: The separator put between two rows, unless the first ends in it.

    Yields:
        As `texts.read_pieces`.

    Raises:
        CorpusError: The file is not CSV or JSON Lines, or a row lacks the field.
    """
    end = 0

    def lines() -> Iterator[str]:
        nonlocal end
        rest = ""
        for piece, end in pieces:  # noqa: B007  (`end` is yielded below)
            *whole, rest = (rest + piece).split("\n")
            yield from (f"{line}\n" for line in whole)
        if rest:
            yield rest

    rows = _csv_rows if kind_of_table(name) == "csv" else _json_rows
    kept, size, last = [""], 0, between
    for row in filter(None, rows(lines(), name, field)):
        kept.append(row if last.endswith(between) else between + row)
        last, size = row, size + len(kept[-1])
        if size > _PIECE:
            yield "".join(kept), end
            kept, size = [], 0
    yield "".join(kept), end


def _csv_rows(lines: Iterator[str], name: str, field: str) -> Iterator[str]:
    csv.field_size_limit(2**31 - 1)  # the default limit is 131,072 characters per document
    reader = csv.DictReader(lines, strict=True)
    try:
        if field not in (columns := reader.fieldnames or ()):
            raise CorpusError(f"{name} has no column {field!r}: it has {', '.join(columns) or 'none'}")
        for row in reader:
            yield _text(row, name, reader.line_num, field)
    except csv.Error as error:
        raise CorpusError(f"{name}, line {reader.line_num}: not CSV ({error})") from None


def _json_rows(lines: Iterator[str], name: str, field: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{name}, line {number}: not JSON ({error})") from None
            yield _text(row, name, number, field)


def _text(row: Any, name: str, number: int, field: str) -> str:
    text = row.get(field) if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise CorpusError(f"{name}, line {number}: has no text {field!r}")
    return text
