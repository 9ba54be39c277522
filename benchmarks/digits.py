"""The stand-in that studies of methods on pictures share: scikit-learn's digits, and layers over their pixels.

1,797 handwritten digits of 8 x 8 pixels, 1,300 to train on and 497 to test (``demo:digits``). The tower: two linear
layers of 256 with batch norm and ReLU, fresh; views are shifted, resized, noisy and have a hole (``glyph``). Measured
on the digits held out: a linear probe and nearest neighbours, both fitted to the features of the training digits with
their labels; one and five labels a class, over 600 draws of them (the nearest class mean); and the geometry of the
space with the digits as classes, so that its ``tolerance`` is the mean cosine within a class. Layers that were never
trained tell nearly all digits by their neighbours where all training digits have labels: few labels show more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TRAIN, TEST = "demo:digits:train", "demo:digits:test"
ORIGIN = "scikit-learn's digits (UCI, Optical Recognition of Handwritten Digits), 1,300 to train on and 497 to test"
SHARED: Mapping[str, Any] = {
    "encoder": "mlp-256-256",
    "image_size": 8,
    "channels": 1,
    "augment": "glyph",
    "batch_size": 128,
    "lr": 1e-3,
    "weight_decay": 0.0,
    "warmup": 0.0,
    "schedule": "constant",
    "checkpoint_every": 100_000,
    "precision": "fp32",
}
"""Settings of every arm; a study may put its own in their place."""


def digit_study(
    name: str,
    about: str,
    arms: Mapping[str, Mapping[str, Any]],
    *,
    baseline: str,
    steps: int,
    seeds: int | Sequence[int],
    data: str = TRAIN,
    parts: tuple[str, str] = (TRAIN, TEST),
    **shared: Any,
) -> dict[str, Any]:
    """Return a study on digits, as ``likewise.studies.study`` takes it.

    Args:
        name: Its title.
        about: Its question.
        arms: What is compared.
        baseline: Name of the arm that the others are compared with.
        steps: Optimiser steps of every arm; 10 batches of 128 are an epoch.
        seeds: How many seeds, from 0, or which.
        data: What is trained on.
        parts: What measures are fitted on, and what is measured.
        **shared: Settings of every arm beside :data:`SHARED`, or in their place.
    """
    train, test = parts
    fitted = {"data": test, "train": train}
    return {
        "name": name,
        "about": about,
        "data": data,
        "arms": arms,
        "baseline": baseline,
        "budget": {"steps": steps},
        "seeds": seeds if isinstance(seeds, int) else list(seeds),
        "shared": {**SHARED, **shared},
        "evaluate": [
            {"task": "probe", **fitted, "name": "linear probe"},
            {"task": "knn", **fitted, "name": "nearest neighbours"},
            *(
                {"task": "few_shot", "data": test, "ways": 10, "shots": shots, "name": f"labels of a class: {shots}"}
                for shots in (1, 5)
            ),
        ],
        "space": {"data": test},
    }
