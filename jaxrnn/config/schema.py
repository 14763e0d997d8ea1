"""The config of a run: every key with its type, limits and default.

This is the only place that defines them; `configs/custom.toml` documents each key.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from jaxrnn.config.fields import Checked, FieldError, OneOf, Range, Text

MAX_LAYERS = 1000
# Limits are generous: they refuse only sizes that no machine could hold.
Size = Annotated[int, Range(1, 65_536)]
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
class LayerConfig(Checked):
    """The options of one layer; each kind of layer is a subclass, and `type` is its name in TOML."""

    type: ClassVar[str]

    def output_size(self, input_size: int) -> int:
        """Return the number of output features for `input_size` input features.

        Raises:
            FieldError: The layer can't take this input size.
        """
        return getattr(self, "size", None) or input_size


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig(LayerConfig):
    """An embedding of `size` features for each token of the vocabulary."""

    type: ClassVar[str] = "embedding"
    size: Size


@dataclass(frozen=True, kw_only=True)
class DenseConfig(LayerConfig):
    """A linear layer; without a size, it outputs one logit for each token of the vocabulary."""

    type: ClassVar[str] = "dense"
    size: Size | None = None


@dataclass(frozen=True, kw_only=True)
class DropoutConfig(LayerConfig):
    """Dropout with the given rate; variational dropout uses one mask for all time steps."""

    type: ClassVar[str] = "dropout"
    rate: Annotated[float, Range(0, 1, below=True)]
    variational: bool = False


@dataclass(frozen=True, kw_only=True)
class RNNConfig(LayerConfig):
    """A vanilla RNN layer with tanh."""

    type: ClassVar[str] = "rnn"
    size: Size


@dataclass(frozen=True, kw_only=True)
class LSTMConfig(LayerConfig):
    """A long short-term memory layer."""

    type: ClassVar[str] = "lstm"
    size: Size
    recurrent_dropout: Annotated[float, Range(0, 1, below=True)] = 0.0


@dataclass(frozen=True, kw_only=True)
class MogrifierLSTMConfig(LayerConfig):
    """An LSTM whose input and hidden state gate each other in `rounds` rounds first; rank 0 is full rank."""

    type: ClassVar[str] = "mogrifier_lstm"
    size: Size
    rounds: Annotated[int, Range(1, 100)] = 5
    rank: Annotated[int, Range(0, 65_536)] = 0
    recurrent_dropout: Annotated[float, Range(0, 1, below=True)] = 0.0


@dataclass(frozen=True, kw_only=True)
class GRUConfig(LayerConfig):
    """A gated recurrent unit layer."""

    type: ClassVar[str] = "gru"
    size: Size


@dataclass(frozen=True, kw_only=True)
class SLSTMConfig(LayerConfig):
    """An LSTM with exponential gates; a unit's recurrent weights read only the units of its own head."""

    type: ClassVar[str] = "slstm"
    size: Size
    heads: Annotated[int, Range(1, 65_536)] = 4
    recurrent_dropout: Annotated[float, Range(0, 1, below=True)] = 0.0

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            FieldError: A value is not accepted, or the heads can't share the units.
        """
        super().__post_init__()
        _check_heads(self.heads, self.size)


@dataclass(frozen=True, kw_only=True)
class MLSTMConfig(LayerConfig):
    """A layer with a matrix memory in each head; `chunk` steps are computed at once."""

    type: ClassVar[str] = "mlstm"
    size: Size
    heads: Annotated[int, Range(1, 65_536)] = 4
    chunk: Annotated[int, Range(1, 65_536)] = 64

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            FieldError: A value is not accepted, or the heads can't share the units.
        """
        super().__post_init__()
        _check_heads(self.heads, self.size)


@dataclass(frozen=True, kw_only=True)
class MinGRUConfig(LayerConfig):
    """A GRU whose gate and candidate depend on the input alone: a linear recurrence."""

    type: ClassVar[str] = "min_gru"
    size: Size


@dataclass(frozen=True, kw_only=True)
class MinLSTMConfig(LayerConfig):
    """An LSTM whose gates and candidate depend on the input alone: a linear recurrence."""

    type: ClassVar[str] = "min_lstm"
    size: Size


@dataclass(frozen=True, kw_only=True)
class RGLRUConfig(LayerConfig):
    """A real-gated linear recurrent unit (Griffin). The size defaults to the input's."""

    type: ClassVar[str] = "rg_lru"
    size: Size | None = None
    min_decay: Annotated[float, Range(0, 0.999, above=True, below=True)] = 0.9

    def output_size(self, input_size: int) -> int:
        """Return the input size, which is the number of units too.

        Raises:
            FieldError: `size` is another.
        """
        if self.size not in (None, input_size):
            rule = f"an rg_lru has the size of its input; set it to {input_size}, or leave this key out"
            raise FieldError("size", rule, self.size)
        return input_size


def _check_heads(heads: int, size: int) -> None:
    if size % heads:
        raise FieldError("heads", f"must divide size, {size}", heads)


