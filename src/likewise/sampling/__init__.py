"""What shares a batch: order, groups, duplicates kept apart, hard negatives; and the loader that makes the batches."""

from likewise.sampling.batches import BatchPlan, PlannedBatch
from likewise.sampling.duplicates import RowKeys, duplicate_keys, text_key
from likewise.sampling.groups import Grouping, GroupPlan, groups_of
from likewise.sampling.hard_negatives import mine
from likewise.sampling.label_pairs import Balance, LabelPairs
from likewise.sampling.loader import BatchLoader, Plan, plan_batches
from likewise.sampling.stream import StreamPlan

__all__ = [
    "Balance",
    "BatchLoader",
    "BatchPlan",
    "GroupPlan",
    "Grouping",
    "LabelPairs",
    "Plan",
    "PlannedBatch",
    "RowKeys",
    "StreamPlan",
    "duplicate_keys",
    "groups_of",
    "mine",
    "plan_batches",
    "text_key",
]
