"""Heads between a tower and a loss whose every layer can be read, to see which of them makes the best model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from likewise.errors import unknown
from likewise.heads.projector import hidden_layer, last_layer
from likewise.heads.reweight import FixedReweight
from likewise.heads.symmetric_relu import SymmetricReLU

__all__ = ["POST", "PRE", "HeadKind", "TappedHead"]

HeadKind = Literal["none", "linear", "mlp", "mlp3", "symrelu", "reweight"]
"""What a head consists of."""

PRE, POST = "pre", "post"
"""Names of what comes in and of what goes out."""


class TappedHead(nn.Module):
    """A head with named taps: ``pre`` is what comes in, ``layer1`` and so on what each layer gives, ``post`` goes out.

    ========  ==================================================  ==========================
    kind      layers                                              taps
    ========  ==================================================  ==========================
    none      none: the loss sees the features                    pre = post
    linear    one linear layer                                    pre, post
    mlp       linear, ReLU; linear                                pre, layer1, post
    mlp3      linear, ReLU; linear, ReLU; linear                  pre, layer1, layer2, post
    symrelu   linear, :class:`SymmetricReLU`; linear; both square pre, layer1, post
              and the identity at the start
    reweight  :class:`FixedReweight`                              pre, post
    ========  ==================================================  ==========================

    The tap of a layer lies behind its non-linearity. There is no batch norm unless it is asked for: behind the last
    layer it makes all directions alike again.

    Args:
        kind: One of the above.
        in_features: Length of a feature, ``D``.
        hidden: Length of what is between the layers (mlp, mlp3); None: ``in_features``.
        out_features: Length of what goes out (linear, mlp, mlp3); None: ``in_features``.
        kappa: Ratio of neighbouring weights (reweight), >= 1.
        batch_norm: Whether batch norm, over the rows of all processes, stands before each ReLU (mlp, mlp3).
        last_norm: Whether batch norm without weights follows the last layer (linear, mlp, mlp3).

    Raises:
        InputError: An unknown kind.
        ValueError: A width < 1; a head that keeps the length of a feature with another one; or a kappa < 1.

    Source: Xue et al. 2024, arXiv 2403.11391.

    Example:
        >>> head = TappedHead("mlp", 8, hidden=16, out_features=4)
        >>> {name: list(tap.shape) for name, tap in head.taps(torch.zeros(2, 8)).items()}
        {'pre': [2, 8], 'layer1': [2, 16], 'post': [2, 4]}
    """

    def __init__(
        self,
        kind: HeadKind,
        in_features: int,
        *,
        hidden: int | None = None,
        out_features: int | None = None,
        kappa: float = 1.05,
        batch_norm: bool = False,
        last_norm: bool = False,
    ) -> None:
        super().__init__()
        if kind not in get_args(HeadKind):
            raise unknown("head", kind, get_args(HeadKind))
        hidden, out_features = hidden or in_features, out_features or in_features
        if min(in_features, hidden, out_features) < 1:
            raise ValueError(f"TappedHead: widths are {in_features}, {hidden}, {out_features}; each is 1 or more.")
        if kind in ("none", "symrelu", "reweight") and {hidden, out_features} != {in_features}:
            raise ValueError(
                f"TappedHead: a head '{kind}' keeps the {in_features} numbers of a feature, but {hidden} between its "
                f"layers and {out_features} behind them are asked for; leave hidden and out_features out."
            )
        if kind in ("none", "symrelu", "reweight") and (batch_norm or last_norm):
            raise ValueError(f"TappedHead: a head '{kind}' has no layers for batch norm; leave it out.")
        self.kind, self.in_features, self.out_features, self.kappa = kind, in_features, out_features, kappa
        self.hidden, self.batch_norm, self.last_norm = hidden, batch_norm, last_norm
        layers: list[nn.Module]
        if kind == "reweight":
            layers = [FixedReweight(in_features, kappa)]
        elif kind == "symrelu":
            layers = [nn.Sequential(_identity(in_features), SymmetricReLU()), _identity(in_features)]
        else:
            widths = [in_features, *[hidden] * {"none": -1, "linear": 0, "mlp": 1, "mlp3": 2}[kind]]
            layers = [
                nn.Sequential(*hidden_layer(before, behind, batch_norm=batch_norm))
                for before, behind in itertools.pairwise(widths)
            ]
            if kind != "none":
                layers.append(nn.Sequential(*last_layer(widths[-1], out_features, norm=last_norm)))
        names = [*(f"layer{number}" for number in range(1, len(layers))), POST][: len(layers)]
        self.layers = nn.ModuleDict(dict(zip(names, layers, strict=True)))

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """Build the head that :meth:`kept` described, with its weights, in evaluation mode."""
        settings = dict(kept["settings"])
        head = cls(settings.pop("kind"), settings.pop("in_features"), **settings)
        head.load_state_dict(kept["weights"])
        return head.eval()

    @property
    def settings(self) -> dict[str, Any]:
        """What it was built from."""
        names = ("kind", "in_features", "hidden", "out_features", "kappa", "batch_norm", "last_norm")
        return {name: getattr(self, name) for name in names}

    def kept(self) -> dict[str, Any]:
        """Return settings and weights, as a model's folder keeps them beside the tower."""
        return {"settings": self.settings, "weights": dict(self.state_dict())}

    @property
    def tap_names(self) -> tuple[str, ...]:
        """The taps in their order, ``pre`` first and ``post`` last."""
        return (PRE, *self.layers) if len(self.layers) else (PRE, POST)

    def width(self, tap: str) -> int:
        """Return how many numbers a tap has.

        Raises:
            InputError: There is no such tap.
        """
        self._check(tap)
        return self.in_features if tap == PRE else self.out_features if tap == POST else self.hidden

    def taps(self, features: Tensor) -> dict[str, Tensor]:
        """Return what every tap gives for ``features [B, D]``, in their order."""
        return dict(self._walk(features))

    def forward(self, features: Tensor, tap: str = POST) -> Tensor:
        """Map ``features [B, D]`` to what a tap gives.

        Raises:
            InputError: There is no such tap.
        """
        self._check(tap)
        return next(given for name, given in self._walk(features) if name == tap)

    def project(self) -> None:
        """Bring weights that have a range back into it; what follows an optimiser's step."""
        for module in self.modules():
            if isinstance(module, SymmetricReLU):
                module.project()

    def _walk(self, features: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield PRE, features
        for name, layer in self.layers.items():
            features = layer(features)
            yield name, features
        if not len(self.layers):
            yield POST, features

    def _check(self, tap: str) -> None:
        if tap not in self.tap_names:
            raise unknown(f"tap of a head '{self.kind}'", tap, self.tap_names)


def _identity(dim: int) -> nn.Linear:
    layer = nn.Linear(dim, dim)
    with torch.no_grad():
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layer
