"""The config of a run: a TOML file, read strictly into frozen dataclasses."""

from jaxrnn.config.files import dump_config as dump_config
from jaxrnn.config.files import load_config as load_config
from jaxrnn.config.files import load_finetune_config as load_finetune_config
from jaxrnn.config.files import parse_config as parse_config
from jaxrnn.config.overrides import Overrides as Overrides
from jaxrnn.config.schema import LAYER_TYPES as LAYER_TYPES
from jaxrnn.config.schema import Config as Config
from jaxrnn.config.schema import CorpusConfig as CorpusConfig
from jaxrnn.config.schema import DenseConfig as DenseConfig
from jaxrnn.config.schema import DropoutConfig as DropoutConfig
from jaxrnn.config.schema import EmbeddingConfig as EmbeddingConfig
from jaxrnn.config.schema import GRUConfig as GRUConfig
from jaxrnn.config.schema import LayerConfig as LayerConfig
from jaxrnn.config.schema import LSTMConfig as LSTMConfig
from jaxrnn.config.schema import ModelConfig as ModelConfig
from jaxrnn.config.schema import MogrifierLSTMConfig as MogrifierLSTMConfig
from jaxrnn.config.schema import RNNBlockConfig as RNNBlockConfig
from jaxrnn.config.schema import RNNConfig as RNNConfig
from jaxrnn.config.schema import SampleConfig as SampleConfig
from jaxrnn.config.schema import SLSTMConfig as SLSTMConfig
from jaxrnn.config.schema import Texts as Texts
from jaxrnn.config.schema import TrainConfig as TrainConfig
from jaxrnn.config.shipped import find_config as find_config
from jaxrnn.config.shipped import shipped_configs as shipped_configs
