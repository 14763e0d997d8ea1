"""A stack of layers built from a config: its parameters, a whole sequence, a single step."""

from jaxrnn.models.language_model import LanguageModel as LanguageModel
from jaxrnn.models.stack import apply as apply
from jaxrnn.models.stack import count_parameters as count_parameters
from jaxrnn.models.stack import init as init
from jaxrnn.models.stack import initial_carry as initial_carry
from jaxrnn.models.stack import project_table as project_table
from jaxrnn.models.stack import step as step
