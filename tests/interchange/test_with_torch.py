"""Agreement with PyTorch: the scripts of docs/interchange.md on exports, and imports of PyTorch models."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxrnn.errors import InterchangeError
from jaxrnn.interchange import FORMATS
from jaxrnn.interchange.exporting import export
from jaxrnn.interchange.importing import read_model
from jaxrnn.models.language_model import LanguageModel
from tests.interchange.stacks import STACKS, drawn, our_logits

pytestmark = pytest.mark.usefixtures("torch")

DOCUMENT = Path(__file__).parents[2] / "docs" / "interchange.md"
SCRIPT, BLOCK, *_ = re.findall(
    r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
)


def run_script(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> np.ndarray:
    """Run the script of the document on `shakespeare.safetensors` in `folder`, with another text."""
    head, layers = re.split(r"(?=^layers = )", SCRIPT, flags=re.MULTILINE)
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(f"{head}\n{BLOCK}\n{layers}".replace("To be, or not", text), names)
    return names["xs"].detach().numpy()


@pytest.mark.parametrize("stack", STACKS)
def test_the_documented_script_computes_the_same_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: str
) -> None:
    trained = drawn(STACKS[stack])
    export(trained, FORMATS["safetensors"], tmp_path / "shakespeare.safetensors")
    text = "a bad café! faced"
    found = run_script(monkeypatch, tmp_path, text)
    wanted = our_logits(trained, text)
    assert np.abs(found - wanted).max() < 1e-5 * max(1, np.abs(wanted).max())


def save(folder: Path, weights: dict, about: object) -> Path:
    from safetensors.torch import save_file

    save_file(weights, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(about))
    return folder / "model.safetensors"


def imported(path: Path) -> LanguageModel:
    found = read_model(path)
    return LanguageModel(found.config, found.params, found.vocabulary, "model")


CHARACTERS = list("tobe?!\n \u00e9\U0001f600xyz")  # unsorted
MESSAGE = "to be \u00e9 \U0001f600\ntoy?"


def char_model(torch: Any, cell: str, *, num_layers: int = 1, one_hot: bool = False, bias: bool = True):
    """A typical PyTorch model, and its logits for a text."""
    nn: Any = torch.nn
    size = len(CHARACTERS)

    class CharModel(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self):
            super().__init__()
            if not one_hot:
                self.encoder = nn.Embedding(size, 4)
            inputs, dropout = size if one_hot else 4, 0.2 if num_layers > 1 else 0.0
            self.rnn = getattr(nn, cell)(inputs, 6, num_layers, bias=bias, dropout=dropout, batch_first=True)
            self.decoder = nn.Linear(6, size, bias=bias)

        def forward(self, ids):
            xs = nn.functional.one_hot(ids, size).float() if one_hot else self.encoder(ids)
            return self.decoder(self.rnn(xs)[0])

    torch.manual_seed(0)
    return CharModel().eval()


@pytest.mark.parametrize(
    "kind",
    [
        {"cell": "LSTM"},
        {"cell": "GRU", "num_layers": 2},
        {"cell": "RNN", "num_layers": 3},
        {"cell": "LSTM", "one_hot": True, "num_layers": 2},
        {"cell": "GRU", "bias": False},
    ],
    ids=str,
)
def test_an_imported_pytorch_model_computes_the_same_logits(torch: Any, tmp_path: Path, kind: dict) -> None:
    net = char_model(torch, **kind)
    trained = imported(save(tmp_path, net.state_dict(), {"characters": CHARACTERS}))
    assert trained.vocabulary.characters == "".join(sorted(CHARACTERS))
    with torch.no_grad():
        theirs = net(torch.tensor([[CHARACTERS.index(c) for c in MESSAGE]]))[0].numpy()
    in_our_order = theirs[:, [CHARACTERS.index(c) for c in trained.vocabulary.characters]]
    assert np.abs(our_logits(trained, MESSAGE) - in_our_order).max() < 1e-5


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_float_types_are_read(torch: Any, tmp_path: Path, dtype: str) -> None:
    net = char_model(torch, "GRU").to(getattr(torch, dtype))
    head = imported(save(tmp_path, net.state_dict(), {"characters": CHARACTERS})).params[-1]
    order = sorted(range(len(CHARACTERS)), key=CHARACTERS.__getitem__)
    assert head.w.dtype == np.float32
    assert np.array_equal(head.w, net.decoder.weight.detach().float().numpy().T[:, order])


def test_an_ambiguous_order_of_modules_is_resolved_by_the_json(torch: Any, tmp_path: Path) -> None:
    nn, size = torch.nn, len(CHARACTERS)
    torch.manual_seed(0)
    parts = nn.ModuleDict({
        "emb": nn.Embedding(size, 4),
        "b": nn.LSTM(4, 4),
        "a": nn.LSTMCell(4, 4),
        "fc1": nn.Linear(4, 4),
        "fc": nn.Linear(4, size),
    })  # fmt: skip
    with pytest.raises(InterchangeError, match=r'several orders; say which with "modules": \["emb", '):
        imported(save(tmp_path, parts.state_dict(), {"characters": CHARACTERS}))
    about = {"characters": CHARACTERS, "modules": ["emb", "b", "a", "fc1", "fc"]}
    trained = imported(save(tmp_path, parts.state_dict(), about))
    assert [layer.type for layer in trained.config.layers] == ["embedding", "lstm", "lstm", "dense", "dense"]
    with torch.no_grad():
        hs = parts["b"](parts["emb"](torch.tensor([CHARACTERS.index(c) for c in MESSAGE])))[0]
        h = c = torch.zeros(1, 4)
        outputs = []
        for x in hs:
            h, c = parts["a"](x[None], (h, c))
            outputs.append(parts["fc"](parts["fc1"](h))[0])
    theirs = torch.stack(outputs).numpy()[:, [CHARACTERS.index(c) for c in trained.vocabulary.characters]]
    assert np.abs(our_logits(trained, MESSAGE) - theirs).max() < 1e-5


def test_a_torch_file_is_refused_with_the_conversion_to_safetensors(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = char_model(torch, "LSTM")
    torch.save(net.state_dict(), tmp_path / "model.pt")
    with pytest.raises(InterchangeError, match="could run any code") as refusal:
        read_model(tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    exec(str(refusal.value).partition("in Python: ")[2].replace("; ", "\n"), {})
    (tmp_path / "model.json").write_text(json.dumps({"characters": CHARACTERS}))
    assert read_model(tmp_path / "model.safetensors").vocabulary.size == len(CHARACTERS)
