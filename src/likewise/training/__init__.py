"""The loop on Accelerate, with complete state."""

from likewise.training.config import TrainingConfig
from likewise.training.loop import Interrupted, TrainingResult, fit
from likewise.training.step import StepOutput, Trainable

__all__ = ["Interrupted", "StepOutput", "Trainable", "TrainingConfig", "TrainingResult", "fit"]
