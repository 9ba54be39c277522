"""Models that read both texts of a pair at once, and score the pair: slow, and the teachers of those that do not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from likewise.encoders.text import TextEncoder
from likewise.encoders.tokens import Tokens

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder as ForeignCrossEncoder

__all__ = ["CrossEncoder", "JointEncoder", "PretrainedCrossEncoder", "weights_digest"]


@runtime_checkable
class CrossEncoder(Protocol):
    """Scores pairs of texts. A teacher is one, and so is a student with its head."""

    @property
    def name(self) -> str:
        """Where it came from, for messages and reports."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of weights and settings: equal fingerprints score equally."""
        ...

    @property
    def score_names(self) -> tuple[str, ...]:
        """What each of the ``C`` scores of a pair is called; empty where it is not known."""
        ...

    @property
    def passes(self) -> int:
        """Texts, or pairs read as one text, that have gone through its transformer."""
        ...

    def score(
        self, pairs: Sequence[tuple[str, str]], *, batch_size: int = 64, precision: str = "fp32", progress: bool = False
    ) -> Tensor:
        """Score pairs in evaluation mode.

        Args:
            pairs: ``n`` of them.
            batch_size: Pairs (or texts) read at a time, >= 1; the result does not depend on it beyond rounding.
            precision: "auto", "bf16" or "fp32"; a model of another library computes in its own format.
            progress: Show a progress bar on stderr.

        Returns:
            float32 ``[n, C]`` on the CPU: logits, before any sigmoid or softmax.
        """
        ...


class JointEncoder(nn.Module):
    """A text tower that reads pairs, and a linear layer from its features to the scores of a pair.

    Args:
        encoder: The tower; of its pooling, what comes before a trailing normalisation is read.
        num_scores: Scores of a pair, ``C``.
        dropout: Probability with which a feature is dropped in training, in [0, 1).
        score_names: What each score is called.

    State: the weights of both; fresh ones of the layer are drawn from N(0, 0.02), its bias is 0, as for BERT.
    """

    def __init__(
        self, encoder: TextEncoder, num_scores: int, *, dropout: float = 0.1, score_names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.dim, num_scores)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.score_names = tuple(score_names)
        self.passes = 0

    @property
    def name(self) -> str:
        """Where the tower came from."""
        return self.encoder.name

    @property
    def fingerprint(self) -> str:
        """Digest of tower and head."""
        return weights_digest(self.encoder.fingerprint, self.head, self.score_names)

    def forward(self, pairs: Tokens) -> Tensor:
        """Score ``B`` tokenised pairs; returns ``[B, C]``."""
        scores: Tensor = self.head(self.dropout(self.encoder(pairs)))
        return scores

    def score(
        self, pairs: Sequence[tuple[str, str]], *, batch_size: int = 64, precision: str = "fp32", progress: bool = False
    ) -> Tensor:
        """Score pairs in evaluation mode; see :class:`CrossEncoder`."""
        tokens = self.encoder.tokenizer.pairs([a for a, _ in pairs], [b for _, b in pairs])
        was_training = self.training
        self.eval()
        try:
            features = self.encoder.encode_tokens(tokens, batch_size=batch_size, precision=precision, progress=progress)
            with torch.inference_mode():
                scores: Tensor = self.head(features.to(self.head.weight.device)).float().cpu()
        finally:
            self.train(was_training)
        self.passes += len(pairs)
        return scores.clone()


class PretrainedCrossEncoder:
    """A ``CrossEncoder`` of sentence-transformers, or a sequence classifier of transformers.

    Loaded by :func:`likewise.encoders.load_cross_encoder`.

    Args:
        model: The model of sentence-transformers.
        name: Where it came from.
    """

    def __init__(self, model: ForeignCrossEncoder, name: str) -> None:
        self.model = model
        self._name = name
        self.passes = 0

    @property
    def name(self) -> str:
        """Where it came from."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """Digest of all weights."""
        return weights_digest("", self.model, self.score_names, str(self.model.max_seq_length))

    @property
    def score_names(self) -> tuple[str, ...]:
        """The names of its classes, where its configuration has some of its own."""
        named: dict[int, str] = getattr(getattr(self.model, "config", None), "id2label", None) or {}
        names = tuple(str(named[place]) for place in sorted(named))
        invented = all(name.lower().startswith("label_") for name in names)
        return () if invented or len(names) != self.model.num_labels else names

    def score(
        self, pairs: Sequence[tuple[str, str]], *, batch_size: int = 64, precision: str = "fp32", progress: bool = False
    ) -> Tensor:
        """Score pairs in evaluation mode; see :class:`CrossEncoder`."""
        if not pairs:
            return torch.zeros(0, self.model.num_labels)
        listed: Any = [(a, b) for a, b in pairs]
        scores = self.model.predict(
            listed,
            batch_size=batch_size,
            show_progress_bar=progress,
            activation_fn=nn.Identity(),  # logits, whatever the model's own activation is
            convert_to_tensor=True,
        )
        self.passes += len(pairs)
        return scores.float().cpu().reshape(len(pairs), -1).clone()


def weights_digest(start: str, module: nn.Module, *more: Any) -> str:
    """Return a digest of a module's weights, after and before other things that scores depend on."""
    digest = hashlib.blake2b(start.encode(), digest_size=16)
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    digest.update(repr(more).encode())
    return digest.hexdigest()
