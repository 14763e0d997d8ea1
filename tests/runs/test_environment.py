"""The environment that bitwise results depend on."""

import jax

from jaxrnn.config import TrainConfig
from jaxrnn.parallel.devices import training_mesh
from jaxrnn.runs.environment import describe_changes, describe_environment


def test_it_has_devices_versions_and_flags(monkeypatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_some_flag")
    found = describe_environment(training_mesh(TrainConfig(num_devices=1)))
    assert found["devices"].startswith("1 x ")
    assert found["jax"] == jax.__version__
    assert found["XLA_FLAGS"] == "--xla_some_flag"
    assert all(isinstance(value, str) for value in found.values())


def test_only_differences_are_described() -> None:
    before = {"jax": "1", "devices": "1 x cpu", "XLA_FLAGS": ""}
    assert describe_changes(before, before) == []
    assert describe_changes(before, {"jax": "2", "devices": "1 x cpu"}) == ["jax 1 -> 2"]
    assert describe_changes({}, {"jax": "2", "XLA_FLAGS": ""}) == ["jax (none) -> 2"]
