"""The output of `--dry-run`."""

from typing import TYPE_CHECKING

import jaxrnn
from jaxrnn.errors import counted
from jaxrnn_cli.display.console import one_line, write
from jaxrnn_cli.display.numbers import format_bytes

if TYPE_CHECKING:
    from jaxrnn.workflows import Data, Job


def print_plan(job: "Job", data: "Data", target: str | None = None) -> None:
    """Print sizes, memory and output files of a training run to stdout, and its memory on a target."""
    train = data.config.train
    count, token = len(data.train_ids), data.vocabulary.unit
    per_step = train.tokens_per_step
    sizes = f"{train.batch_size} x {train.seq_len}"
    if train.accumulate_steps > 1:
        sizes = f"{train.accumulate_steps} batches of {sizes}"
    memory = jaxrnn.workflows.estimate_memory(data)
    state, update, evaluation, corpus, total = map(
        format_bytes, (memory.state, memory.update, memory.evaluation, memory.corpus, memory.total)
    )
    streamed = ", streamed from disk" if data.is_streamed else ""
    rows = {
        "corpus": f"{data.record.corpus} ({jaxrnn.data.several(data.record.corpus_path)})",
        "vocabulary": counted(data.vocabulary.size, token),
        "training": f"{counted(count, token)} (one epoch){streamed}",
        "validation": counted(len(data.val_ids), token),
        "parameters": f"{memory.parameters:,}",
        "memory": f"about {total}: {state} model and optimizer, {update} for an update or {evaluation} for an "
        f"evaluation, {corpus} corpus",
        "steps": f"{train.steps:,} of {counted(per_step, token)} ({sizes})",
        "precision": f"products in {train.precision}",
        "epochs": f"{train.steps * per_step / count:.2f}, each of {count / per_step:,.1f} steps",
        "would write": f"{job.path}/ with {', '.join(jaxrnn.workflows.files_written())}",
    }
    if job.begun and job.path:
        rows["would resume"] = f"from step {jaxrnn.runs.find_step(job.path, 'last').step:,}"
        rows["changes"] = ", ".join(job.begun.changes) or "none"
    if target:
        device = jaxrnn.parallel.TARGETS[target]
        peak = jaxrnn.workflows.memory_on(target, data)
        fits = f"fits, with {format_bytes(peak)} at most" if peak else "does not fit"
        rows[f"on {target}"] = f"{fits}; one {device.title} has {format_bytes(device.memory)}"
    for name, value in rows.items():
        write(f"{name + ':':<15} {one_line(value)}\n")
