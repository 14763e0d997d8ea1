"""The model of another program as a run of ours: the format of a file, its content, and the run.

A file is recognized by its first bytes. No format that could run code when it is opened is ever opened: a pickle, which
is what `torch.save` writes, is refused with the commands that make a safetensors file of it.
"""

import hashlib
import reprlib
from pathlib import Path
from typing import Any, Literal

from jaxrnn.config import Config, CorpusConfig
from jaxrnn.config.toml import printable
from jaxrnn.data.texts import shown
from jaxrnn.data.vocabulary import Tokens, byte_vocabulary
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.characters import Imported, read_characters, sort_characters
from jaxrnn.interchange.description import FORMAT_VERSION, KIND, METADATA
from jaxrnn.interchange.original import read_original
from jaxrnn.interchange.safetensors_file import MOST_HEADER_BYTES, open_safetensors
from jaxrnn.interchange.torch_model import find_modules, plan_described, plan_found, read_params
from jaxrnn.interchange.untrusted import about, check_file, parse_json, read_json, read_start
from jaxrnn.runs.creation import create_run
from jaxrnn.runs.directory import new_record
from jaxrnn.training.state import start_state

Format = Literal["safetensors", "original"]

MODEL_FILE = "a safetensors file, or a model of the original project"  # what messages ask for
_MOST_BYTES = 256_000_000  # of an original file: some ten million parameters
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_model(path: Path, file_format: Format | None = None) -> Imported:
    """Read the model of another program.

    Args:
        path: the file.
        file_format: its format; None: by its first bytes.

    Raises:
        InterchangeError: The file is corrupt, or a run can't have such a model; one line that names the problem.
    """
    check_file(path, MODEL_FILE)
    with about(shown(str(path))):
        if (file_format or recognize(path)) == "safetensors":
            return _read_safetensors(path)
        return read_original(read_json(path, _MOST_BYTES))


def recognize(path: Path) -> Format:
    """Return which format a file has, by its first bytes.

    Raises:
        InterchangeError: It has none of those that are read, or can't be read.
    """
    head = read_start(path, 16)
    if not head:
        raise InterchangeError("is empty")
    if head.startswith(_PICKLES):
        raise InterchangeError(
            "what torch.save writes could run any code when it is opened, so it is not; make a safetensors "
            "file of it in Python: import torch, safetensors.torch; weights = torch.load('model.pt', "
            "weights_only=True, map_location='cpu'); safetensors.torch.save_file(weights, 'model.safetensors')"
        )
    # The length of a header has eight bytes, the last four of which are zero; JSON has no zero bytes.
    if head[4:8] == bytes(4) or head[8:9] == b"{":
        return "safetensors"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{") or head.isspace():
        return "original"
    raise InterchangeError(
        "neither a safetensors file nor JSON, the two that are read; of a program, such as .onnx or .stablehlo, give "
        "the weights it was made from, as safetensors"
    )


def _read_safetensors(path: Path) -> Imported:
    file = open_safetensors(path)
    beside, metadata = path.with_suffix(".json"), file.metadata.get(METADATA)
    if not metadata:
        check_file(beside, 'one with {"characters": "..."}, in the order of their ids')
    with about("its metadata" if metadata else shown(str(beside))):
        description = parse_json(metadata.encode()) if metadata else read_json(beside, MOST_HEADER_BYTES)
        _check_description(description)
        characters, tokens = _read_vocabulary(description)
        separator = _read_separator(description, characters, tokens)
    modules = find_modules(file.shapes)
    if is_described := "layers" in description:
        plan = plan_described(modules, description["layers"], len(characters))
    else:
        plan = plan_found(modules, description.get("modules"), len(characters))
    vocabulary, params = sort_characters(characters, read_params(plan, file.read))
    notes: tuple[str, ...] = ()
    if not is_described and any(layer.type == "rnn" for layer in plan.config.layers):
        notes = ("an nn.RNN is taken to be one with tanh, the default; its weights don't tell",)
    vocabulary = vocabulary._replace(tokens=tokens, separator=separator)
    return Imported(plan.config, params, vocabulary, notes)


def _check_description(description: Any) -> None:
    if not isinstance(description, dict):
        raise InterchangeError('must be an object, such as {"characters": "..."}')
    version = description.get("format_version", FORMAT_VERSION)
    if description.get("format", KIND) == KIND and version != FORMAT_VERSION:
        found = f"format version {reprlib.repr(version)}"
        by = reprlib.repr(description.get("jaxrnn_version"))
        raise InterchangeError(f"{found}, written by jaxrnn {by}; this version knows {FORMAT_VERSION}")


def _read_vocabulary(description: dict[str, Any]) -> tuple[list[str], Tokens]:
    """Return the characters in the order of their ids, and the kind of tokens they are."""
    vocabulary = description.get("vocabulary", description)
    if not isinstance(vocabulary, dict):
        vocabulary = {}
    tokens, all_bytes = vocabulary.get("tokens", "characters"), byte_vocabulary().characters
    if tokens not in ("characters", "bytes"):
        raise InterchangeError(f"its tokens are {reprlib.repr(tokens)}, neither characters nor bytes")
    if "characters" not in vocabulary and tokens == "characters":
        raise InterchangeError('has no "characters", in the order of their ids')
    with about('"characters"'):
        characters = read_characters(vocabulary.get("characters", all_bytes))
    if tokens == "bytes" and characters != [*all_bytes]:
        raise InterchangeError("its tokens are bytes, but its characters are not U+0000 to U+00FF")
    return characters, tokens


def _read_separator(description: dict[str, Any], characters: list[str], tokens: Tokens) -> str:
    separator = description.get("separator")
    if separator is None or separator == "":  # as in a config
        return ""
    if separator not in characters:
        raise InterchangeError(f"its separator, {reprlib.repr(separator)}, is not one of its characters")
    if tokens == "bytes" and not separator.isascii():
        raise InterchangeError(f"its separator, {separator!r}, is a byte that no config can name")
    return str(separator)


def create_imported_run(run: Path, imported: Imported, path: Path, *, overwrite: bool = False) -> None:
    """Make a run of a model that was read, with a checkpoint of step 0.

    Its corpus is unknown: its record has the path and the hash of the file instead.

    Args:
        run: where.
        imported: the model.
        path: the file that it is from.
        overwrite: whether a run that is there may be replaced.

    Raises:
        CheckpointError: No run can be made there.
        SaveError: Writing failed; a run that was there is unchanged.
    """
    text = f"(none: imported from {printable(path.name)})"
    corpus = CorpusConfig(
        text=text, tokens=imported.vocabulary.tokens, separator=imported.vocabulary.separator
    )
    config = Config(corpus=corpus, model=imported.config)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = new_record(text, (), "", imported.vocabulary)
    source = printable(path.name)
    record = record._replace(corpus_path="", imported_from=source, imported_sha256=digest)
    state = start_state(config, imported.params)
    create_run(run, config, imported.vocabulary, record, state, overwrite=overwrite)
