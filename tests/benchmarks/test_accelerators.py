"""The limits of the programs that are compiled for GPUs and TPUs."""

import pytest

from benchmarks.accelerators import CONFIGS, ROOT, Found, exceeded

GOOD = Found("v5e-4", "shakespeare", "training step", [4, 7.5], 2, 0, 1, 0, 10**6, 2.0)


def test_a_program_within_the_limits_passes() -> None:
    assert exceeded(GOOD) == []


@pytest.mark.parametrize(
    ("worse", "problem"),
    [
        ({"per_step": []}, "no loop over time"),
        ({"per_step": [4, 10.5]}, "10.5 operations per step"),
        ({"scatters": 2}, "2 scatters"),
        ({"all_reduces": 2}, "2 all-reduces"),
        ({"other_traffic": 1}, "1 other operations between devices"),
    ],
)
def test_each_limit_is_checked(worse: dict[str, object], problem: str) -> None:
    (found,) = exceeded(GOOD._replace(**worse))  # type: ignore[arg-type]
    assert found.startswith(f"v5e-4, shakespeare, training step: {problem};")


def test_sampling_has_a_limit_of_its_own() -> None:
    sampling = GOOD._replace(target="h100", program="sampling", per_step=[7], all_reduces=0)
    assert exceeded(sampling) == []
    (found,) = exceeded(sampling._replace(per_step=[11]))
    assert found.startswith("h100, shakespeare, sampling: 11 operations per step;")


def test_every_config_for_training_is_compiled() -> None:
    others = {"custom", "finetune_hamlet"}  # the first has every key, the second no layers
    assert set(CONFIGS) == {path.stem for path in (ROOT / "configs").glob("*.toml")} - others
