"""What outlives a step: keys of earlier batches, towers that follow another one slowly, a teacher's scores."""

from likewise.memory.momentum import MomentumTower
from likewise.memory.queue import KeyQueue
from likewise.memory.teacher_scores import TeacherScores

__all__ = ["KeyQueue", "MomentumTower", "TeacherScores"]
