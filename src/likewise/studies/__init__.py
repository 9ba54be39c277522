"""Which of several methods or settings is better on the same data, at equal budget, and how sure that is."""

from likewise.studies.config import Budget, StudyConfig, read_study


__all__ = ["Budget", "StudyConfig", "StudyResult", "read_study", "study"]
