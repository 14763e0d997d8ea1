"""Standard streams that are closed at the start, as in `jaxrnn ... <&- >&- 2>&-`."""

import os
import sys


def open_closed() -> None:
    """Opens on nothing what is closed, or the next file, such as a checkpoint's, would get what is printed."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            stream = open(  # noqa: SIM115  (a descriptor, open until the end)
                descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False
            )
            setattr(sys, name, stream)
