"""How positives are made."""

from likewise.views.base import Batch, Views
from likewise.views.text import TextInput, TextViews, text_id

__all__ = ["Batch", "TextInput", "TextViews", "Views", "text_id"]
