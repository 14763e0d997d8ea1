"""Downloads of files that are known by their hash: a wheel through pip, a file by its address."""

import contextlib
import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from jaxrnn.disk import reason
from jaxrnn.errors import DownloadError
from jaxrnn.types import OnProgress

_PATIENCE = 300.0  # seconds for a whole download
_SILENCE = 30.0  # seconds without a byte
_PIECE = 1 << 16  # bytes
_MOST = 1 << 26  # bytes of a wheel of texts, what pip writes meanwhile included
_GLANCE = 0.1  # seconds from one look at what pip has written to the next
_NOWHERE = subprocess.DEVNULL

# What pip prints (its messages are not translated) and what that means to the user.
_PIP_FAILURES = (
    ("No module named pip", "this Python has no pip; `python -m ensurepip` installs it"),
    ("No space left on device", "the disk is full"),
    ("Retrying (", "the package index can't be reached; check the network and proxy settings"),
    ("ConnectionError", "the package index can't be reached; check the network and proxy settings"),
    ("No matching distribution", "the package index in pip's settings doesn't have it"),
)


def verify(data: bytes, sha256: str, what: str, remedy: str) -> bytes:
    """Return the data, if it has this hash.

    Args:
        data: what was fetched.
        sha256: the hash it must have, in hexadecimal.
        what: what it is called in messages.
        remedy: what the user can do about it, the end of the message.

    Raises:
        DownloadError: It has another.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DownloadError(f"{what} has the wrong SHA-256 ({found[:12]}..., not {sha256[:12]}...): {remedy}")
    return data


def fetch_wheel(
    requirement: str, remedy: str, on_progress: OnProgress, *, limit: int = _MOST, timeout: float = _PATIENCE
) -> bytes:
    """Download one wheel with pip, in the user's own settings (index, proxy, certificates), and install nothing.

    Args:
        requirement: the package and its exact version, `name==1.2.3`.
        remedy: what the user can do if it fails, the end of the message.
        on_progress: told of the start and the end; pip reports no progress.
        limit: the most bytes to accept: whatever an index serves must not fill the disk.
        timeout: seconds after which pip is stopped.

    Returns:
        The wheel's bytes, unverified.

    Raises:
        DownloadError: There is no pip, no network, no such wheel, no answer in time, or too much of one.
    """
    on_progress(f"fetching {requirement}", 0, 0)
    try:
        with tempfile.TemporaryDirectory(prefix="jaxrnn-") as folder:
            why = _run_pip(requirement, Path(folder), limit, timeout)
            wheels = list(Path(folder).glob("*.whl"))
            if not why and len(wheels) == 1:
                data = wheels[0].read_bytes()
                on_progress(f"fetching {requirement}", len(data), len(data))
                return data
    except OSError as error:
        why = reason(error)
    raise DownloadError(f"could not fetch {requirement} ({why or 'pip fetched no wheel'}): {remedy}")


def _run_pip(requirement: str, folder: Path, limit: int, timeout: float) -> str:
    """Let pip download into a folder; return why it could not, or ""."""
    if not sys.executable:
        return "this Python can't start another"
    command = [
        sys.executable,
        "-P",  # a folder called `pip` in the working directory is not pip
        *("-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"),
        *("--no-input", "--disable-pip-version-check", "--no-cache-dir", requirement),
        *("-d", str(folder)),
    ]
    # To a file, not through a pipe: a pipe stays open, and is waited for, as long as a child of pip holds it.
    with tempfile.TemporaryFile() as complaints:
        environment = {**os.environ, "TMPDIR": str(folder)}  # all that pip writes is there, to be measured
        with subprocess.Popen(
            command, stdin=_NOWHERE, stdout=_NOWHERE, stderr=complaints, env=environment
        ) as process:
            why = _watch(process, folder, limit, timeout)
        if why:
            return why
        code = process.returncode
        complaints.seek(0)
        said = complaints.read().decode("utf-8", "replace")
    if not code:
        return ""
    unexplained = f"pip ended with exit code {code}; `pip download --no-deps {requirement}` shows why"
    return next((why for sign, why in _PIP_FAILURES if sign in said), unexplained)


def _watch(process: subprocess.Popen[bytes], folder: Path, limit: int, timeout: float) -> str:
    """Wait for pip; end it, and return why, where it takes too long or writes too much."""
    deadline = time.monotonic() + timeout
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GLANCE)
            if _size(folder) > limit:
                return f"it has more than {limit:,} bytes, which the wheel has not"
            if process.returncode is not None:
                return ""
            if time.monotonic() > deadline:
                return f"pip did not finish in {timeout:.0f} seconds"
    finally:
        process.kill()


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder, which may come and go meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += path.lstat().st_size
    return size


def fetch_url(
    url: str, what: str, remedy: str, on_progress: OnProgress, *, limit: int, timeout: float = _PATIENCE
) -> bytes:
    """Download a file by its address, through the proxy that the environment names.

    Args:
        url: the address.
        what: what messages and progress call it.
        remedy: what the user can do if it fails, the end of the message.
        on_progress: told how far it is, in bytes.
        limit: the most bytes to accept: a page in place of the file must not fill the memory.
        timeout: seconds for the whole of it.

    Returns:
        The file's bytes, unverified.

    Raises:
        DownloadError: The address can't be reached, or answers with an error, too slowly or with too much.
    """
    deadline = time.monotonic() + timeout
    data = bytearray()
    on_progress(f"fetching {what}", 0, 0)
    try:
        with urllib.request.urlopen(url, timeout=min(_SILENCE, timeout)) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else 0
            while len(data) <= limit and (piece := response.read1(_PIECE)):
                data += piece
                on_progress(f"fetching {what}", len(data), total)
                if time.monotonic() > deadline:
                    raise TimeoutError
    except TimeoutError:
        why = "no answer in time"
    except urllib.error.HTTPError as error:
        why = f"the server answered {error.code}"
    except urllib.error.URLError:
        why = "the address can't be reached; check the network and proxy settings"
    except (OSError, http.client.HTTPException, ValueError):
        why = "the connection failed"
    else:
        if total <= len(data) <= limit:
            return bytes(data)
        why = "the answer is not the file" if len(data) > limit else "the connection broke off"
    raise DownloadError(f"could not fetch {what} ({why}): {remedy}")
