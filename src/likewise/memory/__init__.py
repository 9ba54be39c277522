"""What outlives a step: keys of earlier batches, towers that follow another one slowly, and frozen prototypes."""

from likewise.memory.independent import IndependentComponents
from likewise.memory.momentum import MomentumTower
from likewise.memory.prototypes import PrototypeTable, mean_embeddings
from likewise.memory.queue import KeyQueue

__all__ = ["IndependentComponents", "KeyQueue", "MomentumTower", "PrototypeTable", "mean_embeddings"]
