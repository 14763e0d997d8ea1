"""Escape sequences in command-line arguments."""

import re

_ESCAPES = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def escaped(text: str) -> str:
    r"""Parse text in which `\n` is a newline, `\t` a tab, `\0` a NUL and `\\` a backslash."""
    return re.sub(r"\\([nt0\\])", lambda escape: _ESCAPES[escape[1]], text)
