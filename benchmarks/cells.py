"""Recurrent cells in the same residual blocks, with the same number of parameters: python -m benchmarks.cells FOLDER.

Two blocks, each of two residual layers: x + dropout(cell(rms_norm(x))), then x + dropout(gated_mlp(rms_norm(x))). The
cells whose gates do not read the state (minGRU, minLSTM, RG-LRU, mLSTM) come after a causal convolution of width 4, as
Griffin and xLSTM have it. The width, then the size of the MLPs, are chosen to match the number of parameters. All other
settings are the same for every cell; nothing is tuned for one of them.

Every run is kept in FOLDER, and not trained again where it exists. One of them:
`jaxrnn pretrain FOLDER/lstm-0/config.toml --to again`.
"""

import argparse
import statistics
import sys
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax

from benchmarks.machine import describe_in_lines, describe_machine
from benchmarks.report import table
from jaxrnn.config import (
    CausalConvConfig,
    Config,
    CorpusConfig,
    DenseConfig,
    DropoutConfig,
    EmbeddingConfig,
    GatedMLPConfig,
    GRUConfig,
    LayerConfig,
    LSTMConfig,
    MinGRUConfig,
    MinLSTMConfig,
    MLSTMConfig,
    ModelConfig,
    MogrifierLSTMConfig,
    ResidualConfig,
    RGLRUConfig,
    RMSNormConfig,
    RNNConfig,
    SLSTMConfig,
    TrainConfig,
)
from jaxrnn.models.stack import count_parameters, init
from jaxrnn.runs.directory import METRICS
from jaxrnn.runs.metrics import curve, read_metrics
from jaxrnn.workflows import EvaluationOptions, Job, evaluate_run, load_data, pretrain

