"""The platform of a command and the compilation cache."""

import os
from pathlib import Path

import jax
import pytest

from jaxrnn_cli.startup import devices as jax_start
from tests.cli.conftest import arrays, in_process, read_metrics

pytestmark = pytest.mark.usefixtures("place")


# Without the compilation cache that the tests share.
OURS = ("JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")


@pytest.mark.parametrize("command", [["pretrain", "tiny.toml", "--dry-run"], ["gradcheck"], ["sample"]])
def test_a_missing_platform_is_refused_with_the_available_one(jaxrnn, command: list[str]) -> None:
    here = jax.default_backend()
    missing, extra = ("tpu", "tpu") if here == "gpu" else ("gpu", "cuda")
    error = jaxrnn(*command, "--platform", missing).error
    assert f"--platform {missing}: not available, only {here};" in error
    assert f"pip install -e '.[{extra}]'" in error
    unknown = jaxrnn(*command, "--platform", "cpuu").error
    assert "'cpuu' is not one of cpu, gpu, tpu; did you mean cpu?" in unknown


def test_platform_overrides_the_environment_and_a_missing_one_there_is_refused(trained: Path) -> None:
    command = ["-m", "jaxrnn_cli", "sample", "--from", str(trained), "--rng-seed", "1"]
    result = in_process(
        *command, without=OURS, JAX_PLATFORMS="nonsense", JAX_ENABLE_COMPILATION_CACHE="false"
    )
    (line,) = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (2, "")
    assert line.startswith("jaxrnn: error: JAX_PLATFORMS=nonsense: not available, only ")
    command += ["--platform", "cpu"]
    result = in_process(
        *command, without=OURS, JAX_PLATFORMS="nonsense", JAX_ENABLE_COMPILATION_CACHE="false"
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_training_with_a_warm_or_corrupt_cache_is_bitwise_identical(
    place: Path,
) -> None:
    def train(name: str) -> list[object]:
        command = ["-m", "jaxrnn_cli", "pretrain", "tiny.toml", "--platform", "cpu", "--quiet", "--to", name]
        kept_in = {"XDG_CACHE_HOME": str(place / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        result = in_process(*command, without=OURS, **kept_in)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        run = place / "checkpoints" / name
        return [read_metrics(run), arrays(run)]

    def entries() -> list[Path]:
        return sorted((place / "cache" / "jaxrnn").glob("compiled-*/*"))

    cold = train("cold")
    kept = entries()
    assert kept
    assert train("warm") == cold
    assert entries() == kept  # nothing was compiled again
    for entry in kept:
        entry.write_bytes(entry.read_bytes()[:1000])
    assert train("damaged") == cold


@pytest.mark.parametrize(
    ("variables", "kept_in"),
    [
        ({}, "cache/jaxrnn/compiled-"),
        ({"JAX_COMPILATION_CACHE_DIR": "/elsewhere"}, "/elsewhere"),
        ({"JAX_ENABLE_COMPILATION_CACHE": "false"}, "None"),
        ({"XDG_CACHE_HOME": "text.txt"}, "home/.cache/jaxrnn/compiled-"),  # not absolute, so ignored
        ({"XDG_CACHE_HOME": "/dev/null"}, "None"),
    ],
    ids=str,
)
def test_the_cache_folder_follows_the_environment(place: Path, variables, kept_in) -> None:
    code = "import jax; from jaxrnn_cli.startup.devices import start_jax; start_jax(None); "
    code += "print(jax.config.jax_compilation_cache_dir)"
    here = {"XDG_CACHE_HOME": str(place / "cache"), "HOME": str(place / "home")}
    result = in_process("-c", code, without=OURS, **{**here, **variables})
    assert (result.returncode, result.stderr) == (0, "")
    assert kept_in in result.stdout


def test_the_oldest_entries_of_a_large_cache_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "compiled"
    folder.mkdir()
    for age, name in enumerate(["new", "older", "oldest"]):
        (folder / name).write_bytes(bytes(100))
        os.utime(folder / name, (1000 - age, 1000 - age))
    jax_start._limit_size(folder, 200)
    assert {entry.name for entry in folder.iterdir()} == {"new", "older"}


def test_a_number_of_devices_in_xla_flags_takes_precedence() -> None:
    code = "import jax, jaxrnn.parallel as p, jaxrnn.config as c; p.split_cpu(c.Config()); print(jax.device_count())"
    result = in_process("-c", code, without=OURS, XLA_FLAGS="--xla_force_host_platform_device_count=3")
    assert result.stdout.strip() == "3", result.stderr


@pytest.mark.parametrize(
    "problem", ["RuntimeError('jaxlib is older than jax')", "ImportError('no libfoo.so')"]
)
def test_a_broken_jax_is_reported_in_one_line(place: Path, problem: str) -> None:
    (place / "broken/jax").mkdir(parents=True)
    (place / "broken/jax/__init__.py").write_text(f"raise {problem}")
    path = os.pathsep.join([str(place / "broken"), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = in_process("-m", "jaxrnn_cli", "gradcheck", PYTHONPATH=path)
    (line,) = result.stderr.splitlines()
    assert problem.split("'")[1] in line
    assert result.returncode == 1
