"""Rows as a user of each method would bring them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from likewise.data import Column, Image, Label, Number, Text, Vector
from likewise.methods import get_method

THINGS = ["dog", "cat", "house", "river", "train", "bread", "phone", "garden", "window", "tower", "boat", "lamp"]

SMALL_SETTINGS: dict[str, dict[str, Any]] = {
    "cacr": {"positives": 2},
    "2dmse": {"encoder_layers": 2},
    "bacon": {"num_classes": 3, "hidden": 16, "head_size": 8, "temperature": 0.07},
    "beclr": {
        **{"hidden": 16, "head_size": 8, "prototypes": 2, "memory_scale": 6, "memory_start": 0.0, "neighbours": 2},
        **{"momentum": 0.9, "cluster_every": 1.0},
    },
    "moco": {"queue_size": 16, "momentum": 0.9},
    "mochi": {"queue_size": 16, "momentum": 0.9, "hardest": 8, "pairs": 4, "with_query": 4, "plain_epochs": 0.1},
}
"""What a method needs otherwise than the smallest setting of these checks."""

OPTIONAL_SETTINGS: dict[str, dict[str, Any]] = {
    "simcse": {"supervised": True},
    "dialog2flow": {"mode": "joint"},
    "projection-head": {"loss": "cross-entropy", "drop": 0.5},
    "sepclr": {"attributes": "continuous"},
}
"""Settings under which a method reads the columns that it may have."""

LOWERED_SETTINGS: dict[str, dict[str, Any]] = {
    "cacr": {"augment": "none", "lr": 3e-3},
    "contrastive-behaviour": {"temperature": 0.1, "augment": "none", "bank_momentum": 0.0, "lr": 3e-3},
    "dialog2flow": {"label_temperature": 0.02, "batch_size": 8},
    "moe-cocitation": {"lr": 3e-4},
    "bacon": {"view_temperature": 0.1, "warmup_epochs": 100.0, "batch_size": 8, "lr": 1e-2, "augment": "none"},
    "beclr": {
        **{"augment": "none", "mask_ratio": 0.0, "mask_spread": 0.0, "predictor_hidden": 16},
        **{"batch_size": 8, "lr": 1e-2},
    },
    "moco": {"temperature": 0.1, "queue_size": 4, "momentum": 0.0, "augment": "none", "lr": 3e-3},
    "mochi": {
        **{"temperature": 0.1, "queue_size": 4, "momentum": 0.0, "augment": "none", "lr": 3e-3},
        **{"hardest": 2, "plain_epochs": 9.0},  # mixtures are further candidates, which raise a loss
    },
    "projection-head": {"temperature": 0.02, "lr": 3e-3},
    "simclr": {"temperature": 0.1},
}
"""Settings under which training can take most of a loss away: soft targets have an entropy that is always left, a high
temperature leaves a loss that the best space has, a batch of four may hold one label only, and few steps at a large
rate go up and down."""

YES_OR_NO = ("cross-encoder", "dse")
"""Methods whose column label holds 0 or 1."""


def _triple(i: int, optional: bool) -> dict[str, Any]:
    """A sentence, one that says the same and one of something else, perhaps with how alike they are."""
    thing, other = THINGS[i % 12], THINGS[(5 * i + 7) % 12]
    texts = {
        "text": f"there were {i + 2} of the {thing}s {'on that long day ' * (i % 3)}",
        "positive": f"{i + 2} {thing}s were there",
        "negative": f"nobody has ever painted a {other}",
    }
    return {**texts, "positive_score": 4.5, "negative_score": 0.5} if optional else texts


OWN_ROWS: dict[str, Callable[[int, bool], dict[str, Any]]] = {"multicsr": _triple}
"""Methods whose rows have to mean something, with what makes one."""


def rows(name: str, count: int = 12, optional: bool = False) -> list[dict[str, Any]]:
    """Rows with the columns that a method needs, and perhaps those that it may have."""
    if name in OWN_ROWS:
        return [OWN_ROWS[name](i, optional) for i in range(count)]
    columns = [column for column in get_method(name).columns if column.required or optional]
    return [{column.name: _value(column, i) for column in columns} | _labels(name, columns, i) for i in range(count)]


def _labels(name: str, columns: list[Column], i: int) -> dict[str, Any]:
    """Yes or no, or which of two sets, for methods whose labels are not names of any kind."""
    if name == "bacon":
        return {"label": f"kind {i % 3}" if i % 3 < 2 and i % 2 else None}
    if name == "sepclr":
        return {"target": ("target", "background")[i % 2]}
    wanted = name in YES_OR_NO and any(column.name == "label" for column in columns)
    return {"label": int(i % 12 < 6)} if wanted else {}


def _value(column: Column, i: int) -> Any:
    if column.name == "sentences":  # a document that has a subject
        return [f"a {THINGS[i % 12]} {what} {i}" for what in ("stands here", "was there before", "is not seen again")]
    if column.kind is Text:
        return f"{column.name} about a {THINGS[i % 12]} {'that is long ' * (i % 3)}{i}"
    if column.kind is Label:
        return f"{column.name} {THINGS[i % 3]}"
    if column.kind is Number:
        return float(i % 2)
    if column.kind is Image:  # three kinds of picture, each a little different
        kind, own = (np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8) for seed in (i % 3, 10 + i))
        return np.where(np.arange(8) % 4 < 3, kind, own)
    assert column.kind is Vector
    return [float(i % 2), 0.5]
