"""How positives are made."""

from likewise.views.base import Batch, Views
from likewise.views.context import ContextViews, context_pair
from likewise.views.labels import LabelledViews
from likewise.views.masking import TokenMasking
from likewise.views.repetition import SubwordRepeat, WordRepeat
from likewise.views.sampled import SampledPairs
from likewise.views.text import PairViews, Swapped, TextChange, TextInput, TextViews, TokenChange

__all__ = [
    "Batch",
    "ContextViews",
    "LabelledViews",
    "PairViews",
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
    "context_pair",
]
