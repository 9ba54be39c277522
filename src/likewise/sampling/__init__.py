"""What shares a batch: order, groups, mixtures, duplicates kept apart, hard negatives, drawn pairs; and the loader."""

from likewise.sampling.batches import BatchPlan, PlannedBatch
from likewise.sampling.class_rates import class_rates, kept_by_rate
from likewise.sampling.cocitation import cocited_pairs, pairs_never_cocited
from likewise.sampling.duplicates import RowKeys, duplicate_keys, text_key
from likewise.sampling.groups import Grouping, GroupPlan, groups_of
from likewise.sampling.hard_negatives import mine
from likewise.sampling.inverse_propensity import (
    Drawn,
    IPWPairSampler,
    find_candidates,
    inverse_propensity,
    quantile_thresholds,
)
from likewise.sampling.label_pairs import Balance, LabelPairs
from likewise.sampling.loader import BatchLoader, Plan, plan_batches
from likewise.sampling.mixing import HardNegativeMixer, Mixture
from likewise.sampling.pair_report import describe_pairs
from likewise.sampling.stratified import Stratified, StratifiedPlan
from likewise.sampling.stream import StreamPlan
from likewise.sampling.surface import SurfaceMeasure, SurfaceTexts, surface_similarity

__all__ = [
    "Balance",
    "BatchLoader",
    "BatchPlan",
    "Drawn",
    "GroupPlan",
    "Grouping",
    "HardNegativeMixer",
    "IPWPairSampler",
    "LabelPairs",
    "Mixture",
    "Plan",
    "PlannedBatch",
    "RowKeys",
    "Stratified",
    "StratifiedPlan",
    "StreamPlan",
    "SurfaceMeasure",
    "SurfaceTexts",
    "class_rates",
    "cocited_pairs",
    "describe_pairs",
    "duplicate_keys",
    "find_candidates",
    "groups_of",
    "inverse_propensity",
    "kept_by_rate",
    "mine",
    "pairs_never_cocited",
    "plan_batches",
    "quantile_thresholds",
    "surface_similarity",
    "text_key",
]
