"""Text from standard input."""

import sys

from jaxrnn.errors import CorpusError


def read_stdin() -> bytes:
    """Return all bytes of standard input."""
    return sys.stdin.buffer.read()


def text_of_stdin(data: bytes) -> str:
    """Decode UTF-8, remove a byte order mark, and convert line ends to newlines.

    Raises:
        CorpusError: It is not UTF-8.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise CorpusError(f"standard input: byte {byte:#04x} at offset {error.start} is not UTF-8") from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
