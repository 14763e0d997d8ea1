"""Pretraining, fine-tuning and evaluation from end to end, with callbacks; called by the command line and notebooks."""

from jaxrnn.workflows.corpus import Data as Data
from jaxrnn.workflows.corpus import load_data as load_data
from jaxrnn.workflows.evaluation import PROTOCOLS as PROTOCOLS
from jaxrnn.workflows.evaluation import Evaluation as Evaluation
from jaxrnn.workflows.evaluation import EvaluationOptions as EvaluationOptions
from jaxrnn.workflows.evaluation import evaluate_run as evaluate_run
from jaxrnn.workflows.evaluation import validation_text as validation_text
from jaxrnn.workflows.finetune import finetune as finetune
from jaxrnn.workflows.finetune import open_finetuning as open_finetuning
from jaxrnn.workflows.job import Job as Job
from jaxrnn.workflows.job import Note as Note
from jaxrnn.workflows.job import write_to as write_to
from jaxrnn.workflows.plan import Memory as Memory
from jaxrnn.workflows.plan import estimate_memory as estimate_memory
from jaxrnn.workflows.plan import files_written as files_written
from jaxrnn.workflows.plan import memory_on as memory_on
from jaxrnn.workflows.pretrain import pretrain as pretrain
from jaxrnn.workflows.run import Run as Run
from jaxrnn.workflows.training import train as train
