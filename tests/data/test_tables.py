"""Rows of tables as documents."""

import csv
import gzip
import io
import json
from collections.abc import Iterator

import pytest

from jaxrnn.data import tables
from jaxrnn.data.tables import kind_of_table, read_rows
from jaxrnn.errors import CorpusError

from .conftest import Put, load, text_of

ROWS = ["one", "two\nlines", 'a "quote", a comma', "", "  spaces ", "é\u2028", "x" * 200_000]


def as_csv(rows: list[str]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([["id", "text"], *([n, row] for n, row in enumerate(rows))])
    return file.getvalue()


def as_json(rows: list[str]) -> str:
    return "\n".join(json.dumps({"text": row, "id": n}) for n, row in enumerate(rows)) + "\n\n"


def cut(text: str, size: int) -> Iterator[tuple[str, int]]:
    for start in range(0, len(text), size):
        yield text[start : start + size], min(start + size, len(text))


@pytest.mark.parametrize("size", [7, 1000, 10**6])
@pytest.mark.parametrize(("name", "write"), [("t.csv", as_csv), ("t.jsonl", as_json)])
def test_rows_do_not_depend_on_how_the_file_is_split(
    name: str, write: "object", size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_PIECE", 1000)
    text = write(ROWS)  # type: ignore[operator]
    pieces = list(read_rows(cut(text, size), name, "text", "|"))
    assert "".join(piece for piece, _ in pieces) == "|".join(row for row in ROWS if row)
    assert pieces[-1][1] == len(text)
    assert len(pieces) > 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("A.CSV.gz", "csv"),
        ("b.jsonl.xz", "jsonl"),
        ("c.ndjson", "jsonl"),
        ("a.txt", ""),
        ("csv", ""),
    ],
)
def test_a_table_is_recognized_by_its_extension(name: str, kind: str) -> None:
    assert kind_of_table(name) == kind


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "a,b\n1,2\n", "t.csv has no column 'text': it has a, b"),
        ("t.csv", "", "t.csv has no column 'text': it has none"),
        ("t.csv", 'id,text\n1,"x\n', "t.csv, line 1: not CSV"),
        ("t.csv", "id,text\n1\n", "t.csv, line 2: has no text 'text'"),
        ("t.jsonl", '{"text": "a"}\n{"text"\n', "t.jsonl, line 2: not JSON"),
        ("t.jsonl", '{"text": "a"}\n\n{"body": "a"}\n', "t.jsonl, line 3: has no text 'text'"),
        ("t.jsonl", '{"text": 1}', "t.jsonl, line 1: has no text 'text'"),
        ("t.jsonl", "[1]", "t.jsonl, line 1: has no text 'text'"),
    ],
)
def test_an_error_in_a_row_names_its_line(name: str, text: str, message: str) -> None:
    with pytest.raises(CorpusError) as error:
        list(read_rows(cut(text, 5), name, "text", "\n"))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("streamed", ["never", "always"])
def test_a_corpus_of_tables_and_texts(put: Put, streamed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXRNN_TOKENS", "cache")
    put("all/a.csv", as_csv(ROWS[:2]))
    put("all/b.jsonl.gz", gzip.compress(as_json(ROWS[2:3]).encode()))
    put("all/c.txt", "text, as it is\n")
    documents = [*ROWS[:3], "text, as it is\n"]
    corpus = load("all", field="text", separator="\x1e", streamed=streamed)
    assert text_of(corpus.tokens) == "\x1e".join(documents)
    assert text_of(load("all", field="text", streamed=streamed).tokens) == "\n".join(documents)
