"""Exports are atomic and lose no existing file."""

import json
import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxrnn.config import (
    LayerConfig,
    MinGRUConfig,
    MinLSTMConfig,
    MogrifierLSTMConfig,
    RGLRUConfig,
    RNNConfig,
)
from jaxrnn.config.reading import read_config
from jaxrnn.errors import InterchangeError, LockedError, SaveError
from jaxrnn.interchange import FORMATS, exporting
from jaxrnn.interchange.exporting import export, require
from jaxrnn.models.language_model import LanguageModel
from tests.interchange.stacks import STACKS, drawn
from tests.interchange.test_torch_model import recurrent

SAFETENSORS = FORMATS["safetensors"]


@pytest.fixture
def trained() -> LanguageModel:
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'jaxrnn[export]'")
    return drawn(STACKS["two layers"])


def test_the_files_have_the_tensors_that_pytorch_expects(tmp_path: Path, trained: LanguageModel) -> None:
    from safetensors import safe_open

    path = tmp_path / "model.safetensors"
    assert export(trained, SAFETENSORS, path) == [path, tmp_path / "model.json"]
    about = json.loads((tmp_path / "model.json").read_text())
    assert about["vocabulary"] == {"characters": trained.vocabulary.characters, "tokens": "characters"}
    assert read_config({"model": {"layers": about["layers"]}}).model == trained.config
    with safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["jaxrnn"]) == about
        shapes = {name: tuple(file.get_tensor(name).shape) for name in file.keys()}  # noqa: SIM118
        table = file.get_tensor("layers.0.weight")
    assert shapes == {
        "layers.0.weight": (11, 6),
        **recurrent("layers.1", 4, 6, 5),
        **recurrent("layers.3", 3, 5, 7),
        "layers.4.weight": (11, 7),
        "layers.4.bias": (11,),
    }
    assert np.array_equal(table, trained.params[0].table)


def test_existing_files_are_replaced_only_with_overwrite(tmp_path: Path, trained: LanguageModel) -> None:
    path, beside = tmp_path / "model.safetensors", tmp_path / "model.json"
    for there in (path, beside):
        there.write_text("mine")
        with pytest.raises(InterchangeError, match="already exists; --overwrite"):
            export(trained, SAFETENSORS, path)
        assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(there.name, "mine")]
        export(trained, SAFETENSORS, path, overwrite=True)
        assert "mine" not in beside.read_text()
        assert {file.name for file in tmp_path.iterdir()} == {path.name, beside.name}
        path.unlink()
        beside.unlink()


