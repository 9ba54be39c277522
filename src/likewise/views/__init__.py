"""How positives are made."""

from likewise.views.base import Batch, Views
from likewise.views.block_masks import BlockMaskedViews, block_mask
from likewise.views.context import ContextViews, context_pair
from likewise.views.image import AUGMENTATIONS, Augmentation, AugmentationName, ImageViews, augmentation, view_names
from likewise.views.labels import NO_LABEL, FlaggedViews, LabelledViews
from likewise.views.masking import TokenMasking
from likewise.views.repetition import SubwordRepeat, WordRepeat
from likewise.views.replaced import ReplacedViews
from likewise.views.sampled import SampledPairs
from likewise.views.text import PairViews, Swapped, TextChange, TextInput, TextViews, TokenChange

__all__ = [
    "AUGMENTATIONS",
    "NO_LABEL",
    "Augmentation",
    "AugmentationName",
    "Batch",
    "BlockMaskedViews",
    "ContextViews",
    "FlaggedViews",
    "ImageViews",
    "LabelledViews",
    "PairViews",
    "ReplacedViews",
    "SampledPairs",
    "SubwordRepeat",
    "Swapped",
    "TextChange",
    "TextInput",
    "TextViews",
    "TokenChange",
    "TokenMasking",
    "Views",
    "WordRepeat",
    "augmentation",
    "block_mask",
    "context_pair",
    "view_names",
]
