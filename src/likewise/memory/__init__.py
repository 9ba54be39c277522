"""What outlives a step: keys of earlier batches, towers that follow another one slowly, and what labels mean."""

from likewise.memory.label_table import LabelTable
from likewise.memory.momentum import MomentumTower
from likewise.memory.queue import KeyQueue

__all__ = ["KeyQueue", "LabelTable", "MomentumTower"]
