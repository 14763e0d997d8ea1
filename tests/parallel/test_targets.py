"""Targets: accelerators that programs are compiled for without having one."""

import importlib.util

import jax
import pytest
import typer.main

from jaxrnn.errors import ConfigError
from jaxrnn.parallel import targets
from jaxrnn.parallel.targets import TARGETS, target_devices
from jaxrnn_cli.app import app


def test_the_command_line_offers_every_target() -> None:
    command = typer.main.get_command(app).commands["pretrain"]  # type: ignore[attr-defined]
    (option,) = [option for option in command.params if "--for" in option.opts]
    assert option.metavar.split("|") == list(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_a_missing_compiler_is_refused_with_the_extra_that_has_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(targets, "_is_installed", lambda _: False)
    extra = "cuda" if name in ("h100", "a100") else "tpu"
    with pytest.raises(ConfigError, match=rf"^{name}: no compiler .*pip install -e '\.\[{extra}\]'$"):
        target_devices(name)


def test_a_compiler_that_does_not_start_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError("no such topology\nat line 1")

    monkeypatch.setattr(targets, "_is_installed", lambda _: True)
    monkeypatch.setattr("jax.experimental.topologies.get_topology_desc", fail)
    with pytest.raises(ConfigError, match=r"^h100: .*: no such topology$"):
        target_devices("h100")


@pytest.mark.parametrize("name", TARGETS)
def test_programs_are_compiled_for_it(name: str) -> None:
    plugin = TARGETS[name].plugin
    if importlib.util.find_spec(plugin.partition(".")[0]) is None or importlib.util.find_spec(plugin) is None:
        pytest.skip(f"{plugin} is not installed")
    (device,) = target_devices(name)
    assert device.device_kind.startswith(("NVIDIA", "TPU"))
    layout = jax.sharding.SingleDeviceSharding(device)
    shape = jax.ShapeDtypeStruct((8, 8), "float32", sharding=layout)
    assert jax.jit(lambda x: x @ x).lower(shape).compile().memory_analysis() is not None
