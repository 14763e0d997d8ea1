"""Run directories: created atomically, checkpointed, verified, locked, resumed and loaded."""

from jaxrnn.runs.creation import RunExistsError as RunExistsError
from jaxrnn.runs.creation import check_destination as check_destination
from jaxrnn.runs.directory import METRICS as METRICS
from jaxrnn.runs.directory import default_run as default_run
from jaxrnn.runs.directory import files_read as files_read
from jaxrnn.runs.directory import find_destination as find_destination
from jaxrnn.runs.directory import find_run as find_run
from jaxrnn.runs.directory import read_config as read_config
from jaxrnn.runs.directory import read_record as read_record
from jaxrnn.runs.directory import read_vocabulary as read_vocabulary
from jaxrnn.runs.loading import load as load
from jaxrnn.runs.metrics import read_metrics as read_metrics
from jaxrnn.runs.plotting import plot_runs as plot_runs
from jaxrnn.runs.saved_steps import damaged_steps as damaged_steps
from jaxrnn.runs.saved_steps import find_step as find_step
