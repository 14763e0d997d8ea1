"""The device mesh that shares a batch, and several processes that train together."""

from jaxrnn.parallel import processes as processes
from jaxrnn.parallel.devices import replicate as replicate
from jaxrnn.parallel.devices import split_cpu as split_cpu
from jaxrnn.parallel.devices import training_mesh as training_mesh
from jaxrnn.parallel.targets import TARGETS as TARGETS
