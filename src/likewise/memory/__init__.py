"""What outlives a step: keys, slow towers, teachers' scores, prototypes, transport plans, what belongs to a row."""

from likewise.memory.bank import KeyBank
from likewise.memory.clustered import ClusteredQueue
from likewise.memory.feature_bank import FeatureBank
from likewise.memory.global_contrast import GlobalContrastState, RobustTemperature
from likewise.memory.independent import IndependentComponents
from likewise.memory.kmeans import clusters_of
from likewise.memory.label_table import LabelTable
from likewise.memory.momentum import MomentumTower
from likewise.memory.per_sample import PerSampleState
from likewise.memory.prototypes import PrototypeTable, mean_embeddings
from likewise.memory.queue import KeyQueue
from likewise.memory.sinkhorn import sinkhorn
from likewise.memory.teacher_scores import TeacherScores

__all__ = [
    "ClusteredQueue",
    "FeatureBank",
    "GlobalContrastState",
    "IndependentComponents",
    "KeyBank",
    "KeyQueue",
    "LabelTable",
    "MomentumTower",
    "PerSampleState",
    "PrototypeTable",
    "RobustTemperature",
    "TeacherScores",
    "clusters_of",
    "mean_embeddings",
    "sinkhorn",
]
