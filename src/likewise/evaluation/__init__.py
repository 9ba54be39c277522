"""How good a model is: one file a task, each with its interval and everything needed to repeat it.

The names below are loaded when they are first used, so that the list of tasks costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from likewise.evaluation.tasks import TASKS, Task, get_task

if TYPE_CHECKING:
    from likewise.evaluation.factors import feature_weights
    from likewise.evaluation.layerwise import layerwise_probe
    from likewise.evaluation.ranking_metrics import FAMILIES as RANKING_METRICS
    from likewise.evaluation.result import Interval, Result
    from likewise.evaluation.tasks.bitext import bitext
    from likewise.evaluation.tasks.clustering import clustering
    from likewise.evaluation.tasks.few_shot import few_shot
    from likewise.evaluation.tasks.knn import knn
    from likewise.evaluation.tasks.mteb_tasks import mteb_task
    from likewise.evaluation.tasks.probe import probe
    from likewise.evaluation.tasks.ranking import ranking
    from likewise.evaluation.tasks.regression import regression
    from likewise.evaluation.tasks.retrieval import DEFAULT_METRICS, retrieval, retrieval_subset
    from likewise.evaluation.tasks.similarity import SIMILARITY_COLUMNS, similarity
    from likewise.evaluation.tasks.zero_shot import zero_shot
    from likewise.evaluation.validation import Validation

_HOME = {
    "DEFAULT_METRICS": ("tasks.retrieval", "DEFAULT_METRICS"),
    "RANKING_METRICS": ("ranking_metrics", "FAMILIES"),
    "SIMILARITY_COLUMNS": ("tasks.similarity", "SIMILARITY_COLUMNS"),
    "Interval": ("result", "Interval"),
    "Result": ("result", "Result"),
    "Validation": ("validation", "Validation"),
    "bitext": ("tasks.bitext", "bitext"),
    "clustering": ("tasks.clustering", "clustering"),
    "feature_weights": ("factors", "feature_weights"),
    "few_shot": ("tasks.few_shot", "few_shot"),
    "knn": ("tasks.knn", "knn"),
    "layerwise_probe": ("layerwise", "layerwise_probe"),
    "mteb_task": ("tasks.mteb_tasks", "mteb_task"),
    "probe": ("tasks.probe", "probe"),
    "ranking": ("tasks.ranking", "ranking"),
    "regression": ("tasks.regression", "regression"),
    "retrieval": ("tasks.retrieval", "retrieval"),
    "retrieval_subset": ("tasks.retrieval", "retrieval_subset"),
    "similarity": ("tasks.similarity", "similarity"),
    "zero_shot": ("tasks.zero_shot", "zero_shot"),
}

__all__ = [
    "DEFAULT_METRICS",
    "RANKING_METRICS",
    "SIMILARITY_COLUMNS",
    "TASKS",
    "Interval",
    "Result",
    "Task",
    "Validation",
    "bitext",
    "clustering",
    "feature_weights",
    "few_shot",
    "get_task",
    "knn",
    "layerwise_probe",
    "mteb_task",
    "probe",
    "ranking",
    "regression",
    "retrieval",
    "retrieval_subset",
    "similarity",
    "zero_shot",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'likewise.evaluation' has no attribute '{name}'")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(f"likewise.evaluation.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