CELLS: dict[str, Callable[[int], tuple[LayerConfig, ...]]] = {
    "rnn": lambda size: (RNNConfig(size=size),),
    "gru": lambda size: (GRUConfig(size=size),),
    "lstm": lambda size: (LSTMConfig(size=size),),
    "mogrifier_lstm": lambda size: (MogrifierLSTMConfig(size=size, rounds=4, rank=size // 8),),
    "slstm": lambda size: (SLSTMConfig(size=size, heads=4),),
    "mlstm": lambda size: (CausalConvConfig(), MLSTMConfig(size=size, heads=4)),
    "min_gru": lambda size: (CausalConvConfig(), MinGRUConfig(size=size)),
    "min_lstm": lambda size: (CausalConvConfig(), MinLSTMConfig(size=size)),
    # The initial decays of the paper, 0.9 and above, are for longer contexts.
    "rg_lru": lambda _: (CausalConvConfig(), RGLRUConfig(min_decay=0.1)),
}
_BLOCKS, _DROPOUT = 2, 0.2
_STEP, _WIDEST = 8, 2048  # of the width, which the heads divide


def model(cell: str, width: int, hidden: int) -> ModelConfig:
    """Return the layers, with MLPs of `hidden` units."""

    def residual(*layers: LayerConfig) -> ResidualConfig:
        dropped = DropoutConfig(rate=_DROPOUT, variational=True)
        return ResidualConfig(layers=(RMSNormConfig(), *layers, dropped))

    block = residual(*CELLS[cell](width)), residual(GatedMLPConfig(hidden=hidden))
    head = RMSNormConfig(), DropoutConfig(rate=_DROPOUT, variational=True), DenseConfig()
    return ModelConfig(layers=(EmbeddingConfig(size=width), *block * _BLOCKS, *head))


def parameters(config: ModelConfig, vocabulary_size: int) -> int:
    """Return how many parameters a model has."""
    return count_parameters(jax.eval_shape(lambda: init(jax.random.key(0), config, vocabulary_size)))


def fitted(cell: str, target: int, vocabulary_size: int) -> ModelConfig:
    """Return the widest model of at most `target` parameters with MLPs of at least twice its width."""

    def size(width: int) -> int:
        return parameters(model(cell, width, 2 * width), vocabulary_size)

    widths = range(_STEP, _WIDEST, _STEP)
    width = widths[max(0, bisect_right(widths, target, key=size) - 1)]
    hidden, per_unit = 2 * width, 3 * width * _BLOCKS
    hidden += max(0, target - parameters(model(cell, width, hidden), vocabulary_size)) // per_unit
    return model(cell, width, hidden)


def config(corpus: CorpusConfig, layers: ModelConfig, seed: int, steps: int) -> Config:
    """Return the config of a run: the same for every cell, but for the layers."""
    train = TrainConfig(
        steps=steps,
        batch_size=16,
        seq_len=64,
        learning_rate=4e-3,
        ema_decay=0.998,
        reset_rate=0.01,
        log_every=0,
        eval_every=max(1, steps // 6),
        save_every=0,
        sample_every=0,
        num_devices=1,
        rng_seed=seed,
    )
    return Config(corpus=corpus, model=layers, train=train)


class Row(NamedTuple):
    """What one run reached; losses in nats per token."""

    speed: float  # tokens per second
    training: float  # loss, mean since the evaluation before the last
    stateful: float  # loss of the test split, by the checkpoint with the best validation loss
    windows: float  # the same, in windows of 256


def measure(run: Path) -> Row:
    """Return the row of a run."""
    metrics = read_metrics(run / METRICS)
    options = EvaluationOptions(
        protocols=("stateful", "windows"),
        corpus=None,
        window=256,
        segment=20,
        rates=None,
        memorization=False,
        length=0,
        rng_seed=0,
        split="test",
    )
    found = evaluate_run(run, options).record["protocols"]
    _, speeds = curve(metrics, "tokens_per_second")
    _, training = curve(metrics, "train_loss")
    return Row(
        statistics.median(map(float, speeds)),
        float(training[-1]),
        found["stateful"]["nll"],
        found["windows"]["nll"],
    )


def main() -> int:
    """Train what is missing, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="for the runs; one folder for each corpus and size")
    parser.add_argument("--corpus", default="shakespeare", help="as [corpus] text; default: shakespeare")
    parser.add_argument(
        "--tokens", default="characters", choices=("characters", "bytes"), help="default: characters"
    )
    parser.add_argument("--cell", action="append", choices=CELLS, help="may be repeated; default: all")
    parser.add_argument("--parameters", type=float, default=0.3, help="in millions; default: 0.3")
    parser.add_argument("--steps", type=int, default=3000, help="of 16 x 64 tokens; default: 3000")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each cell; default: 3")
    options = parser.parse_args()
    corpus = CorpusConfig(
        text=options.corpus, tokens=options.tokens, validation_fraction=0.05, test_fraction=0.05
    )
    vocabulary_size = load_data(Job(Config(corpus=corpus))).vocabulary.size
    print(describe_in_lines(describe_machine()), flush=True)
    lines = []
    for cell in options.cell or CELLS:
        layers = fitted(cell, round(options.parameters * 1e6), vocabulary_size)
        runs = []
        for seed in range(options.seeds):
            run = options.folder / f"{cell}-{seed}"
            if not run.exists():
                pretrain(config(corpus, layers, seed, options.steps), to=run)
            runs.append(measure(run))
        lines.append(_line(cell, layers, vocabulary_size, runs))
        print(*lines[-1], sep="  ", flush=True)
    head = [
        "",
        "width",
        "parameters",
        "tokens/s",
        "training",
        "stateful",
        "min..max",
        "windows 256",
        "min..max",
    ]
    print(table("nats per token of the test split: means", head, lines))
    return 0


def _line(cell: str, layers: ModelConfig, vocabulary_size: int, runs: list[Row]) -> list[str]:
    (embedding, *_) = layers.layers
    means = [statistics.mean(values) for values in zip(*runs, strict=True)]
    ranges = [f"{min(values):.3f}..{max(values):.3f}" for values in zip(*runs, strict=True)]
    return [
        cell,
        str(embedding.output_size(0)),
        f"{parameters(layers, vocabulary_size):,}",
        f"{means[0]:,.0f}",
        f"{means[1]:.3f}",
        f"{means[2]:.3f}",
        ranges[2],
        f"{means[3]:.3f}",
        ranges[3],
    ]


if __name__ == "__main__":
    sys.exit(main())
