"""Models as other programs read them, and the models of other programs as runs.

| file                     | what it holds                                                        |
|--------------------------|----------------------------------------------------------------------|
| `exporting.py`           | any format to its place on the disk, whole or not at all             |
| `description.py`         | what is said of a model beside its numbers: layers, characters       |
| `safetensors_file.py`    | the parameters by PyTorch's names, written and read                  |
| `safetensors_header.py`  | what such a file says of itself, checked before it is believed       |
| `torch_names.py`         | our parameters as PyTorch's modules have them                        |
| `torch_modules.py`       | modules told by the names and shapes of their tensors                |
| `torch_model.py`         | modules as the layers of a run                                       |
| `carries.py`             | the carry by names, for programs that are called again and again     |
| `onnx_file.py`           | a graph of ONNX's standard operators                                 |
| `stablehlo_file.py`      | a program of `jax.export`, for any batch, length and device          |
| `original.py`            | the JSON files of the project that this one re-implements            |
| `characters.py`          | another program's table of characters, and weights moved to our ids  |
| `json_text.py`           | JSON from strangers, within limits                                   |
| `importing.py`           | what file it is, what it holds, and a run of it                      |

A format is a function that takes a model and the path of a file in a folder of its own, writes that file, and beside it
whatever else the format is made of, named after it; it returns what it wrote, the file itself first. It imports the
package that it needs when it is called (`exporting.require`).
"""

from collections.abc import Callable
from pathlib import Path

from jaxrnn.interchange.exporting import check_free as check_free
from jaxrnn.interchange.exporting import export as export
from jaxrnn.interchange.importing import MODEL_FILE as MODEL_FILE
from jaxrnn.interchange.importing import create_imported_run as create_imported_run
from jaxrnn.interchange.importing import read_model as read_model
from jaxrnn.interchange.json_text import check_file as check_file
from jaxrnn.interchange.onnx_file import write_onnx
from jaxrnn.interchange.safetensors_file import write_safetensors
from jaxrnn.interchange.stablehlo_file import write_stablehlo
from jaxrnn.models.language_model import LanguageModel

# By the name that `jaxrnn export --format` takes, which is also what a file's name ends in where nobody says.
FORMATS: dict[str, Callable[[LanguageModel, Path], list[Path]]] = {
    "safetensors": write_safetensors,
    "onnx": write_onnx,
    "stablehlo": write_stablehlo,
}
