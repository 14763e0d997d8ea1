"""The optimizer, the training state, the update step and the training loop as a stream of events."""

from jaxrnn.training.loop import Evaluated as Evaluated
from jaxrnn.training.loop import Event as Event
from jaxrnn.training.loop import Logged as Logged
from jaxrnn.training.loop import Progress as Progress
from jaxrnn.training.loop import Sampled as Sampled
from jaxrnn.training.loop import Save as Save
from jaxrnn.training.loop import train as train
from jaxrnn.training.state import TrainState as TrainState
from jaxrnn.training.state import init_state as init_state
from jaxrnn.training.state import start_state as start_state
