"""What a search gives back."""

from __future__ import annotations

import base64
import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Hit"]


@dataclass(frozen=True)
class Hit:
    """A row that was found.

    Args:
        id: Its id.
        text: Its text.
        score: How well it fits, higher is better. By vectors: the cosine, in [-1, 1]. By text: BM25, >= 0, comparable
            within one query only. Hybrid: the sum of ``1 / (60 + rank)`` over the two rankings, at most 2 / 61.
        metadata: Its other columns; None where it has no value.
    """

    id: str
    text: str
    score: float
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return ``{"id", "text", "score", ...metadata}`` as what JSON can hold.

        Dates become ISO texts, bytes base64, and numbers that are not finite None.

        Example:
            >>> Hit("7", "kennel", 0.5, {"since": datetime.date(2026, 1, 2)}).as_dict()
            {'id': '7', 'text': 'kennel', 'score': 0.5, 'since': '2026-01-02'}
        """
        plain = {name: _plain(value) for name, value in self.metadata.items()}
        return {"id": self.id, "text": self.text, "score": self.score, **plain}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value if value is None or isinstance(value, bool | int | str) else str(value)
