import hashlib
import http.server
import os
import signal
import sys
import threading

import pytest

from jaxrnn.data.download import fetch_url, fetch_wheel, verify
from jaxrnn.errors import DownloadError


class Told(list):
    def __call__(self, *progress):
        self.append(progress)


def test_a_wrong_hash_is_refused_with_both_hashes_and_a_remedy():
    found = hashlib.sha256(b"text").hexdigest()
    assert verify(b"text", found, "it", "sigh") == b"text"
    words = rf"^it has the wrong SHA-256 \({found[:12]}\.\.\., not 000000000000\.\.\.\): sigh$"
    with pytest.raises(DownloadError, match=words):
        verify(b"text", "0" * 64, "it", "sigh")


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """Replace Python by a shell script, in which $folder is the destination of the wheel."""

    def install(script):
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/arguments"\nfor folder; do :; done\n{script}\n')
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))

    return install


def test_pip_downloads_one_wheel_and_installs_nothing(tmp_path, pip, capfd):
    pip('echo Collecting; echo "WARNING: old" >&2; printf wheel >"$folder/p-1-py3-none-any.whl"')
    told = Told()
    assert fetch_wheel("p==1", "sigh", told) == b"wheel"
    assert told == [("fetching p==1", 0, 0), ("fetching p==1", 5, 5)]
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments[:4] == ["-P", "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "p==1"} <= set(arguments)
    assert capfd.readouterr() == ("", "")


def test_pip_uses_the_users_settings(tmp_path, pip, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "the user's")
    pip(f'echo "$PIP_INDEX_URL" >"{tmp_path}/index"; pwd >>"{tmp_path}/index"; printf wheel >"$folder/p.whl"')
    monkeypatch.chdir(tmp_path)
    fetch_wheel("p==1", "sigh", Told())
    assert (tmp_path / "index").read_text() == f"the user's\n{tmp_path}\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exec sleep 60", "pip did not finish in 0 seconds"),
        ("exit 0", "pip fetched no wheel"),
        (
            "echo 'python3: No module named pip' >&2; exit 3",
            "this Python has no pip; `python -m ensurepip` installs it",
        ),
        (
            "echo 'WARNING: Retrying (Retry(total=0)) after connection broken' >&2; "
            "echo 'ERROR: No matching distribution found for p==1' >&2; exit 3",
            "the package index can't be reached",
        ),
        (
            "echo 'ERROR: No matching distribution found for p==1' >&2; exit 3",
            "the package index in pip's settings doesn't have it",
        ),
        ("echo 'ERROR: [Errno 28] No space left on device' >&2; exit 3", "the disk is full"),
        ("echo 'ERROR: something else' >&2; exit 3", "pip ended with exit code 3"),
    ],
)
def test_a_failure_of_pip_is_one_line(pip, capfd, script, reason):
    pip(script)
    with pytest.raises(DownloadError) as caught:
        fetch_wheel("p==1", "sigh", Told(), timeout=0.3 if "sleep" in script else 60)
    message = str(caught.value)
    assert message.startswith(f"could not fetch p==1 ({reason}")
    assert message.endswith("): sigh")
    assert "\n" not in message
    assert "ERROR" not in message
    assert capfd.readouterr() == ("", "")


def test_a_download_larger_than_the_wheel_is_aborted(pip):
    for endless in ("exec yes >$TMPDIR/unpacked", 'head -c 2000 /dev/zero >"$folder/p.whl"'):
        pip(endless)
        with pytest.raises(DownloadError, match=r"p==1 \(it has more than 1,000 bytes"):
            fetch_wheel("p==1", "sigh", Told(), limit=1000)


def test_a_remaining_child_of_pip_is_not_waited_for(tmp_path, pip):
    pip(f'sleep 60 & echo $! >"{tmp_path}/child"; printf wheel >"$folder/p.whl"')
    assert fetch_wheel("p==1", "sigh", Told()) == b"wheel"
    os.kill(int((tmp_path / "child").read_text()), signal.SIGTERM)  # still running


@pytest.mark.parametrize("executable", ["", None, "/nowhere/python"])
def test_a_python_that_can_not_start_is_an_error(monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(DownloadError, match=r"could not fetch p==1 \(.*\): sigh"):
        fetch_wheel("p==1", "sigh", Told())


BODY = bytes(range(256)) * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unknown-length":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if self.path == "/slow":
            self.server.released.wait(30)
        self.wfile.write(BODY[:1000] if self.path == "/broken" else BODY)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None
        server.released = threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.released.set()
        server.shutdown()


def test_a_file_is_downloaded_by_url_with_progress_in_bytes(server):
    told = Told()
    assert fetch_url(f"{server}/file", "it", "sigh", told, limit=1 << 20) == BODY
    assert told[0] == ("fetching it", 0, 0)
    assert told[-1] == ("fetching it", len(BODY), len(BODY))
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert fetch_url(f"{server}/unknown-length", "it", "sigh", told, limit=1 << 20) == BODY
    assert told[-1] == ("fetching it", len(BODY), 0)


@pytest.mark.parametrize(
    ("path", "limit", "reason"),
    [
        ("/missing", 1 << 20, "the server answered 404"),
        ("/broken", 1 << 20, "the connection broke off"),
        ("/file", 1000, "the answer is not the file"),
        ("/slow", 1 << 20, "no answer in time"),
        (None, 1, "the address can't be reached; check .*"),
    ],
)
def test_a_failed_download_is_one_line_with_the_reason(server, path, limit, reason):
    port = int(server.rsplit(":", 1)[1])
    url = f"http://127.0.0.1:{1 if port != 1 else 2}" if path is None else server + path
    with pytest.raises(DownloadError, match=rf"^could not fetch it \({reason}\): sigh$"):
        fetch_url(url, "it", "sigh", Told(), limit=limit, timeout=0.2 if path == "/slow" else 60)
