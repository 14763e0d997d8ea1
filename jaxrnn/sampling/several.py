"""Several samples of one prompt: one after another, whole, or the most likely one of a group."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from jaxrnn.data.vocabulary import Vocabulary, spell
from jaxrnn.sampling.generation import Block
from jaxrnn.sampling.text import until


class Sample(NamedTuple):
    """A finished sample."""

    text: Any  # `Text` without the prompt, up to its stop text; one element a token
    nll: list[float]  # of each token, nats, under the model before any sampling rule

    @property
    def mean_nll(self) -> float | None:
        """Nats per token; None for a sample without tokens."""
        return sum(self.nll) / len(self.nll) if self.nll else None


def finish(vocabulary: Vocabulary, blocks: Iterable[Block], stop: Any, num_samples: int) -> list[Sample]:
    """Return every sample of `blocks` up to where `stop` begins, all of it for an empty one.

    No block is asked for after all samples have met their stop text.
    """
    samples = [Sample(stop[:0], []) for _ in range(num_samples)]
    for block in blocks:
        for i, (ids, nll) in enumerate(zip(block.ids, block.nll.tolist(), strict=True)):
            samples[i] = Sample(samples[i].text + spell(vocabulary, ids), samples[i].nll + nll)
        if stop and all(stop in sample.text for sample in samples):
            break
    kept = [sample.text.partition(stop)[0] if stop else sample.text for sample in samples]
    return [Sample(text, sample.nll[: len(text)]) for text, sample in zip(kept, samples, strict=True)]


def best_of(samples: list[Sample], group: int) -> list[Sample]:
    """Return the sample with the lowest mean NLL of every `group` samples; one without tokens only if all are."""

    def cost(sample: Sample) -> float:
        return float("inf") if sample.mean_nll is None else sample.mean_nll

    return [min(samples[i : i + group], key=cost) for i in range(0, len(samples), group)]


def one_by_one(
    vocabulary: Vocabulary, blocks: Iterator[Block], stop: Any, num_samples: int
) -> Iterator[tuple[Iterable[Any], list[float]]]:
    """Yield the pieces of each sample, the first one's as they are made, and the NLL of its tokens.

    The list of the first sample is extended before the corresponding piece is yielded; the caller may clear it.
    """
    seen: list[Block] = []
    nll: list[float] = []

    def first() -> Iterator[Any]:
        for block in blocks:
            if num_samples > 1:
                seen.append(block)
            nll.extend(block.nll[0].tolist())
            yield spell(vocabulary, block.ids[0])

    yield until(first(), stop), nll
    if num_samples > 1:
        for sample in finish(vocabulary, chain(seen, blocks), stop, num_samples)[1:]:
            yield [sample.text], sample.nll
