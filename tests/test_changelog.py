"""The changelog matches the version and the file formats."""

import re
from pathlib import Path

import jaxrnn

CHANGELOG = (Path(__file__).parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_newest_version_of_the_changelog_is_the_current_one() -> None:
    versions = re.findall(r"^## \[(.+?)\]", CHANGELOG, flags=re.MULTILINE)
    assert versions[0] == jaxrnn.__version__
    assert versions == sorted(set(versions), key=lambda v: [*map(int, v.split("."))], reverse=True)


def test_the_format_of_the_changelog() -> None:
    heads = re.findall(r"^## (.*)$", CHANGELOG, flags=re.MULTILINE)
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - (unreleased|\d{4}-\d\d-\d\d)", head) for head in heads)
    kinds = set(re.findall(r"^### (.*)$", CHANGELOG, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_changelog_has_the_current_format_versions() -> None:
    from jaxrnn.runs.directory import FORMAT_VERSION

    assert f"both are {FORMAT_VERSION}." in CHANGELOG
