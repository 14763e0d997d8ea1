"""Text generation with a carried state."""

from jaxrnn.sampling.generation import Block as Block
from jaxrnn.sampling.generation import prompt_ids as prompt_ids
from jaxrnn.sampling.generation import sample as sample
from jaxrnn.sampling.text import generate as generate
from jaxrnn.sampling.text import stop_text as stop_text
from jaxrnn.sampling.text import stream as stream
from jaxrnn.sampling.text import until as until