@dataclass(frozen=True, kw_only=True)
class RNNBlockConfig(LayerConfig):
    """A residual block: a recurrent and a dense layer, added to the input. The size defaults to the input's."""

    type: ClassVar[str] = "rnn_block"
    cell: Annotated[str, OneOf(("rnn", "lstm", "gru"))] = "lstm"
    size: Size | None = None

    def output_size(self, input_size: int) -> int:
        """Return the input size, which a residual block keeps.

        Raises:
            FieldError: `size` is another.
        """
        if self.size not in (None, input_size):
            rule = (
                f"an rnn_block adds to its input; set the input's size, {input_size}, or leave this key out"
            )
            raise FieldError("size", rule, self.size)
        return input_size


@dataclass(frozen=True, kw_only=True)
class RMSNormConfig(LayerConfig):
    """Divides each vector by its root mean square, and scales each feature."""

    type: ClassVar[str] = "rms_norm"


@dataclass(frozen=True, kw_only=True)
class GatedMLPConfig(LayerConfig):
    """A gated feed-forward layer with `hidden` units (SwiGLU); its output has the size of its input."""

    type: ClassVar[str] = "gated_mlp"
    hidden: Size


@dataclass(frozen=True, kw_only=True)
class CausalConvConfig(LayerConfig):
    """A convolution over the present input and the `width - 1` before it, each feature for itself."""

    type: ClassVar[str] = "causal_conv"
    width: Annotated[int, Range(1, 100)] = 4


@dataclass(frozen=True, kw_only=True)
class ResidualConfig(LayerConfig):
    """Layers whose outputs are added to the input of the first."""

    type: ClassVar[str] = "residual"
    layers: tuple[LayerConfig, ...] = ()

    def __post_init__(self) -> None:
        """Check that there are layers, of types that can be inside.

        Raises:
            FieldError: There are none, or one is an embedding or a dense layer without a size.
        """
        object.__setattr__(self, "layers", tuple(self.layers))
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise FieldError("layers", f"must be a list of 1 to {MAX_LAYERS} layers")
        for index, layer in enumerate(self.layers):
            if not isinstance(layer, LayerConfig):  # possible from Python, not from TOML
                raise FieldError(f"layers[{index}]", "must be a layer's config", layer)
            if isinstance(layer, EmbeddingConfig):
                raise FieldError(
                    f"layers[{index}]", "only the first layer of a model can be of type embedding"
                )
            if isinstance(layer, DenseConfig) and layer.size is None:
                raise FieldError(
                    f"layers[{index}].size", "is missing; only the last layer of a model has none"
                )

    def output_size(self, input_size: int) -> int:
        """Return the size of the input, to which the layers add.

        Raises:
            FieldError: The last layer inside has another size.
        """
        size = input_size
        for index, layer in enumerate(self.layers):
            try:
                size = layer.output_size(size)
            except FieldError as error:
                raise error.under(f"layers[{index}]") from None
        if size != input_size:
            rule = (
                f"the outputs are added to the input, which has {input_size} features, and they have {size}"
            )
            raise FieldError("layers", rule)
        return input_size


LAYER_TYPES: dict[str, type[LayerConfig]] = {layer.type: layer for layer in LayerConfig.__subclasses__()}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The layers that a token passes through, first to last."""

    layers: tuple[LayerConfig, ...] = (EmbeddingConfig(size=192), LSTMConfig(size=192), DenseConfig())

    def __post_init__(self) -> None:
        """Check the order and the sizes of the layers.

        Raises:
            FieldError: The layers are not an embedding, then other layers, then a dense layer without a size.
        """
        object.__setattr__(self, "layers", tuple(self.layers))
        _check_layers(self.layers)


def _check_layers(layers: tuple[LayerConfig, ...]) -> None:
    if not 2 <= len(layers) <= MAX_LAYERS:
        rule = f"must be a list of 2 to {MAX_LAYERS} layers, an embedding first and a dense last"
        raise FieldError("layers", f"{rule}, but has {len(layers)}")
    last = len(layers) - 1
    size = 0  # output size of the layers so far
    for index, layer in enumerate(layers):
        here = f"layers[{index}]"
        if not isinstance(layer, LayerConfig):  # possible from Python, not from TOML
            raise FieldError(here, "must be a layer's config", layer)
        is_output = isinstance(layer, DenseConfig) and layer.size is None
        if index == 0 and not isinstance(layer, EmbeddingConfig):
            raise FieldError(here, f"the first layer must be of type embedding, not {layer.type}")
        if index > 0 and isinstance(layer, EmbeddingConfig):
            raise FieldError(here, "only the first layer can be of type embedding")
        if index < last and is_output:
            raise FieldError(here, "only the last layer can be a dense without a size; give this one a size")
        if index == last and not isinstance(layer, DenseConfig):
            raise FieldError(here, f"the last layer must be of type dense, not {layer.type}")
        if index == last and not is_output:
            raise FieldError(f"{here}.size", "leave it out: the last layer has the size of the vocabulary")
        try:
            size = layer.output_size(size)
        except FieldError as error:
            raise error.under(here) from None


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
    precision: Annotated[str, OneOf(("float32", "bfloat16"))] = "float32"

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