def test_leftovers_of_a_killed_export_are_deleted_by_the_next(
    tmp_path: Path, trained: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"

    def killed(trained: LanguageModel, path: Path) -> list[Path]:
        SAFETENSORS(trained, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(exporting, "try_remove_tree", lambda _: None)  # a killed process does not clean up
        export(trained, killed, path)
    assert [file.name[0] for file in tmp_path.iterdir()] == ["."]
    export(trained, SAFETENSORS, tmp_path / "other.safetensors")
    assert {file.name for file in tmp_path.iterdir()} == {"other.safetensors", "other.json"}


def test_a_description_never_accompanies_another_model(
    tmp_path: Path, trained: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "model.safetensors", []
    export(trained, SAFETENSORS, path)
    old = path.read_bytes(), path.with_suffix(".json").read_bytes()
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        """Record the files that a process killed here would leave."""
        seen.append(
            tuple(file.read_bytes() if file.exists() else b"" for file in (path, path.with_suffix(".json")))
        )
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    export(trained._replace(name="another"), SAFETENSORS, path, overwrite=True)
    new = path.read_bytes(), path.with_suffix(".json").read_bytes()
    assert old[0] != new[0]
    assert seen == [(old[0], b""), (new[0], b"")]


def test_the_same_model_gives_the_same_bytes_in_any_process(tmp_path: Path, trained: LanguageModel) -> None:
    files = [export(trained, SAFETENSORS, tmp_path / f"{number}.safetensors") for number in range(20)]
    assert len({(model.read_bytes(), about.read_bytes()) for model, about in files}) == 1
    content = files[0][0].read_bytes()
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    assert list(json.loads(header)) == sorted(json.loads(header)) and len(header) % 8 == 0
    assert [*json.loads(header)["__metadata__"]] == ["format", "jaxrnn"]


def test_two_exports_to_one_file_do_not_mix(tmp_path: Path, trained: LanguageModel) -> None:
    path = tmp_path / "model.safetensors"

    def meanwhile(trained: LanguageModel, inner: Path) -> list[Path]:
        with pytest.raises(LockedError, match=r"model\.safetensors: is being written by process"):
            export(trained, SAFETENSORS, path)
        return SAFETENSORS(trained, inner)

    assert len(export(trained, meanwhile, path)) == 2


def test_a_full_disk_is_one_line_and_keeps_existing_files(tmp_path: Path, trained: LanguageModel) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("mine")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(SaveError, match=r"model\.safetensors: can't be written: File too large"):
            export(trained, SAFETENSORS, path, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(path.name, "mine")]


def test_a_path_that_is_not_a_file_is_never_replaced(tmp_path: Path, trained: LanguageModel) -> None:
    (tmp_path / "folder").mkdir()
    for path, why in ((Path("/dev/null"), "no regular file"), (tmp_path / "folder", "a directory is here")):
        with pytest.raises(InterchangeError, match=why):
            export(trained, SAFETENSORS, path, overwrite=True)
    with pytest.raises(InterchangeError, match=r"ends in \.json, as its description does"):
        export(trained, SAFETENSORS, tmp_path / "model.json")
    with pytest.raises(SaveError, match="No such file or directory"):
        export(trained, SAFETENSORS, tmp_path / "gone" / "model")


@pytest.mark.parametrize(
    ("output_format", "why"),
    [
        ("safetensors", r"^layers\[2\] is of type mogrifier_lstm, which no module of PyTorch"),
        ("onnx", r"^drawn: layers\[2\] is of type mogrifier_lstm, .* --format stablehlo exports every"),
    ],
)
def test_a_layer_that_a_format_does_not_support_is_named(
    tmp_path: Path, output_format: str, why: str
) -> None:
    trained = drawn((RNNConfig(size=3), MogrifierLSTMConfig(size=5)))
    with pytest.raises(InterchangeError, match=why):
        export(trained, FORMATS[output_format], tmp_path / "model")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("layer", [MinGRUConfig(size=3), MinLSTMConfig(size=3), RGLRUConfig()])
@pytest.mark.parametrize("output_format", ["safetensors", "onnx"])
def test_linear_recurrences_are_refused_by_name(
    tmp_path: Path, output_format: str, layer: LayerConfig
) -> None:
    with pytest.raises(InterchangeError, match=rf"layers\[1\] is of type {layer.type}, "):
        export(drawn((layer,)), FORMATS[output_format], tmp_path / "model")


@pytest.mark.parametrize("output_format", ["onnx", "stablehlo"])
def test_a_model_too_large_for_one_file_is_refused_before_writing(tmp_path: Path, output_format: str) -> None:
    trained = drawn(STACKS["rnn"])
    table = np.broadcast_to(np.float32(0), (11, 50_000_000))  # 2.2 GB if it were in memory
    params = (trained.params[0]._replace(table=table), *trained.params[1:])
    with pytest.raises(InterchangeError, match=r"^drawn: 2\.2 GB of parameters, .* --format safetensors"):
        export(trained._replace(params=params), FORMATS[output_format], tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(InterchangeError, match=r"there is no safetensors: pip install 'jaxrnn\[export\]'"):
        require("safetensors")


def test_stablehlo_without_flatbuffers_is_refused_with_its_extra(
    trained: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(InterchangeError, match=r"there is no flatbuffers: pip install 'jaxrnn\[export\]'"):
        export(trained, FORMATS["stablehlo"], tmp_path / "model")
