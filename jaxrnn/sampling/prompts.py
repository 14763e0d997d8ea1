"""Prompts: many of them from a file, and what to do about characters that the model does not have."""

from pathlib import Path

from jaxrnn.data.vocabulary import Ids, Vocabulary, unknown_characters
from jaxrnn.disk import reason
from jaxrnn.errors import CorpusError, VocabularyError
from jaxrnn.sampling.generation import prompt_ids


def read_prompts(path: Path) -> dict[str, str]:
    """Return the prompts of a file as `prompts_of` does.

    Raises:
        CorpusError: It can't be read, is not UTF-8, or has no prompt.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"can't read {path} ({reason(error)}): check the path and its permissions"
        ) from None
    return prompts_of(data, str(path))


def prompts_of(data: bytes, source: str) -> dict[str, str]:
    r"""Return the prompts of a file, one a line, by their names in messages; empty lines are left out.

    Args:
        data: the file: UTF-8, with or without a byte order mark, lines ending in any way.
        source: its name.

    Raises:
        CorpusError: It is not UTF-8, or has no prompt.

    Example:
        >>> prompts_of(b"to be\n\nor not\n", "seeds.txt")
        {'seeds.txt, line 1': 'to be', 'seeds.txt, line 3': 'or not'}
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte 0x{data[error.start]:02x} at offset {error.start:,} is not UTF-8; save it as UTF-8"
        raise CorpusError(f"{source}: {problem}") from None
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    prompts = {f"{source}, line {number:,}": line for number, line in enumerate(lines, 1) if line}
    if not prompts:
        raise CorpusError(f"{source}: there is no prompt; give at least one line of text")
    return prompts


def known_ids(vocabulary: Vocabulary, prompt: str, *, drop: bool) -> tuple[Ids, set[str]]:
    """Return the ids of a prompt, and the characters left out of it because the vocabulary lacks them.

    Args:
        vocabulary: that of the model.
        prompt: a text of one character or more.
        drop: whether characters may be left out.

    Raises:
        VocabularyError: The vocabulary lacks one of the characters, or with `drop` all of them.
    """
    try:
        return prompt_ids(vocabulary, prompt), set()
    except VocabularyError:
        if not drop:
            raise
    unknown = {character for _, character in unknown_characters(vocabulary, prompt)}
    known = "".join(character for character in prompt if character not in unknown)
    if not known:
        raise VocabularyError("the model knows none of the characters")
    return prompt_ids(vocabulary, known), unknown
