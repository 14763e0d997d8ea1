"""Models in the formats of other programs, and the models of other programs as runs.

| file                   | content                                                                |
|------------------------|------------------------------------------------------------------------|
| `exporting.py`         | a model to a file of any format, whole or not at all                   |
| `description.py`       | the description of a model as JSON: layers, characters, states         |
| `safetensors_file.py`  | parameters by PyTorch's names, written and read                        |
| `torch_names.py`       | parameters as the tensors of PyTorch's modules, and back               |
| `torch_model.py`       | the modules of a PyTorch model as the layers of a run                  |
| `onnx_file.py`         | a graph of ONNX's standard operators                                   |
| `stablehlo_file.py`    | a program of `jax.export`, for any batch, length and device            |
| `importing.py`         | the format of a file, its content, and a run of it                     |
| `original.py`          | the JSON files of the project that this one re-implements              |
| `characters.py`        | another program's table of characters, and weights moved to our ids    |
| `untrusted.py`         | untrusted files: read within limits, refused in one line               |

A format is a function that takes a model and the path of a file in a folder of its own, writes that file, and next to
it the format's other files, named after it; it returns their paths, the file itself first. It imports the package
that it needs when it is called (`exporting.require`).
"""

from jaxrnn.interchange.exporting import Write as Write
from jaxrnn.interchange.exporting import export as export
from jaxrnn.interchange.importing import MODEL_FILE as MODEL_FILE
from jaxrnn.interchange.importing import create_imported_run as create_imported_run
from jaxrnn.interchange.importing import read_model as read_model
from jaxrnn.interchange.onnx_file import write_onnx
from jaxrnn.interchange.safetensors_file import write_safetensors
from jaxrnn.interchange.stablehlo_file import write_stablehlo
from jaxrnn.interchange.untrusted import check_file as check_file

# By the name that `jaxrnn export --format` takes, which is also the default suffix of a file.
FORMATS: dict[str, Write] = {
    "safetensors": write_safetensors,
    "onnx": write_onnx,
    "stablehlo": write_stablehlo,
}
