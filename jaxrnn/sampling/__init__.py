"""Text generation with a carried state."""

from jaxrnn.sampling.generation import Block as Block
from jaxrnn.sampling.generation import prompt_ids as prompt_ids
from jaxrnn.sampling.generation import sample as sample
from jaxrnn.sampling.prompts import known_ids as known_ids
from jaxrnn.sampling.prompts import prompts_of as prompts_of
from jaxrnn.sampling.prompts import read_prompts as read_prompts
from jaxrnn.sampling.several import Sample as Sample
from jaxrnn.sampling.several import best_of as best_of
from jaxrnn.sampling.several import finish as finish
from jaxrnn.sampling.several import one_by_one as one_by_one
from jaxrnn.sampling.text import generate as generate
from jaxrnn.sampling.text import stop_text as stop_text
from jaxrnn.sampling.text import stream as stream
from jaxrnn.sampling.text import until as until
