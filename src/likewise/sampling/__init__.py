"""What shares a batch: order, duplicates kept apart, hard negatives; and the loader that makes the batches."""

from likewise.sampling.batches import BatchPlan, PlannedBatch
from likewise.sampling.duplicates import RowKeys, duplicate_keys, text_key
from likewise.sampling.hard_negatives import mine
from likewise.sampling.label_pairs import LabelPairs
from likewise.sampling.loader import BatchLoader, Plan, plan_batches
from likewise.sampling.stream import StreamPlan

__all__ = [
    "BatchLoader",
    "BatchPlan",
    "LabelPairs",
    "Plan",
    "PlannedBatch",
    "RowKeys",
    "StreamPlan",
    "duplicate_keys",
    "mine",
    "plan_batches",
    "text_key",
]
