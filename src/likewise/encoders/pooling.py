"""Poolings: how the vectors of tokens become one, as modules of sentence-transformers, and what a prompt asks for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from torch import nn

from likewise.errors import InputError, unknown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Pooling", "TokenPooling", "apply_pooling", "pooling_name", "read_token"]

TokenPooling = Literal["cls", "mean", "last", "weighted", "prompt"]
"""Poolings of the last layer."""

Pooling = Literal["cls", "mean", "last", "weighted", "prompt", "first_last", "last_two"]

_TOKEN_POOLING: dict[TokenPooling, str] = {
    "cls": "cls",
    "mean": "mean",
    "last": "lasttoken",
    "weighted": "weightedmean",
}
"""What sentence-transformers calls them."""

BEFORE, AFTER = 'This sentence : "', '" means {mask} .'
"""What is put around a text whose vector is read at the mask token (DefSent+'s template)."""


def apply_pooling(transformer: Any, pooling: str) -> list[nn.Module]:
    """Make the modules of a pooling, and put the transformer's tokenizer in the form that it asks for.

    For "prompt" a text is wrapped as ``This sentence : "TEXT" means [MASK] .`` and its vector is that of the mask
    token. The tokens of the template are put around those of the text by the tokenizer itself, as special tokens are: a
    text that is too long is cut, never the template, and the saved tokenizer does the same wherever it is loaded. The
    mask token is read by weights of words that are 0 but for it, which is all standard modules.

    Args:
        transformer: The first module of a model; its tokenizer is exchanged where it is not in that form.
        pooling: One of :data:`Pooling`.

    Raises:
        InputError: The pooling is unknown, or the encoder cannot be pooled like this.
    """
    from sentence_transformers.sentence_transformer.modules import Pooling as PoolingModule
    from sentence_transformers.sentence_transformer.modules import WeightedLayerPooling, WordWeights

    if pooling not in get_args(Pooling):
        raise unknown("pooling", pooling, get_args(Pooling))
    if getattr(transformer, "auto_model", None) is None:
        raise InputError("this encoder has no token vectors to pool; leave pooling out.")
    width = transformer.get_embedding_dimension()
    if pooling == "prompt":
        transformer.processor = _prompted(_plain(transformer.tokenizer))
        tokenizer = transformer.tokenizer
        weights = WordWeights(_vocabulary(tokenizer), {tokenizer.mask_token: 1.0}, unknown_word_weight=0.0)
        weights.requires_grad_(False)
        return [weights, PoolingModule(width, "mean")]
    plain = _plain(transformer.tokenizer)
    if plain is not transformer.tokenizer:
        transformer.processor = plain
    if pooling in _TOKEN_POOLING:
        return [PoolingModule(width, cast("Any", _TOKEN_POOLING)[pooling])]
    count = int(transformer.auto_model.config.num_hidden_layers)
    transformer.auto_model.config.output_hidden_states = True
    start = 1 if pooling == "first_last" else max(count - 1, 1)
    layers = WeightedLayerPooling(width, num_hidden_layers=count, layer_start=start)
    with_weight = {1, count} if pooling == "first_last" else {count - 1, count}
    for layer in range(start, count + 1):
        layers.layer_weights.data[layer - start] = float(layer in with_weight)
    layers.layer_weights.requires_grad_(False)  # the paper's poolers are fixed means
    return [layers, PoolingModule(width, "mean")]


def pooling_name(modules: list[nn.Module]) -> TokenPooling | None:
    """Return which of :data:`TokenPooling` modules behind a transformer are; None where they are something else."""
    if len(modules) == 2 and read_token(modules) is not None:
        return "prompt"
    mode = getattr(modules[0], "pooling_mode", None) if len(modules) == 1 else None
    return next((name for name, theirs in _TOKEN_POOLING.items() if theirs == mode), None)


def read_token(modules: list[nn.Module]) -> int | None:
    """Return the id of the one token whose vector is read; None where a pooling reads others."""
    from sentence_transformers.sentence_transformer.modules import WordWeights

    for module in modules:
        if isinstance(module, WordWeights):
            weights = module.emb_layer.weight.detach()[:, 0]
            read = weights.nonzero()[:, 0].tolist()
            return int(read[0]) if len(read) == 1 else None
    return None


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the token of each id; ids that the tokenizer leaves out get an empty one."""
    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    return [by_id.get(number, "") for number in range(max(by_id) + 1)]


_PIECES = ("start", "prompt_before", "prompt_after", "end")


def _prompted(tokenizer: Any) -> PreTrainedTokenizerBase:
    """Return a tokenizer that puts the template around every text."""
    if getattr(tokenizer, "mask_token", None) is None:
        raise InputError(
            "the pooling 'prompt' reads the vector of the mask token, and this encoder has none; use mean or cls."
        )
    if not getattr(tokenizer, "is_fast", False):
        raise InputError("the pooling 'prompt' needs a tokenizer of the library tokenizers; use mean or cls.")
    special: list[int] = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    ids: list[int] = tokenizer("a")["input_ids"]
    ordinary = [place for place, is_special in enumerate(special) if not is_special]
    around = {
        "start": ids[: ordinary[0]],
        "prompt_before": _ids(tokenizer, BEFORE),
        "prompt_after": _ids(tokenizer, AFTER.format(mask=tokenizer.mask_token)),
        "end": ids[ordinary[-1] + 1 :],
    }
    needed = sum(map(len, around.values())) + 1
    if tokenizer.model_max_length < needed:
        raise InputError(
            f"max_tokens is {tokenizer.model_max_length}; the pooling 'prompt' needs {needed} and more, because the "
            "template around a text counts too. Raise --max-tokens."
        )
    return _with_template(tokenizer, around, _PIECES)


def _plain(tokenizer: Any) -> Any:
    """Return the tokenizer without a template; itself where it has none."""
    if not getattr(tokenizer, "is_fast", False):
        return tokenizer
    processor = json.loads(tokenizer.backend_tokenizer.to_str())["post_processor"] or {}
    pieces: dict[str, Any] = processor.get("special_tokens", {})
    if "prompt_after" not in pieces:
        return tokenizer
    return _with_template(tokenizer, {name: piece["ids"] for name, piece in pieces.items()}, ("start", "end"))


def _with_template(tokenizer: Any, ids: dict[str, list[int]], pieces: tuple[str, ...]) -> PreTrainedTokenizerBase:
    """Return a tokenizer of the general class: one of a family's own class would put its own template back."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    middle = len(pieces) // 2  # where the text stands
    used = [name for name in pieces if ids.get(name)]
    single = " ".join(name for name in (*pieces[:middle], "$A", *pieces[middle:]) if name == "$A" or name in used)
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    special = [{"id": n, "ids": ids[n], "tokens": tokenizer.convert_ids_to_tokens(ids[n])} for n in used]
    backend.post_processor = TemplateProcessing(single=single, pair="$A $B", special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        model_input_names=tokenizer.model_input_names,
        **tokenizer.special_tokens_map,
    )


def _ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found
