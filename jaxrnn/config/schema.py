"""The config of a run: every key with its type, limits and default.

Layers are in model.py. Keys are defined nowhere else; `configs/custom.toml` documents each one.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from jaxrnn.config.fields import Checked, FieldError, OneOf, Range, Text
from jaxrnn.config.model import ModelConfig

# Limits are generous: they refuse only sizes that no machine could hold.
Length = Annotated[int, Range(1, 1_048_576)]
Steps = Annotated[int, Range(1, 2**31 - 1)]
StepsOrZero = Annotated[int, Range(0, 2**31 - 1)]
Texts = str | tuple[str, ...]  # a built-in corpus, a file or a folder, by name; or several of them


@dataclass(frozen=True, kw_only=True)
class CorpusConfig(Checked):
    """The corpus: its files, its tokens, and its validation and test splits."""

    text: Annotated[Texts, Text(empty=False, without="\0", several=True)] = "shakespeare"
    tokens: Annotated[str, OneOf(("characters", "bytes"))] = "characters"
    validation: Annotated[Texts, Text(without="\0", several=True)] = ""
    validation_fraction: Annotated[float, Range(0, 1, below=True)] = 0.1
    test: Annotated[Texts, Text(without="\0", several=True)] = ""
    test_fraction: Annotated[float, Range(0, 1, below=True)] = 0.0
    streamed: Annotated[str, OneOf(("auto", "always", "never"))] = "auto"
    encoding: str = "utf-8"
    field: str = ""
    separator: str = ""

    @property
    def held_out(self) -> tuple[float, float]:
        """The validation and test fractions, taken from the end of `text`; 0 if a separate corpus is used."""
        return 0.0 if self.validation else self.validation_fraction, self.test_fraction

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            FieldError: A value is not accepted, the separator is not one token, or the training split is empty.
        """
        super().__post_init__()
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError):
            raise FieldError("encoding", "must be a text encoding that Python knows", self.encoding) from None
        if self.tokens == "bytes" and (self.field or self.encoding != "utf-8"):
            key, value = ("field", self.field) if self.field else ("encoding", self.encoding)
            raise FieldError(key, 'only text is decoded; leave it out where tokens = "bytes"', value)
        if self.test and self.test_fraction:
            raise FieldError(
                "test_fraction", "corpus.test names the test corpus; must be 0", self.test_fraction
            )
        if sum(self.held_out) >= 1:
            problem = f"with validation_fraction = {self.validation_fraction:g} the training split is empty"
            raise FieldError("test_fraction", problem, self.test_fraction)
        if len(self.separator) > 1 or (self.tokens == "bytes" and not self.separator.isascii()):
            problem = "must be one token, because the state is reset at one; "
            if self.separator.startswith("\\"):
                problem += """write an escape in double quotes, as in --set 'corpus.separator="\\n"'"""
            else:
                problem += (
                    'replace it in the corpus by a character that occurs nowhere else, such as "\\u001E"'
                )
            raise FieldError("separator", problem, self.separator)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Checked):
    """Training hyperparameters. A step updates from `accumulate_steps` batches of `batch_size` x `seq_len` tokens."""

    steps: Steps = 1600
    batch_size: Length = 32
    seq_len: Length = 32
    stateful: bool = True
    reset_rate: Annotated[float, Range(0, 1)] = 0.0
    accumulate_steps: Annotated[int, Range(1, 65_536)] = 1
    optimizer: Annotated[str, OneOf(("adamw", "muon"))] = "adamw"
    learning_rate: Annotated[float, Range(0, 100, above=True)] = 1e-2
    warmup_steps: StepsOrZero = 20
    schedule: Annotated[str, OneOf(("linear", "cosine", "constant", "plateau"))] = "linear"
    plateau_patience: Steps = 3
    plateau_factor: Annotated[float, Range(0, 1, above=True, below=True)] = 0.5
    beta1: Annotated[float, Range(0, 1, below=True)] = 0.9
    beta2: Annotated[float, Range(0, 1, below=True)] = 0.99
    weight_decay: Annotated[float, Range(0, 100)] = 0.1
    max_grad_norm: Annotated[float, Range(0, 1_000_000)] = 1.0
    ema_decay: Annotated[float, Range(0, 1, below=True)] = 0.0
    log_every: StepsOrZero = 50
    eval_every: StepsOrZero = 200
    eval_tokens: StepsOrZero = 5_000_000
    early_stopping: StepsOrZero = 0
    save_every: StepsOrZero = 200
    keep_every: StepsOrZero = 0
    sample_every: StepsOrZero = 400
    rng_seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    num_devices: Annotated[int, Range(0, 65_536)] = 0
    precision: Annotated[str, OneOf(("float32", "tf32", "bfloat16"))] = "float32"

    @property
    def tokens_per_step(self) -> int:
        """Number of tokens in one update."""
        return self.accumulate_steps * self.batch_size * self.seq_len

    def __post_init__(self) -> None:
        """Check every field, and options that exclude each other.

        Raises:
            FieldError: A value is not accepted.
        """
        super().__post_init__()
        if self.reset_rate > 0 and not self.stateful:
            problem = "with stateful = false every sequence starts from a zero state; must be 0"
            raise FieldError("reset_rate", problem, self.reset_rate)
        if self.early_stopping > 0 and self.eval_every == 0:
            problem = "with eval_every = 0 there is no evaluation before the end; must be 0"
            raise FieldError("early_stopping", problem, self.early_stopping)
        if self.accumulate_steps > 1 and self.steps * self.accumulate_steps >= 2**31:
            problem = (
                f"with steps = {self.steps} there would be more than 2^31 - 1 batches; reduce one of them"
            )
            raise FieldError("accumulate_steps", problem, self.accumulate_steps)


# Defaults of `[train]` for fine-tuning: fewer steps and a lower learning rate than for pretraining, and frequent
# evaluations, so that the best checkpoint is saved before the model overfits a small corpus.
FINETUNE: dict[str, int | float] = {
    "steps": 400,
    "learning_rate": 1e-3,
    "eval_every": 50,
    "save_every": 50,
    "sample_every": 200,
}


@dataclass(frozen=True, kw_only=True)
class SampleConfig(Checked):
    """Default sampling options."""

    prompt: Annotated[str, Text(empty=False)] = "\n"
    length: Steps = 500
    temperature: Annotated[float, Range(0, 1000)] = 0.8
    top_k: Annotated[int, Range(0, 0x110000)] = 0
    top_p: Annotated[float, Range(0, 1, above=True)] = 1.0
    min_p: Annotated[float, Range(0, 1)] = 0.0
    repetition_penalty: Annotated[float, Range(1, 1000)] = 1.0
    stop: str = ""

    @property
    def rules(self) -> dict[str, Any]:
        """The arguments of `jaxrnn.sampling.sample` that control the choice of a token."""
        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole config of a run; a missing section has its defaults."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
