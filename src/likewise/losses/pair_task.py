"""What pairs of texts are scored for, in one place: labels to targets, scores to losses and to answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from likewise.errors import InputError

__all__ = ["PairTask", "TaskKind"]

TaskKind = Literal["binary", "classes", "regression"]

_BINARY = ("0", "1")
_SAID = {"false": "0", "true": "1", "no": "0", "yes": "1"}


@dataclass(frozen=True)
class PairTask:
    """What a pair's scores say.

    ======================  ==========================  ========================  =================================
    kind                    labels                      scores                    loss of a pair
    ======================  ==========================  ========================  =================================
    binary                  0 / 1 (no / yes)            one: log-odds of yes      cross-entropy of the sigmoid
    classes                 names                       one a class: logits       cross-entropy of the softmax
    regression              numbers                     one, in the labels' unit  squared difference
    ======================  ==========================  ========================  =================================

    Args:
        kind: "binary", "classes" or "regression".
        classes: Names of the labels, in the order of the scores; of two for binary the second is the yes. Empty for
            regression.

    Raises:
        InputError: The number of classes does not fit the kind.

    Example:
        >>> task = PairTask("classes", ("no", "maybe", "yes"))
        >>> task.num_scores, task.target("maybe", "row 0")
        (3, 1.0)
    """

    kind: TaskKind
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes):
            raise InputError(f"classes are {', '.join(self.classes)}; each has a name of its own.")
        fits = {"binary": len(self.classes) == 2, "classes": len(self.classes) >= 2, "regression": not self.classes}
        if not fits[self.kind]:
            wanted = {"binary": "two, the second is the yes", "classes": "at least two", "regression": "none"}
            raise InputError(
                f"classes are {', '.join(self.classes) or 'not given'}; for --task {self.kind} give "
                f"{wanted[self.kind]}."
            )

    @classmethod
    def of(cls, kind: TaskKind, classes: Sequence[str] = ()) -> PairTask:
        """Make a task; the classes of a binary one are 0 and 1 where none are given.

        Args:
            kind: "binary", "classes" or "regression".
            classes: Names in the order of the scores.
        """
        return cls(kind, _BINARY if kind == "binary" and not classes else tuple(classes))

    @property
    def num_scores(self) -> int:
        """Scores of a pair, ``C``."""
        return len(self.classes) if self.kind == "classes" else 1

    @property
    def score_names(self) -> tuple[str, ...]:
        """What each score of a pair is called."""
        return self.classes if self.kind == "classes" else ("score",)

    def target(self, label: Any, where: str) -> float:
        """Return a label as a number: 0 or 1, the place among the classes, or the label itself.

        Args:
            label: As the data hold it.
            where: Which row it is, for the message.

        Raises:
            InputError: It is no label of this task.
        """
        if self.kind == "regression":
            try:
                value = float(label)
            except ValueError:
                value = float("nan")
            if not np.isfinite(value):
                raise InputError(f"{where}: column 'label' is {label!r}; for --task regression it is a finite number.")
            return value
        name = str(label)
        if name not in self.classes and self.classes == _BINARY:
            name = _SAID.get(name.lower(), name)
        if name not in self.classes:
            raise InputError(
                f"{where}: column 'label' is {label!r}; accepted are {', '.join(self.classes)}. Correct the label, or "
                "say with --classes which there are."
            )
        return float(self.classes.index(name))

    def targets(self, labels: Sequence[Any], where: Callable[[int], str]) -> tuple[list[float], list[bool]]:
        """Return the labels of many rows as numbers, 0 where a row has none, and which rows have one.

        Args:
            labels: As the data hold them, None where there is none.
            where: Says which row a number is, for messages.
        """
        has_label = [label is not None for label in labels]
        values = [
            self.target(label, where(row)) if has else 0.0
            for row, (label, has) in enumerate(zip(labels, has_label, strict=True))
        ]
        return values, has_label

    def losses(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each pair ``[B]``; of ``scores [B, C]`` and ``target [B]`` as :meth:`target` gives it."""
        if self.kind == "binary":
            return F.binary_cross_entropy_with_logits(scores[:, 0], target.to(scores.dtype), reduction="none")
        if self.kind == "classes":
            return F.cross_entropy(scores, target.long(), reduction="none")
        return (scores[:, 0] - target.to(scores.dtype)) ** 2

    def reduced(self, scores: NDArray[np.float32], classes: Sequence[str], of: str) -> NDArray[np.float32]:
        """Bring the scores that something gives into this task's form.

        A model with two logits for yes and no is brought to the one logit ``yes - no``.

        Args:
            scores: ``[n, K]``.
            classes: What the model calls its scores; empty where it does not say.
            of: Whose scores they are, for the message.

        Returns:
            ``[n, C]``.

        Raises:
            InputError: The width does not fit, or the model's classes are others.

        Example:
            >>> PairTask.of("binary").reduced(np.array([[0.2, 1.7]], dtype=np.float32), (), "the teacher")
            array([[1.5]], dtype=float32)
        """
        width = scores.shape[1]
        if self.kind != "regression" and len(classes) == width == len(self.classes):
            if set(classes) != set(self.classes):
                raise InputError(
                    f"{of} scores {', '.join(classes)}, but the classes here are {', '.join(self.classes)}. Give "
                    "--classes the teacher's names, in any order, or take another teacher."
                )
            scores = scores[:, [list(classes).index(name) for name in self.classes]]
        if self.kind == "binary" and width == 2:
            return scores[:, 1:] - scores[:, :1]
        if width != self.num_scores:
            also = " (or two, for no and yes)" if self.kind == "binary" else ""
            raise InputError(
                f"{of} gives {width} scores a pair; --task {self.kind} takes {self.num_scores}{also}. Choose the task "
                "that these scores are of."
            )
        return scores

    def answers(self, scores: Tensor) -> Tensor:
        """Return what is answered: the class, int64 ``[n]``, or the number, ``[n]``."""
        if self.kind == "regression":
            return scores[:, 0]
        return (scores[:, 0] > 0).long() if self.kind == "binary" else scores.argmax(dim=1)

    def as_dict(self) -> dict[str, Any]:
        """Return the arguments as plain values."""
        return {"kind": self.kind, "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> PairTask:
        """Make a task from what :meth:`as_dict` gave."""
        return cls(content["kind"], tuple(content["classes"]))
