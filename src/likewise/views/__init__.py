"""How positives are made."""

from likewise.views.base import Batch, Views
from likewise.views.masking import TokenMasking
from likewise.views.text import TextInput, TextViews

__all__ = ["Batch", "TextInput", "TextViews", "TokenMasking", "Views"]
