"""Which dimensions two classes share: a small network from a pair of labels to a gate in (0, 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from likewise.encoders.batch_norm import BatchNorm

__all__ = ["GateForm", "PairGate"]

GateForm = Literal["fused", "product", "open"]
"""How the gate of a pair is made."""


class PairGate(nn.Module):
    """``g(a, b) = sigmoid( net( (e_a + e_b) / 2 ) )`` with a table of embeddings e of the classes.

    The net is ReLU, batch norm, linear, ReLU, batch norm, linear. It is symmetric in its labels. Averaging embeddings
    and averaging gates are different models: this is the former.

    Args:
        num_classes: Classes, >= 1.
        out_features: Numbers of a gate, those of the vectors it bends, >= 1.
        form: "fused" as above; "product": ``sigmoid(net(e_a)) * sigmoid(net(e_b))``; "open": all ones, without weights.
        embedding_size: Length of an embedding (paper: 512).
        hidden: Width of the net (paper: 1,024).

    Raises:
        ValueError: A size < 1.

    State: table, net and its running statistics. In training the batch norm sees the labels of the batch; look at gates
        in evaluation mode.
    Source: Wu et al. 2024, arXiv 2410.18200; official ``moco/filter.py``.

    Example:
        >>> gate = PairGate(3, 4, embedding_size=8, hidden=8).eval()
        >>> one, other = torch.tensor([0, 1]), torch.tensor([2, 1])
        >>> bool(torch.equal(gate(one, other), gate(other, one)))
        True
    """

    def __init__(
        self,
        num_classes: int,
        out_features: int,
        *,
        form: GateForm = "fused",
        embedding_size: int = 512,
        hidden: int = 1024,
    ) -> None:
        super().__init__()
        if min(num_classes, out_features, embedding_size, hidden) < 1:
            raise ValueError(
                f"PairGate: {num_classes} classes, {out_features} numbers of a gate, embeddings of {embedding_size}, "
                f"{hidden} between the layers; each is 1 or more."
            )
        self.num_classes, self.out_features, self.form = num_classes, out_features, form
        self.embedding_size, self.hidden = embedding_size, hidden
        self.table: nn.Embedding | None = None
        if form != "open":
            self.table = nn.Embedding(num_classes, embedding_size)
            self.net = nn.Sequential(
                nn.ReLU(),
                BatchNorm(embedding_size),
                nn.Linear(embedding_size, hidden),
                nn.ReLU(),
                BatchNorm(hidden),
                nn.Linear(hidden, out_features),
            )

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """Build the gate that :meth:`kept` described, with its weights, in evaluation mode."""
        gate = cls(**kept["settings"])
        gate.load_state_dict(kept["weights"])
        return gate.eval()

    def kept(self) -> dict[str, Any]:
        """Return settings and weights, as a model's folder keeps them beside the tower."""
        names = ("num_classes", "out_features", "form", "embedding_size", "hidden")
        return {"settings": {name: getattr(self, name) for name in names}, "weights": dict(self.state_dict())}

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the gates ``[B, D]`` of pairs of labels, int64 ``[B]`` each in [0, num_classes).

        Raises:
            ValueError: A label is out of its range or no integer.
        """
        for labels in (first, second):
            if labels.is_floating_point() or (
                len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes
            ):
                raise ValueError(
                    f"PairGate: labels are {labels.tolist()[:5]} ...; integers from 0 to {self.num_classes - 1} are "
                    "accepted."
                )
        if self.table is None:
            return torch.ones(len(first), self.out_features, device=first.device)
        if self.form == "product":
            both = torch.sigmoid(self.net(self.table(torch.cat([first, second]))))
            one, other = both.chunk(2)
            return one * other
        return torch.sigmoid(self.net((self.table(first) + self.table(second)) / 2))
