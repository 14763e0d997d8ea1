"""Closed standard streams are opened on the null device before a file can take their descriptors."""

import subprocess
import sys

REPORT = """
import os, sys
from jaxrnn_cli.startup.streams import open_closed
open_closed()
print("lost", flush=True)
print("lost", file=sys.stderr, flush=True)
found = [sys.stdin.read(), *map(os.path.samefile, (0, 1, 2), [os.devnull] * 3), os.open(os.devnull, os.O_RDONLY) > 2]
os.write(int(sys.argv[1]), repr(found).encode())
"""


def test_closed_streams_are_opened_on_the_null_device() -> None:
    # The report goes to a copy of stdout.
    line = 'exec "$0" -c "$1" 9 9>&1 <&- >&- 2>&-'
    result = subprocess.run(
        ["bash", "-c", line, sys.executable, REPORT], capture_output=True, text=True, check=True
    )
    assert result.stdout == "['', True, True, True, True]"
