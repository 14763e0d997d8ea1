"""The model of another program as a run of ours: what file it is, what it holds, and the run.

A file is known by its first bytes. No format that could run code when it is opened is ever opened: a pickle, which is
what `torch.save` writes, is refused with what makes a safetensors file of it.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jaxrnn.config import Config, CorpusConfig, ModelConfig
from jaxrnn.config.toml import printable
from jaxrnn.data.texts import shown
from jaxrnn.data.vocabulary import Tokens, Vocabulary, byte_vocabulary
from jaxrnn.disk import reason
from jaxrnn.errors import InterchangeError
from jaxrnn.interchange.characters import read_characters, sort_characters
from jaxrnn.interchange.description import FORMAT_VERSION, KIND
from jaxrnn.interchange.json_text import check_file, parse_json, read_file, show
from jaxrnn.interchange.original import read_original
from jaxrnn.interchange.safetensors_file import METADATA, open_safetensors
from jaxrnn.interchange.safetensors_header import MOST_BYTES, read_header
from jaxrnn.interchange.torch_model import plan_described, plan_found, read_params
from jaxrnn.interchange.torch_modules import find_modules
from jaxrnn.runs.creation import create_run
from jaxrnn.runs.directory import new_record
from jaxrnn.training.state import start_state
from jaxrnn.types import Params

Format = Literal["safetensors", "original"]

MODEL_FILE = "a safetensors file, or a model of the original project"  # what messages ask for
MOST_JSON_BYTES = 256_000_000  # of an original file: some ten million parameters
_HEAD = 16
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_KNOWN_OTHERS = {b"\x89HDF": "HDF5", b"\x93NUMPY": "NumPy", b"\x1f\x8b": "gzip", b"GGUF": "GGUF"}


class Imported(NamedTuple):
    """A model that was read, in our terms."""

    config: ModelConfig
    params: Params  # of NumPy arrays
    vocabulary: Vocabulary
    separator: str  # as a config has it; "" is none
    notes: tuple[str, ...]  # what was decided without being said in the file


def read_model(path: Path, file_format: Format | None = None) -> Imported:
    """Reads the model of another program.

    Args:
        path: the file.
        file_format: which format it is taken for; None: what its first bytes say.

    Raises:
        InterchangeError: It is no model that a run can be made of; one line that says what is wrong, and where.
    """
    source = shown(str(path))
    check_file(path, MODEL_FILE)
    if (file_format or recognise(path)) == "safetensors":
        return _read_safetensors(path)
    config, params, characters, notes = read_original(
        read_file(path, MOST_JSON_BYTES, "a model of the original project"), source
    )
    vocabulary, params = sort_characters(characters, params)
    return Imported(config, params, vocabulary, "", notes)


def recognise(path: Path) -> Format:
    """Returns which format a file has, by its first bytes.

    Raises:
        InterchangeError: It has none of those that are read, or can't be read.
    """
    source = shown(str(path))
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InterchangeError(f"{source}: can't be read: {reason(error)}") from None
    if not head:
        raise InterchangeError(f"{source}: is empty")
    if head.startswith(_PICKLES):
        raise InterchangeError(
            f"{source}: what torch.save writes could run any code when it is opened, so it is not; make a safetensors "
            "file of it in Python: import torch, safetensors.torch; weights = torch.load('model.pt', "
            "weights_only=True, map_location='cpu'); safetensors.torch.save_file(weights, 'model.safetensors')"
        )
    for magic, name in _KNOWN_OTHERS.items():
        if head.startswith(magic):
            raise InterchangeError(
                f"{source}: is {name}; only safetensors and the original project's JSON are read"
            )
    # The length of a header has eight bytes, the last four of which are zero; JSON has no zero bytes.
    if head[4:8] == bytes(4) or head[8:9] == b"{":
        return "safetensors"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{") or head.isspace():
        return "original"
    if path.suffix in (".onnx", ".stablehlo"):
        raise InterchangeError(
            f"{source}: such a file holds a program, not layers; give the weights it was made from, as safetensors"
        )
    raise InterchangeError(f"{source}: neither a safetensors file nor JSON, the two that are read")


def _read_safetensors(path: Path) -> Imported:
    header = read_header(path)
    source = shown(str(path))
    description, told_by = _describe(path, header.metadata)
    characters, tokens = _read_vocabulary(description, told_by)
    separator = _read_separator(description, characters, tokens, told_by)
    modules = find_modules(header.shapes, source)
    if "layers" in description:
        plan = plan_described(modules, description["layers"], len(characters), source)
    else:
        plan = plan_found(modules, description.get("modules"), len(characters), source)
    params = read_params(plan, open_safetensors(path))
    vocabulary, params = sort_characters(characters, params)
    notes = (
        ("an nn.RNN is taken to be one with tanh, the default; its weights don't tell",)
        if plan.has_rnn
        else ()
    )
    return Imported(plan.config, params, vocabulary._replace(tokens=tokens), separator, notes)


def _describe(path: Path, metadata: dict[str, str]) -> tuple[dict[str, Any], str]:
    """What is said of a model, in the file itself or else in the JSON beside it, and what messages call that."""
    if METADATA in metadata:
        told_by = f"{shown(str(path))}: its metadata"
        description = parse_json(metadata[METADATA].encode("utf-8", "surrogatepass"), told_by)
    else:
        beside = path.with_suffix(".json")
        told_by = shown(str(beside))
        if beside == path or not beside.exists():
            raise InterchangeError(
                f"{shown(str(path))}: which character is which id is not said; write "
                f'{{"characters": "..."}}, in the order of their ids, to {told_by}'
            )
        description = parse_json(read_file(beside, MOST_BYTES, "the description of a model"), told_by)
    if not isinstance(description, dict):
        raise InterchangeError(f'{told_by}: must be an object, such as {{"characters": "..."}}')
    version = description.get("format_version", FORMAT_VERSION)
    if description.get("format", KIND) == KIND and version != FORMAT_VERSION:
        raise InterchangeError(
            f"{told_by}: format version {show(version)}, written by jaxrnn {show(description.get('jaxrnn_version'))}; "
            f"this version knows {FORMAT_VERSION}"
        )
    return description, told_by


def _read_vocabulary(description: dict[str, Any], told_by: str) -> tuple[list[str], Tokens]:
    """The characters in the order of their ids, and what they stand for."""
    vocabulary = description.get("vocabulary", description)
    if not isinstance(vocabulary, dict):
        raise InterchangeError(f'{told_by}: has no "characters", in the order of their ids')
    tokens, bytes_in_order = vocabulary.get("tokens", "characters"), [*byte_vocabulary().characters]
    if tokens not in ("characters", "bytes"):
        raise InterchangeError(f"{told_by}: its tokens are {show(tokens)}, neither characters nor bytes")
    if "characters" not in vocabulary and tokens == "bytes":
        return bytes_in_order, "bytes"
    if "characters" not in vocabulary:
        raise InterchangeError(f'{told_by}: has no "characters", in the order of their ids')
    characters = read_characters(vocabulary["characters"], f'{told_by}: "characters"')
    if tokens == "bytes" and characters != bytes_in_order:
        raise InterchangeError(
            f"{told_by}: its tokens are bytes, but its characters are not U+0000 to U+00FF"
        )
    return characters, tokens


def _read_separator(description: dict[str, Any], characters: list[str], tokens: Tokens, told_by: str) -> str:
    separator = description.get("separator")
    if separator is None or separator == "":  # as a config says it
        return ""
    if separator not in characters:
        raise InterchangeError(f"{told_by}: its separator, {show(separator)}, is none of its characters")
    if tokens == "bytes" and not separator.isascii():
        raise InterchangeError(
            f"{told_by}: its separator, {show(separator)}, is a byte that no config can name"
        )
    return str(separator)


def create_imported_run(run: Path, imported: Imported, path: Path, *, overwrite: bool = False) -> None:
    """Makes a run of a model that was read, with a checkpoint of step 0.

    It has learned from no text that is known here: its record says so, and which file it is from.

    Args:
        run: where.
        imported: the model.
        path: the file that it is from.
        overwrite: whether a run that is there may be replaced.

    Raises:
        CheckpointError: No run can be made there.
        SaveError: Writing failed; what was there still is.
    """
    text = f"(none: imported from {printable(path.name)})"
    corpus = CorpusConfig(text=text, tokens=imported.vocabulary.tokens, separator=imported.separator)
    config = Config(corpus=corpus, model=imported.config)
    record = new_record(text, Path(), "", imported.vocabulary)
    record = record._replace(
        corpus_path="", imported_from=printable(str(path.absolute())), imported_sha256=_hash(path)
    )
    state = start_state(config, imported.params)
    create_run(run, config, imported.vocabulary, record, state, overwrite=overwrite)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
