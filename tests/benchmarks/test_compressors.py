"""Compressed size of the end of a text, alone and with the text before it as history."""

import json
import lzma
import random

import pytest

from benchmarks.compressors import compressors, main, measure

LETTERS = random.Random(0)
NOISE = "".join(LETTERS.choice("abcdefghé") for _ in range(20_000))


def test_bits_per_character_and_byte_of_the_validation_split() -> None:
    end = NOISE[15_000:]
    for row in measure("noise", NOISE, 0.25):
        compressed = 8 * len(compressors(len(NOISE.encode()))[row.tool](end.encode()))
        assert row.alone == pytest.approx(compressed / len(end))
        assert row.alone_per_byte == pytest.approx(compressed / len(end.encode()))
        assert row.with_history_per_byte < row.with_history  # é has two bytes


def test_an_end_contained_in_the_training_text_compresses_to_almost_nothing() -> None:
    rows = {row.tool: row for row in measure("twice", NOISE + NOISE[:5_000], 0.2)}
    assert {"bz2 -9", "lzma, extreme, without a container"} <= set(rows)
    for tool, row in rows.items():
        assert row.alone > 3  # log2(9) is 3.2
        assert row.with_history < (0.1 if "bz2" not in tool else row.alone)


@pytest.mark.parametrize("tool", compressors(10))
def test_decompression_restores_the_text(tool: str) -> None:
    compressed = compressors(len(NOISE.encode()))[tool](NOISE.encode())
    assert 3 / 8 < len(compressed) / len(NOISE) < 0.6
    if tool.startswith("xz"):
        assert lzma.decompress(compressed) == NOISE.encode()


def test_a_table_is_printed_and_json_written(tmp_path, capsys) -> None:
    (tmp_path / "text.txt").write_text(NOISE, encoding="utf-8")
    arguments = ["--corpus", str(tmp_path / "text.txt"), "--json", str(tmp_path / "rows.json")]
    assert main(arguments) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert all(f"{row['tool']:36} {row['alone']:8.3f}" in capsys.readouterr().out for row in rows[:1])


def test_a_missing_text_is_one_line(tmp_path, capsys) -> None:
    assert main(["--corpus", str(tmp_path / "none.txt")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
