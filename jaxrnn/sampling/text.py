"""Text from a trained model: whole, or in pieces as it is made."""

import codecs
from collections.abc import Iterable, Iterator
from typing import Any, AnyStr

from jaxrnn.data.vocabulary import Text, Vocabulary, as_in_corpus, encode, in_tokens, spell
from jaxrnn.models.language_model import LanguageModel
from jaxrnn.sampling.generation import prompt_ids, sample


def generate(
    model: LanguageModel,
    prompt: str = "\n",
    *,
    length: int = 500,
    temperature: float = 0.8,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    stop: str = "",
    rng_seed: int = 0,
) -> str:
    r"""Continue a prompt.

    Args:
        model: from `jaxrnn.load`, or `Run.model()`.
        prompt: the text to continue; every character must be in the model's vocabulary.
        length: new tokens, at most.
        temperature: divides the logits; below 1 is safer, above 1 wilder, and 0 always takes the most likely token.
        top_k: draw from the k most likely tokens only; 0 is all.
        top_p: draw from the most likely tokens that together have this probability; 1 is all.
        min_p: draw from the tokens at least this many times as likely as the most likely one; 0 is all.
        repetition_penalty: makes tokens that occur in the prompt or the new text less likely; 1: no penalty.
        stop: end where this text would begin; "" never ends early.
        rng_seed: the same integer draws the same text, as `jaxrnn sample --rng-seed` does.

    Returns:
        The new text, without the prompt. A byte of a model of bytes that is not UTF-8 is a lone surrogate, which
        `text.encode("utf-8", "surrogateescape")` turns back.

    Raises:
        VocabularyError: The vocabulary lacks a character of the prompt or of `stop`.
        ValueError: An argument is out of range.

    Example:
        >>> model = getfixture("language_model")
        >>> len(generate(model, "to be", length=20))
        20
    """
    pieces = stream(
        model,
        prompt,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        stop=stop,
        rng_seed=rng_seed,
    )
    return "".join(pieces)


def stream(
    model: LanguageModel,
    prompt: str = "\n",
    *,
    length: int | None = 500,
    temperature: float = 0.8,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    stop: str = "",
    rng_seed: int = 0,
) -> Iterator[str]:
    """Continue a prompt as `generate` does; yield the new text in pieces, as it is made, without end for length None.

    Raises:
        VocabularyError: as `generate`.
        ValueError: likewise.

    Example:
        >>> model = getfixture("language_model")
        >>> for piece in stream(model, "to be", length=20):
        ...     print(len(piece))
        20
    """
    blocks = sample(
        model.config,
        model.params,
        prompt_ids(model.vocabulary, prompt),
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        rng_seed=rng_seed,
        separator_id=model.vocabulary.separator_id,
    )
    tokens: Any = (spell(model.vocabulary, block.ids[0]) for block in blocks)
    pieces = until(tokens, stop_text(model.vocabulary, stop))
    return filter(None, _characters(pieces) if model.vocabulary.tokens == "bytes" else pieces)


def _characters(pieces: Iterable[bytes]) -> Iterator[str]:
    """Bytes as text, each character once all its bytes are there."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    for piece in pieces:
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def stop_text(vocabulary: Vocabulary, stop: str) -> Text:
    """Return a stop text as `spell` returns the text that it is to be found in.

    Raises:
        VocabularyError: The vocabulary lacks one of its characters, so that it would never be found.
    """
    stop = as_in_corpus(vocabulary, stop)
    encode(vocabulary, stop)
    return in_tokens(vocabulary, stop)


def until(blocks: Iterable[AnyStr], stop: AnyStr) -> Iterator[AnyStr]:
    """Yield the text of `blocks` up to where `stop` begins, as early as it is certain; all of it for "".

    `stop` may lie across blocks, so a possible beginning of it is held back until the next block decides.
    """
    held = stop[:0]
    for block in blocks:
        held += block
        if not stop:
            yield held
            held = stop[:0]
            continue
        before, found, _ = held.partition(stop)
        if found:
            yield before
            return
        keep = next(k for k in range(min(len(stop) - 1, len(held)), -1, -1) if held.endswith(stop[:k]))
        yield held[: len(held) - keep]
        held = held[len(held) - keep :]
    yield held
