"""Fine-tuning: a trained model learns another corpus."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from jaxrnn.config import Overrides, Texts, load_finetune_config
from jaxrnn.config.toml import toml_string
from jaxrnn.data.coverage import OnUnknown
from jaxrnn.parallel.devices import split_cpu
from jaxrnn.runs.directory import find_run, read_config
from jaxrnn.runs.saved_steps import Which, find_step
from jaxrnn.types import OnProgress
from jaxrnn.workflows.corpus import load_data
from jaxrnn.workflows.job import Job, PathLike, ignore, write_to
from jaxrnn.workflows.run import Run
from jaxrnn.workflows.training import OnEvent, train

_NONE: Mapping[str, object] = {}


def finetune(
    source: PathLike,
    corpus: Texts | PathLike | None = None,
    overrides: Overrides = _NONE,
    *,
    config: str | Path | None = None,
    to: PathLike | None = None,
    checkpoint: Which = "best",
    on_unknown: OnUnknown = "extend",
    resume: bool = False,
    overwrite: bool = False,
    log_to: Iterable[str] = (),
    on_event: OnEvent = ignore,
    on_progress: OnProgress = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Fine-tune a run on another corpus, as `jaxrnn finetune` does; print nothing.

    Layers and parameters are the run's. Characters already in the vocabulary keep their embedding and output rows, new
    ones get freshly initialized ones.

    Args:
        source: the run to fine-tune: a directory, or the name of one in `checkpoints/`.
        corpus: what to learn: a file, a folder, a built-in corpus, or a list of these; None takes the config's.
        overrides: values that replace the config's.
        config: a TOML file, or the name of a config that comes with jaxrnn; None takes gentle values.
        to: the run directory to create; a bare name goes into `checkpoints/`. None trains in memory.
        checkpoint: of the run to fine-tune, as for `jaxrnn.load`.
        on_unknown: what to do about characters that the model does not know: "extend" the vocabulary, "drop" them from
            the corpus, or "error".
        resume: as for `pretrain`; so are the other arguments.
        overwrite: likewise.
        log_to: likewise.
        on_event: likewise.
        on_progress: likewise.
        should_stop: likewise.

    Raises:
        ConfigError: The config is not valid, does not fit the run's, or the run can't be resumed with it.
        CheckpointError: There is no run to fine-tune, or no run can be made at `to`.
        JaxrnnError: as `workflows.load_data` and `workflows.train`.
    """
    job = open_finetuning(
        source, corpus, overrides, config=config, checkpoint=checkpoint, on_unknown=on_unknown
    )
    job = write_to(job, to, resume=resume, overwrite=overwrite, log_to=log_to)
    split_cpu(job.config)
    data = load_data(job, on_event=on_event, on_progress=on_progress)
    return train(job, data, on_event=on_event, should_stop=should_stop)


def open_finetuning(
    source: PathLike,
    corpus: Texts | PathLike | None = None,
    overrides: Overrides = _NONE,
    *,
    config: str | Path | None = None,
    checkpoint: Which = "best",
    on_unknown: OnUnknown = "extend",
) -> Job:
    """Read the config of a fine-tuning; the arguments are those of `finetune`.

    Raises:
        ConfigError: The config is not valid, or does not fit the run's.
        CheckpointError: There is no run to fine-tune, or no such checkpoint of it.
    """
    found = find_run(os.fspath(source))
    find_step(found, checkpoint)
    if corpus is not None:
        texts: Texts = (
            os.fspath(corpus) if isinstance(corpus, str | os.PathLike) else tuple(map(os.fspath, corpus))
        )
        if isinstance(overrides, Mapping):
            overrides = {**overrides, "corpus.text": texts}
        else:
            text = texts if isinstance(texts, str) else f"[{', '.join(map(toml_string, texts))}]"
            overrides = [*overrides, f"corpus.text={text}"]
    resolved = load_finetune_config(config, read_config(found), overrides)
    return Job(resolved, source=found, checkpoint=checkpoint, on_unknown=on_unknown)
