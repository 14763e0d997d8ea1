"""What stands between the documents of a corpus: one character, or nothing."""

from jaxrnn.config.fields import FieldError
from jaxrnn.config.toml import printable

_LONGEST_SHOWN = 40


def check_separator(separator: str) -> None:
    r"""Refuses a separator of several characters, and says what to do about such a mark in a text.

    Raises:
        FieldError: It has more than one character.
    """
    if len(separator) <= 1:
        return
    problem = "must be one character, as the state is reset at one token; "
    if separator.startswith("\\"):
        problem += """an escape is one in double quotes only, as in --set 'corpus.separator="\\n"'"""
        raise FieldError("separator", problem, separator)
    mark = "".join(map(_in_perl, separator)) if len(separator) <= _LONGEST_SHOWN else "MARK"
    replace = f"perl -0777 -pe 's/{mark}/\\x1e/g' OLD > NEW"
    problem += f'put one that occurs nowhere else in place of this mark first, "\\u001E" say: {replace}'
    raise FieldError("separator", problem, separator)


def _in_perl(character: str) -> str:
    """A character as Perl's patterns have it, between a shell's single quotes, on one line."""
    if character == "\n":
        return "\\n"
    if character == "'" or printable(character) != character:
        return "".join(f"\\x{byte:02x}" for byte in character.encode())
    is_plain = character.isalnum() or character in " <>_-,;:=!" or not character.isascii()
    return character if is_plain else f"\\{character}"
