"""Pooling over the tokens of the last layers, side by side or averaged: what DSE makes of a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from likewise.errors import InputError

__all__ = ["TopLayersPool"]

Mode = Literal["concat", "mean"]
Reduce = Literal["mean", "sqrt", "max"]
_SETTINGS = "config.json"


class TopLayersPool(nn.Module):
    """Pool the tokens of the last ``m`` layers; the first token is left out unless asked for, the last one is not.

    With ``h_t`` the hidden states of token t in the last m layers, laid side by side (``concat``, width ``m H``) or
    averaged (``mean``, width ``H``), over the ``n`` tokens that count::

        mean  sum_t h_t / n        sqrt  sum_t h_t / sqrt(n)        max  max_t h_t

    It is a module of a ``SentenceTransformer`` whose transformer hands out all of its layers
    (:meth:`likewise.encoders.TextEncoder.pooled_by`), for texts laid end to end and for padded ones alike.

    Args:
        m: How many of the last layers, >= 1.
        mode: How layers are put together.
        reduce: How tokens are.
        use_cls: Whether the first token ([CLS]) counts.
        width: Length of a hidden state, ``H``.

    Raises:
        ValueError: m < 1, or an unknown mode or reduction.

    Source: Barkan et al. 2020 (DSE), arXiv 1908.05161, section 3.2; all twelve variants of the official
        ``Bert*TopHiddenEmbeddingsPooler``.

    Example:
        >>> pool = TopLayersPool(1, width=2)
        >>> tokens = torch.tensor([[[9.0, 9.0], [1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
        >>> features = {"all_layer_embeddings": (tokens,), "attention_mask": torch.tensor([[1, 1, 1, 0]])}
        >>> pool(features)["sentence_embedding"]
        tensor([[2., 3.]])
    """

    def __init__(
        self, m: int, mode: Mode = "concat", reduce: Reduce = "mean", use_cls: bool = False, *, width: int
    ) -> None:
        super().__init__()
        if m < 1:
            raise ValueError(f"TopLayersPool: m is {m}; it is the number of layers, 1 or more.")
        for name, value, known in (("mode", mode, get_args(Mode)), ("reduce", reduce, get_args(Reduce))):
            if value not in known:
                raise ValueError(f"TopLayersPool: {name} is '{value}'; accepted are {', '.join(known)}.")
        self.m, self.mode, self.reduce, self.use_cls, self.width = m, mode, reduce, use_cls, width

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments it was made with."""
        return {"m": self.m, "mode": self.mode, "reduce": self.reduce, "use_cls": self.use_cls, "width": self.width}

    @property
    def pooling_mode(self) -> str:
        """The settings in one word, as poolings of sentence-transformers name theirs; a fingerprint reads it."""
        return " ".join(f"{name}={value}" for name, value in self.settings.items())

    def get_embedding_dimension(self) -> int:
        """Return the length of an embedding."""
        return self.width * (self.m if self.mode == "concat" else 1)

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Add ``sentence_embedding [B, D]`` in float32 (float64 for float64) to what the transformer says.

        Raises:
            ValueError: The transformer hands out fewer layers than are pooled.
            InputError: A text has no token that counts.
        """
        layers = features["all_layer_embeddings"]
        if len(layers) <= self.m - (self.m == 1):  # the first entry is no layer's, but the embedding of the tokens
            raise ValueError(f"TopLayersPool: {self.m} layers are pooled, but the encoder has {len(layers) - 1}.")
        top = [layer if layer.dtype == torch.float64 else layer.float() for layer in layers[-self.m :]]
        hidden = torch.cat(top, dim=-1) if self.mode == "concat" else torch.stack(top).mean(dim=0)
        if "cu_seq_lens_q" in features:  # texts end to end
            tokens, lengths = hidden[0], features["cu_seq_lens_q"].diff()
        else:
            filled = features["attention_mask"].bool()
            tokens, lengths = hidden[filled], filled.sum(dim=1)
        features["sentence_embedding"] = self._pooled(tokens, lengths)
        return features

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Write the settings into a folder, as modules of sentence-transformers do."""
        Path(output_path).mkdir(parents=True, exist_ok=True)
        Path(output_path, _SETTINGS).write_text(json.dumps(self.settings, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **hub: Any) -> TopLayersPool:
        """Read what :meth:`save` wrote, from a folder or the model hub."""
        from sentence_transformers.util import load_file_path

        known = ("token", "cache_folder", "revision", "local_files_only")
        asked = {name: hub[name] for name in known if name in hub}
        path = load_file_path(model_name_or_path, _SETTINGS, subfolder=subfolder, **asked)
        if path is None:
            raise InputError(f"{model_name_or_path} has no {subfolder}/{_SETTINGS}; the model is not whole.")
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def _pooled(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Pool tokens ``[T, D]`` of texts that are laid end to end."""
        text = torch.repeat_interleave(torch.arange(len(lengths), device=tokens.device), lengths)
        if not self.use_cls:
            kept = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
            kept[(lengths.cumsum(0) - lengths)[lengths > 0]] = False
            tokens, text, lengths = tokens[kept], text[kept], (lengths - 1).clamp(min=0)
        if not bool((lengths > 0).all()):
            raise InputError("a text has no token left to pool over; every text needs at least one. Remove such rows.")
        pooled = tokens.new_zeros(len(lengths), tokens.shape[1])
        if self.reduce == "max":
            return pooled.scatter_reduce(0, text[:, None].expand_as(tokens), tokens, "amax", include_self=False)
        number = lengths[:, None].to(tokens.dtype)
        return pooled.index_add(0, text, tokens) / (number.sqrt() if self.reduce == "sqrt" else number)

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())
