"""Classes told by a few examples of each, with any model and without training."""

from __future__ import annotations

from likewise.classify.few_shot import FewShotClassifier, Told

__all__ = ["FewShotClassifier", "Told"]
