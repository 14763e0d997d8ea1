"""The layers of a model: every type that a config can name, with its options, limits and defaults."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxrnn.config.fields import Checked, FieldError, OneOf, Range

MAX_LAYERS = 1000
Size = Annotated[int, Range(1, 65_536)]  # generous: it refuses only what no machine could hold


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
