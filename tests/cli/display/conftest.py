"""A pseudo-terminal as stdout and stderr, and what it shows."""

import io
import re
import sys

import pytest


class Terminal(io.StringIO):
    columns = 80

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """The lines that a terminal shows at the end, without colors."""
        lines, row, column = [""], 0, 0
        for code, letter, character in re.findall(r"\x1b\[([?\d;]*)([A-Za-z])|([^\x1b])", self.getvalue()):
            if letter == "A":
                row = max(0, row - int(code or 1))
            elif letter == "K":
                lines[row] = ""
            elif character == "\r":
                column = 0
            elif character == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif character:
                if column == self.columns:  # the line wraps
                    row, column = row + 1, 0
                    lines.insert(row, "")
                lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
                column += 1
        return [line.rstrip() for line in lines]


def open_terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> Terminal:
    """Replace stdout and stderr by a pseudo-terminal; a function, because pytest would undo it in a fixture."""
    stream = Terminal()
    stream.columns = columns
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    return stream
