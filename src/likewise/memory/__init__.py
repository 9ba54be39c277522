"""What outlives a step: keys of earlier batches, and towers that follow another one slowly."""

from likewise.memory.bank import KeyBank
from likewise.memory.momentum import MomentumTower
from likewise.memory.queue import KeyQueue

__all__ = ["KeyBank", "KeyQueue", "MomentumTower"]
