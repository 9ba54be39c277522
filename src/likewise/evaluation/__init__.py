"""How good a model is: one file a task, each with its interval and everything needed to repeat it."""

from likewise.evaluation.ranking_metrics import FAMILIES as RANKING_METRICS
from likewise.evaluation.result import Interval, Result
from likewise.evaluation.retrieval import DEFAULT_METRICS, retrieval, retrieval_subset
from likewise.evaluation.similarity import SIMILARITY_COLUMNS, similarity
from likewise.evaluation.validation import Validation

__all__ = [
    "DEFAULT_METRICS",
    "RANKING_METRICS",
    "SIMILARITY_COLUMNS",
    "Interval",
    "Result",
    "Validation",
    "retrieval",
    "retrieval_subset",
    "similarity",
]
