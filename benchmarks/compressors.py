"""The compression of the validation split by general compressors: python -m benchmarks.compressors --help.

The validation split is compressed alone, and then with the training split as its history: the compressed size of the
whole text minus that of the training split. This compares with a model, which has been trained on the history, as far
as the tool's window reaches: bzip2 sorts independent blocks of 900,000 bytes, so history helps it little; the others
get a window as large as the whole text.

A model's bits per character leave out its own size, and a compressor's program is left out here too.
"""

import argparse
import bz2
import json
import lzma
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jaxrnn.config import CorpusConfig
from jaxrnn.data.corpus import load_corpus, split_lengths
from jaxrnn.data.texts import as_bytes
from jaxrnn.data.vocabulary import spell
from jaxrnn.errors import JaxrnnError

_SMALLEST_WINDOW = 2**16


class Row(NamedTuple):
    """The result of one tool on one text; bits are those of the validation split."""

    corpus: str
    tool: str
    alone: float  # bits per character, nothing read before
    with_history: float  # bits per character, after the training text
    alone_per_byte: float
    with_history_per_byte: float


def measure(corpus: str, text: str | bytes, validation_fraction: float) -> list[Row]:
    """Compress the validation split of a text with every tool that is installed.

    Args:
        corpus: its name.
        text: all of it; of bytes, each counts as a character.
        validation_fraction: as in `[corpus]`, above 0.
    """
    training_length, _ = split_lengths(len(text), validation_fraction)
    training, held_out = as_bytes(text[:training_length]), as_bytes(text[training_length:])
    characters = len(text) - training_length
    rows = []
    for name, compress in compressors(len(training) + len(held_out)).items():
        alone = 8 * len(compress(held_out))
        after = 8 * (len(compress(training + held_out)) - len(compress(training)))
        per_byte = alone / len(held_out), after / len(held_out)
        rows.append(Row(corpus, name, alone / characters, after / characters, *per_byte))
    return rows


def _read(name: str, tokens: str) -> str | bytes:
    corpus = load_corpus(CorpusConfig(text=name, tokens=tokens, streamed="never"))
    return spell(corpus.tokens.vocabulary, corpus.tokens.read())


def compressors(size: int) -> dict[str, Callable[[bytes], bytes]]:
    """The tools by name, each with a window of at least `size` bytes where it can be set."""
    window = max(_SMALLEST_WINDOW, 1 << (size - 1).bit_length())
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": window}]
    found: dict[str, Callable[[bytes], bytes]] = {
        "bz2 -9": lambda data: bz2.compress(data, 9),
        "lzma, extreme, without a container": lambda data: lzma.compress(
            data, format=lzma.FORMAT_RAW, filters=filters
        ),
    }
    window_log = max(10, window.bit_length() - 1)
    for command in (("xz", "-9"), ("zstd", "-19", f"--zstd=wlog={window_log}")):
        if shutil.which(command[0]):
            found[" ".join(command[:2])] = partial(_pipe, (*command, "-c"))
    return found


def _pipe(command: tuple[str, ...], data: bytes) -> bytes:
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def main(arguments: list[str] | None = None) -> int:
    """Prints a table, or JSON, and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compressors",
        description="Bits per character of a validation split by general compressors.",
    )
    parser.add_argument(
        "--corpus", action="append", metavar="TEXT", help="a file or a built-in corpus; may be repeated"
    )
    parser.add_argument(
        "--tokens",
        choices=("characters", "bytes"),
        default="characters",
        help="as in [corpus]; bytes: any file",
    )
    parser.add_argument("--validation-fraction", type=float, default=0.1, metavar="F")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    options = parser.parse_args(arguments)
    if not 0 < options.validation_fraction < 1:
        parser.error(f"--validation-fraction {options.validation_fraction} is not between 0 and 1")
    rows: list[Row] = []
    try:
        for name in options.corpus or ["shakespeare"]:
            rows += measure(name, _read(name, options.tokens), options.validation_fraction)
    except JaxrnnError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{'corpus':24} {'tool':36} {'alone':>8} {'history':>8}   bits per {options.tokens[:-1]}")
    for row in rows:
        print(f"{Path(row.corpus).name:24} {row.tool:36} {row.alone:8.3f} {row.with_history:8.3f}")
    for tool in ("xz", "zstd"):
        if not shutil.which(tool):
            print(f"{tool}: not measured, there is no such program here")
    if options.json:
        options.json.write_text(
            json.dumps([row._asdict() for row in rows], indent=2) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
