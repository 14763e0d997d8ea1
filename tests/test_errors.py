"""What messages have in common."""

import pytest

from jaxrnn.errors import counted


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 characters"), (1, "1 character"), (2, "2 characters"), (1000, "1,000 characters")],
)
def test_one_thing_is_singular_and_large_numbers_have_commas(count: int, shown: str) -> None:
    assert counted(count, "character") == shown
