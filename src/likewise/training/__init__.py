"""The loop on Accelerate, with complete state."""

from likewise.training.config import TrainingConfig
from likewise.training.loop import Interrupted, TrainingResult, fit
from likewise.training.step import Contrast, StepOutput, Trainable

__all__ = ["Contrast", "Interrupted", "StepOutput", "Trainable", "TrainingConfig", "TrainingResult", "fit"]
