"""What stands in front of a text: a prompt of words for each role, and a soft prompt whose vectors are learned."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from likewise.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["ANY_TEXT", "add_soft_prompt", "add_words", "set_prompts", "with_plain_words"]

ANY_TEXT = "default"
"""Name of the prompt of texts that have no role."""


def set_prompts(
    tower: SentenceTransformer, prompt: str | None = None, *, query: str | None = None, document: str | None = None
) -> None:
    """Change the prompts of a tower in place; what is not given stays.

    Args:
        tower: The tower.
        prompt: For every text, whatever its role.
        query: For queries, instead of it.
        document: For documents, instead of it.
    """
    if prompt is not None:
        tower.prompts |= {ANY_TEXT: prompt, "query": prompt, "document": prompt}
        tower.default_prompt_name = ANY_TEXT if prompt else None
    for role, own in (("query", query), ("document", document)):
        if own is not None:
            tower.prompts[role] = own


def add_soft_prompt(tower: SentenceTransformer, count: int, *, freeze: bool = False) -> None:
    """Put learned tokens in front of every prompt of a tower, in place.

    They are new tokens of the vocabulary, so that a saved tower is one like any other. Each begins with the vector of a
    word drawn from the vocabulary by torch's generator.

    Args:
        tower: The tower.
        count: How many, >= 0.
        freeze: Keep every other weight of the tower as it is.

    Raises:
        InputError: ``count`` is negative, or the tower has no vocabulary to add to.

    Source: Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning", arXiv 2104.08691, section 2
        (vectors in front of the input, the rest frozen; begun from the vocabulary's).
    """
    if count < 0:
        raise InputError(f"soft_prompt is {count}; it is the number of learned tokens, 0 or more.")
    if freeze:
        tower.requires_grad_(False)
    if not count:
        return
    tokenizer: Any = tower.tokenizer
    special = set(getattr(tokenizer, "all_special_ids", ()))
    known = sorted(number for number in getattr(tokenizer, "get_vocab", dict)().values() if number not in special)
    drawn = [known[place] for place in torch.randint(max(len(known), 1), (count,)).tolist()] if known else []
    names = [f"[soft{number}]" for number in range(1, count + 1)]
    add_words(tower, names, drawn)
    words: Any = getattr(tower[0], "auto_model").get_input_embeddings()  # noqa: B009 - mypy knows no such attribute
    if freeze:
        words.weight.requires_grad_(False)
        parametrize.register_parametrization(words, "weight", _LastRows(words.weight[-count:]))
    front = "".join(names)
    for role in (ANY_TEXT, "query", "document"):
        tower.prompts[role] = front + (tower.prompts.get(role) or "")
    tower.default_prompt_name = ANY_TEXT


def add_words(tower: SentenceTransformer, names: Sequence[str], like: Sequence[int]) -> list[int]:
    """Add special tokens to the vocabulary of a tower, in place; each begins with the vector of another token.

    Args:
        tower: The tower.
        names: What the tokens are called: "[soft1]".
        like: Ids of the tokens whose vectors they begin with, as many.

    Returns:
        Their ids.

    Raises:
        InputError: The tower has no vocabulary to add to, or a token of this name already.
    """
    model: Any = getattr(tower[0], "auto_model", None)
    tokenizer: Any = tower.tokenizer
    if model is None or not hasattr(tokenizer, "add_tokens"):
        raise InputError("this encoder has no vocabulary that tokens can be added to; use one with a transformer.")
    from tokenizers import AddedToken

    taken = [name for name in names if name in tokenizer.get_vocab()]
    if taken:
        raise InputError(f"the encoder has a token '{taken[0]}' already; begin with an encoder that has not.")
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True)
    ids = [int(number) for number in tokenizer.convert_tokens_to_ids(list(names))]
    model.resize_token_embeddings(max(len(tokenizer), *ids), mean_resizing=False)
    words = model.get_input_embeddings()
    with torch.no_grad():
        words.weight[ids] = words.weight[list(like)]
    return ids


def with_plain_words(tower: SentenceTransformer) -> SentenceTransformer:
    """Return the tower with one table of words, as it is saved: a copy where its last rows are trained alone."""
    model: Any = getattr(tower[0], "auto_model", None)
    words = None if model is None else model.get_input_embeddings()
    if words is None or not parametrize.is_parametrized(words, "weight"):
        return tower
    plain: Any = copy.deepcopy(tower)
    table = words.weight.detach().clone()
    plain[0].auto_model.set_input_embeddings(
        nn.Embedding(len(table), table.shape[1], padding_idx=words.padding_idx, _weight=table)
    )
    copied: SentenceTransformer = plain
    return copied


class _LastRows(nn.Module):
    """A table whose last rows are trained while the others stay."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows.detach().clone())

    def forward(self, table: Tensor) -> Tensor:
        return torch.cat([table[: -len(self.rows)], self.rows])
