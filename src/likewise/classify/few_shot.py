"""A classifier made of a few examples of each class, for any model."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
import torch

from likewise.encoders import ImageEncoder
from likewise.encoders.image import stored_image
from likewise.errors import InputError, unknown
from likewise.evaluation.alignment import align_prototypes, centred
from likewise.evaluation.prototypes import Nearest, prototype_scores
from likewise.evaluation.vectors import unit_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from likewise.encoders import Embedder

__all__ = ["FewShotClassifier", "Told"]

logger = logging.getLogger(__name__)

UNEVEN = 2.0
"""From this many times its even share on, a class is too frequent for an alignment that takes all to be alike; or, of
few classes, from half way between its share and all items on."""


@dataclass(frozen=True)
class Told:
    """What items were told to be.

    Args:
        labels: Of each item the class with the highest score.
        scores: ``[items, classes]``, in the order of the classifier's ``classes``; higher is nearer. They compare the
            classes of one item, and are no probabilities.
        margins: By how much the first class of each item is ahead of its second; small where it is unsure.
    """

    labels: list[str]
    scores: NDArray[np.float64]
    margins: NDArray[np.float64]


class FewShotClassifier:
    """Tell classes by the mean of a few examples of each; nothing is trained.

    An item has the class whose mean of the examples' unit vectors is nearest. With ``align`` all vectors are centred
    over their own numbers, and the means are moved to where the items of one call of :meth:`predict` lie, all of these
    together, which takes the classes to be about equally frequent among them. It is that of one example (five passes,
    nothing of the means stays) as soon as one class has only one.

    Args:
        embedder: The model, of texts or of pictures.
        nearest: "euclidean", "dot" or "logistic" (:func:`likewise.evaluation.prototypes.prototype_scores`).
        align: Whether the means are moved to the items.
        batch_size: Items encoded at a time, >= 1.
        precision: How items are encoded: "auto", "bf16" or "fp32".

    Raises:
        InputError: ``nearest`` is none of these, or batch_size < 1.

    Cost: an encoder's pass for each example and item; O(items x classes x D) to compare. Alignment goes up to 1,000
        times over a table of classes x items.
    Source: Snell et al. 2017, Prototypical Networks, arXiv 1703.05175; alignment: Poulakakis-Daktylidis, Jamali-Rad
        2024 (BECLR), arXiv 2402.02444, section 4.2.

    Example:
        >>> classifier = FewShotClassifier(likewise.load("all-MiniLM-L6-v2"))  # doctest: +SKIP
        >>> examples = ["a cat sleeps", "stocks fell today"]
        >>> classifier.fit(examples, ["animals", "markets"]).predict(["two dogs bark"]).labels  # doctest: +SKIP
        ['animals']
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        nearest: Nearest = "euclidean",
        align: bool = False,
        batch_size: int = 256,
        precision: str = "auto",
    ) -> None:
        if nearest not in get_args(Nearest):
            raise unknown("way to tell the nearest class", nearest, get_args(Nearest))
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        self.embedder, self.nearest, self.align = embedder, nearest, align
        self.batch_size, self.precision = batch_size, precision
        self.classes: tuple[str, ...] = ()
        """Names of the classes, sorted; none before :meth:`fit`."""
        self.shots: dict[str, int] = {}
        """How many examples each has."""
        self._prototypes = torch.zeros(0, 0, dtype=torch.float64)

    def fit(self, inputs: Sequence[Any], labels: Sequence[str], *, name: str = "examples") -> Self:
        """Take the mean of the examples of each class; what was fitted before is forgotten.

        Args:
            inputs: Texts, or pictures.
            labels: The class of each.
            name: What a message calls them.

        Raises:
            InputError: There are not as many labels as inputs, fewer than two classes, or a vector is zero or not
                finite.
        """
        _refuse_a_single_one(inputs)
        if len(inputs) != len(labels):
            raise InputError(f"{name}: there are {len(inputs)} inputs and {len(labels)} labels; give one for each.")
        shots = Counter(labels)
        if len(shots) < 2:
            raise InputError(f"{name}: examples are of {len(shots)} class; at least 2 classes are needed.")
        vectors = self._vectors(inputs, name)
        self.classes = tuple(sorted(shots))
        self.shots = {one: shots[one] for one in self.classes}
        places = {one: place for place, one in enumerate(self.classes)}
        of = torch.tensor([places[label] for label in labels])
        self._prototypes = torch.stack([vectors[of == place].mean(dim=0) for place in range(len(places))])
        return self

    def predict(self, inputs: Sequence[Any], *, name: str = "items") -> Told:
        """Tell the class of each item.

        With ``align`` what an item is told to be depends on the other items, and a warning says so where one class has
        far more of them than its even share.

        Args:
            inputs: Texts, or pictures.
            name: What a message calls them.

        Raises:
            InputError: Nothing was fitted, there are no items, with ``align`` fewer items than classes, or a vector is
                zero or not finite.
        """
        if not self.classes:
            raise InputError("the classifier has no examples yet; call fit first.")
        _refuse_a_single_one(inputs)
        if not len(inputs):
            raise InputError(f"{name}: there are none; give at least one.")
        vectors, prototypes = self._vectors(inputs, name), self._prototypes
        if self.align:
            if len(inputs) < len(self.classes):
                raise InputError(
                    f"{name}: there are {len(inputs)} for {len(self.classes)} classes, and alignment takes every class "
                    "to have some; leave align out."
                )
            self._look_whether_even(prototype_scores(prototypes.numpy(), vectors.numpy(), self.nearest), name)
            prototypes = align_prototypes(prototypes, vectors, shots=min(self.shots.values()))
        scores = prototype_scores(prototypes.numpy(), vectors.numpy(), self.nearest)
        best = np.sort(scores, axis=1)[:, -2:]
        labels = [self.classes[place] for place in scores.argmax(axis=1)]
        return Told(labels, scores, best[:, 1] - best[:, 0])

    def _vectors(self, inputs: Sequence[Any], name: str) -> torch.Tensor:
        if isinstance(self.embedder, ImageEncoder):
            inputs = [stored_image(one) for one in inputs]  # in any form, and such that equal ones are found
        vectors = unit_vectors(self.embedder, inputs, name=name, batch_size=self.batch_size, precision=self.precision)
        if not self.align:
            return vectors
        try:
            return centred(vectors)
        except ValueError as error:
            raise InputError(f"{name}: {str(error).removeprefix('centred: ')} Or leave align out.") from None

    def _look_whether_even(self, scores: NDArray[np.float64], name: str) -> None:
        counts = np.bincount(scores.argmax(axis=1), minlength=len(self.classes))
        most, even = int(counts.argmax()), len(scores) / len(self.classes)
        if counts[most] >= min(UNEVEN * even, (even + len(scores)) / 2):
            logger.warning(
                "%s: without alignment %d of %d are told to be '%s', and alignment takes all %d classes to be about "
                "equally frequent; where they are not it does harm, and is better left out",
                name,
                counts[most],
                len(scores),
                self.classes[most],
                len(self.classes),
            )


def _refuse_a_single_one(inputs: Any) -> None:
    if isinstance(inputs, str | bytes | PathLike):
        raise InputError(f"a list of inputs is accepted, and {inputs!r:.80} is one; write [{inputs!r:.20} ...].")
