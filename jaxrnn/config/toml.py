"""Reading and writing of TOML, with one-line error messages."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxrnn.errors import ConfigError

MAX_BYTES = 1_000_000  # refuses a corpus that was given instead of a config before it is parsed
_SHOWN_LENGTH = 60
_DEEP_KEY = re.compile(r"^[ \t[]*(?:[\w-]+\.){100}", re.MULTILINE)
_BOM = b"\xef\xbb\xbf"
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def read_text(path: Path) -> str:
    """Read a TOML file as a string.

    Raises:
        ConfigError: The file is missing, can't be read, is too large, or is not UTF-8.
    """
    source = printable(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = _similar_file(path)
        raise ConfigError(f"{source}: no such file" + (f"; did you mean {near}?" if near else "")) from None
    except IsADirectoryError:
        raise ConfigError(f"{source}: is a directory; give a TOML file") from None
    except OSError as error:
        raise ConfigError(f"{source}: can't be read ({error.strerror or error})") from None
    except ValueError:  # a NUL in the path
        raise ConfigError(f"{source}: not a file name") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{source}: has more than {MAX_BYTES} bytes, so it can't be a config")
    bom = len(_BOM) if data.startswith(_BOM) else 0
    try:
        return data[bom:].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = bom + error.start
        line = data.count(b"\n", 0, offset) + 1
        found = f"byte {data[offset]:#04x} at offset {offset} (line {line}) is not UTF-8"
        raise ConfigError(f"{source}: {found}; save the file as UTF-8") from None


def _similar_file(path: Path) -> str | None:
    """Return the TOML file with the most similar name, in the same folder or in `configs/`."""
    for folder in (path.parent, Path("configs")):
        try:
            stems = sorted(file.stem for file in folder.glob("*.toml") if file.is_file())
        except OSError:
            continue
        near = difflib.get_close_matches(path.stem, stems, n=1)
        if near:
            return printable(str(folder / f"{near[0]}.toml"))
    return None


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Parse a TOML string.

    Raises:
        ConfigError: It is not TOML, too long, too deeply nested, or has an integer with too many digits.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{source}: is longer than {MAX_BYTES} characters, so it can't be a config")
    if _DEEP_KEY.search(text):  # tomllib would take minutes
        raise ConfigError(f"{source}: not a config: keys are nested too deeply")
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        message = printable(str(error)).replace("Cannot overwrite a value", "a key is given twice")
        message = message.replace(
            "at end of document", f"at line {text.rstrip().count(chr(10)) + 1}, the end"
        )
        raise ConfigError(f"{source}: not valid TOML: {message}") from None
    except RecursionError:
        raise ConfigError(f"{source}: not a config: lists or tables are nested too deeply") from None
    except ValueError:  # Python's limit on the digits of an integer
        digits = re.search(r"\d[\d_]{1000,}", text)
        where = f" (at line {text.count(chr(10), 0, digits.start()) + 1})" if digits else ""
        raise ConfigError(f"{source}: a number has too many digits{where}") from None


def parse_value(text: str) -> Any:
    """Parse a single TOML value.

    Raises:
        ConfigError: `text` is not one value.
    """
    table = parse_toml(f"value = {text}", "value")
    if len(table) != 1:
        raise ConfigError("more than one value")
    return table["value"]


def format_toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Return tables as TOML; their values are scalars or lists of flat tables."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_format(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )


def _format(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)  # the shortest that reads back as the same number
        case str():
            return toml_string(value)
        case list() | tuple():
            return "[\n" + "".join(f"  {_format(item)},\n" for item in value) + "]"
        case Mapping():
            pairs = (f"{key} = {_format(item)}" for key, item in value.items())
            return "{ " + ", ".join(pairs) + " }"
    raise TypeError(f"no TOML for a {type(value).__name__}")


def toml_string(text: str) -> str:
    """Return `text` as a TOML string on one line; quotes, backslashes and unprintable characters are escaped."""
    return '"' + "".join(_ESCAPES.get(c) or _escaped(c) for c in text) + '"'


def printable(text: str) -> str:
    """Return `text` on one line, with unprintable characters escaped."""
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def shortened(text: str) -> str:
    """Return the beginning of a string, short enough for a message."""
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."
