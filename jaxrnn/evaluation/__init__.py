"""Losses of a trained model under named protocols, and memorization."""

from jaxrnn.evaluation.dynamic import Rates as Rates
from jaxrnn.evaluation.dynamic import score_dynamic as score_dynamic
from jaxrnn.evaluation.scored_text import ScoredText as ScoredText
from jaxrnn.evaluation.scored_text import write_csv as write_csv
from jaxrnn.evaluation.scoring import Scores as Scores
from jaxrnn.evaluation.scoring import score_stateful as score_stateful
from jaxrnn.evaluation.scoring import score_windows as score_windows
