"""Which actions an utterance is nearest to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.data.utterances import plain_utterance
from likewise.errors import InputError
from likewise.products.base import Product, ProductResult

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from likewise.artefact import Model

__all__ = ["NearestActions", "kept_actions", "utterance_vectors"]


@dataclass(frozen=True)
class NearestActions(Product):
    """Name what an utterance does, by the training data's actions whose examples it is nearest to."""

    summary: ClassVar[str] = "Name what an utterance does: the nearest actions of the training data"
    argument: ClassVar[str | None] = "utterance"

    utterance: str = ""
    """What somebody says."""
    k: int = 5
    """How many actions are named, >= 1."""

    def run(self, model: Model) -> ProductResult:
        """Rank the actions by cosine.

        Raises:
            InputError: There is no utterance, ``k`` is out of its range, or the model keeps no actions.
        """
        if not self.utterance.strip():
            raise InputError("no utterance was given; write what somebody says, in quotes.")
        if self.k < 1:
            raise InputError(f"k is {self.k}; at least 1 is accepted.")
        names, centres = kept_actions(model)
        cosines = centres @ utterance_vectors(model, [self.utterance])[0]
        best = cosines.topk(min(self.k, len(names)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return ProductResult(rows=[{"action": names[i], "cosine": round(cosine, 4)} for i, cosine in pairs])


def kept_actions(model: Model) -> tuple[list[str], Float[Tensor, "C D"]]:
    """Return the names of the actions that a model was trained on, and the direction of each, of unit norm.

    Raises:
        InputError: The model keeps none.
    """
    import torch

    actions: dict[str, Any] = model.kept.get("actions", {})
    if not actions:
        raise InputError(f"the model in '{model.folder}' keeps no actions; a model that dialog2flow has trained does.")
    centres = torch.stack(list(actions.values())).float()
    return list(actions), torch.nn.functional.normalize(centres, dim=1)


def utterance_vectors(model: Model, utterances: list[str], *, progress: bool = False) -> Float[Tensor, "n D"]:
    """Embed utterances as the model has read them in training."""
    if model.kept.get("normalise", True):
        utterances = [plain_utterance(text) or text for text in utterances]
    return model.text_encoder.encode(utterances, progress=progress)
