"""Helpers of error messages."""

import pytest

from jaxrnn.errors import counted


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 characters"), (1, "1 character"), (2, "2 characters"), (1000, "1,000 characters")],
)
def test_counts_are_singular_for_1_and_have_commas(count: int, shown: str) -> None:
    assert counted(count, "character") == shown
