"""Text from standard input."""

import sys


def read_stdin() -> str:
    """Returns all of it, without a byte order mark and with newlines alone.

    Raises:
        CorpusError: It is not UTF-8.
    """
    from jaxrnn.errors import CorpusError

    data = sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise CorpusError(f"standard input: byte {byte:#04x} at offset {error.start} is not UTF-8") from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
