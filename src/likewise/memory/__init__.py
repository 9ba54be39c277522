"""What outlives a step: keys, towers that follow slowly, scores of a teacher, prototypes, transport plans."""

from likewise.memory.bank import KeyBank
from likewise.memory.independent import IndependentComponents
from likewise.memory.label_table import LabelTable
from likewise.memory.momentum import MomentumTower
from likewise.memory.prototypes import PrototypeTable, mean_embeddings
from likewise.memory.queue import KeyQueue
from likewise.memory.sinkhorn import sinkhorn
from likewise.memory.teacher_scores import TeacherScores

__all__ = [
    "IndependentComponents",
    "KeyBank",
    "KeyQueue",
    "LabelTable",
    "MomentumTower",
    "PrototypeTable",
    "TeacherScores",
    "mean_embeddings",
    "sinkhorn",
]
