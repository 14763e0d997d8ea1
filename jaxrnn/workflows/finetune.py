"""Fine-tuning: a trained model is trained on another corpus."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from jaxrnn.config import Overrides, Texts, load_finetune_config
from jaxrnn.config.toml import toml_string
from jaxrnn.data.coverage import OnUnknown
from jaxrnn.errors import CheckpointError
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
    source: PathLike | Run,
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
    """Fine-tune a run on another corpus, as `jaxrnn finetune` does, without printing.

    Layers and parameters are those of the run. Characters already in the vocabulary keep their embedding and output
    rows, new characters get freshly initialized ones.

    Args:
        source: The run to fine-tune: what `pretrain` returned, a directory, or the name of one in `checkpoints/`.
        corpus: The corpus: a file, a folder, a built-in corpus, or a list of these; None uses the config's.
        overrides: Values that replace the config's.
        config: A TOML file, or the name of a shipped config; None uses the defaults of fine-tuning.
        to: The run directory to create; a bare name is put into `checkpoints/`. None trains in memory.
        checkpoint: The checkpoint to fine-tune, as for `jaxrnn.load`.
        on_unknown: How to handle unknown characters: "extend" the vocabulary, "drop" them from the corpus,
            or raise an "error".
        resume: As for `pretrain`, like the other arguments.
        overwrite: As for `pretrain`.
        log_to: As for `pretrain`.
        on_event: As for `pretrain`.
        on_progress: As for `pretrain`.
        should_stop: As for `pretrain`.

    Raises:
        ConfigError: The config is not valid, does not match the run's, or the run can't be resumed with it.
        CheckpointError: The run to fine-tune is missing or was trained in memory, or no run can be created at `to`.
        JaxrnnError: As for `workflows.load_data` and `workflows.train`.
    """
    if isinstance(source, Run):
        if source.path is None:
            raise CheckpointError("a run in memory can't be fine-tuned; give pretrain a directory, to=...")
        source = source.path
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
    """Return the job of a fine-tuning run; the arguments are those of `finetune`.

    Raises:
        ConfigError: The config is not valid, or does not match the run's.
        CheckpointError: The run to fine-tune or its checkpoint is missing.
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
