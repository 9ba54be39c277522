"""Which of several methods or settings is better on the same data, at equal budget, and how sure that is."""

from likewise.studies.config import Budget, StudyConfig, read_study
from likewise.studies.study import StudyResult, study

__all__ = ["Budget", "StudyConfig", "StudyResult", "read_study", "study"]
