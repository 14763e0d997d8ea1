"""Standard streams that are closed at startup, as in `jaxrnn ... <&- >&- 2>&-`."""

import os
import sys


def open_closed() -> None:
    """Open closed standard streams on the null device, or the next opened file would receive the output."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            stream = open(  # noqa: SIM115  (a descriptor, open until the end)
                descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False
            )
            setattr(sys, name, stream)
