"""What outlives a step: keys of earlier batches, slowly following towers, scores of a teacher, frozen prototypes."""

from likewise.memory.bank import KeyBank
from likewise.memory.independent import IndependentComponents
from likewise.memory.momentum import MomentumTower
from likewise.memory.prototypes import PrototypeTable, mean_embeddings
from likewise.memory.queue import KeyQueue
from likewise.memory.teacher_scores import TeacherScores

__all__ = [
    "IndependentComponents",
    "KeyBank",
    "KeyQueue",
    "MomentumTower",
    "PrototypeTable",
    "TeacherScores",
    "mean_embeddings",
]
