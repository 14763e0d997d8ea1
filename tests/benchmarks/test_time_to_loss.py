from benchmarks.time_to_loss import first_below

ROWS = [
    (1.0, {"step": "0", "val_loss": ""}),
    (2.5, {"step": "50", "val_loss": "1.95"}),
    (4.0, {"step": "100", "val_loss": "1.88"}),
    (5.0, {"step": "150", "val_loss": "1.70"}),
]


def test_the_first_row_at_the_target_counts() -> None:
    assert first_below(ROWS, 1.88) == (4.0, 100)


def test_a_target_that_is_never_reached_has_no_time() -> None:
    assert first_below(ROWS, 1.60) is None
