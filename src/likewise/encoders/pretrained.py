"""The one place that loads foreign weights. Safetensors only; code that comes with a model is never run unasked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from likewise.encoders.cross_encoder import PretrainedCrossEncoder
from likewise.encoders.depth import keep_layers, layers_of
from likewise.encoders.domains import read_domains
from likewise.encoders.experts import read_experts
from likewise.encoders.pooling import Pooling, apply_pooling
from likewise.encoders.prompts import add_soft_prompt, set_prompts
from likewise.encoders.quiet import foreign_progress_off
from likewise.encoders.text import TextEncoder
from likewise.errors import InputError, nearest, unknown

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "Pooling",
    "SentenceHead",
    "TextEncoderConfig",
    "load_cross_encoder",
    "load_text_encoder",
    "masked_language_weights",
    "sentence_head_weights",
]

_MASKED_LANGUAGE_HEADS = (
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions"),  # BERT
    ("lm_head.dense", "lm_head.layer_norm", "lm_head"),  # RoBERTa, MPNet
    ("vocab_transform", "vocab_layer_norm", "vocab_projector"),  # DistilBERT
)
"""What the dense layer, the norm and the bias of a masked-language head are called in a checkpoint, by family."""

_SCORES = ("ForSequenceClassification", "ForCausalLM")
"""How the classes of transformers are called that a cross-encoder can be made of as they are."""

_ROBERTA_LIKE = frozenset({"roberta", "xlm-roberta", "camembert"})
"""Kinds of transformer that are published with a masked-language head and no pooler."""


@dataclass(frozen=True)
class TextEncoderConfig:
    """Which text tower a method starts from, and how it reads text."""

    encoder: str = "all-MiniLM-L6-v2"
    """Weights to start from: a folder, a packaged model (all-MiniLM-L6-v2), or a name on the model hub."""
    pooling: Pooling | None = None
    """How token vectors become one: cls, mean, last, weighted (later tokens weigh more), prompt (the mask token in This
    sentence : "TEXT" means [MASK] .), first_last (mean of the first and the last layer), last_two (mean of the last two
    layers); the encoder's own where not given."""
    max_tokens: int | None = None
    """Longest text in tokens, special tokens included; the encoder's own limit where not given."""
    encoder_layers: int | None = None
    """Keep only this many of the transformer's first layers, >= 1; all where not given."""
    dropout: float | None = None
    """Probability with which the encoder drops a number while it trains, in [0, 1); its own where not given."""
    prompt: str | None = None
    """Text in front of every text, an instruction for example; the encoder's own where not given."""
    query_prompt: str | None = None
    """Text in front of every query, instead of --prompt; for methods and tasks that tell queries from documents."""
    document_prompt: str | None = None
    """Text in front of every document, instead of --prompt."""
    soft_prompt: int = 0
    """Learned tokens in front of every text (before its prompt), >= 0; they begin as words drawn from the
    vocabulary."""
    freeze: bool = False
    """Leave the encoder's own weights as they are; only the soft prompt and what the method adds are trained."""
    trust_remote_code: bool = False
    """Run Python code that comes with the encoder, from a hub or a folder. Only for sources you trust."""


def load_text_encoder(config: TextEncoderConfig | str | Path) -> TextEncoder:
    """Load a text tower from a folder, a package or the model hub.

    Args:
        config: The settings, or just the folder or name.

    Returns:
        The tower, in evaluation mode on the CPU.

    Raises:
        InputError: The name or folder is no model, or the settings do not fit it.
    """
    if not isinstance(config, TextEncoderConfig):
        config = TextEncoderConfig(encoder=str(config))
    source = _resolve(config.encoder)
    with foreign_progress_off(), _readable_errors(config.encoder):
        tower = _load_tower(source, config)
    if config.max_tokens is not None:
        _set_max_tokens(tower, config.max_tokens)
    if config.encoder_layers is not None:
        _keep_layers(tower, config.encoder_layers)
    if config.dropout is not None:
        _set_dropout(tower, config.dropout)
    set_prompts(tower, config.prompt, query=config.query_prompt, document=config.document_prompt)
    if config.soft_prompt or config.freeze:
        add_soft_prompt(tower, config.soft_prompt, freeze=config.freeze)
    if config.pooling is not None:
        _set_pooling(tower, config.pooling)  # last: it knows every token of the vocabulary, and how long a text may be
    domains, needs_domain, first_token = read_domains(Path(source))
    encoder = TextEncoder(
        tower.eval(), config.encoder, domains=domains, needs_domain=needs_domain, first_token=first_token
    )
    read_experts(Path(source), tower)  # how the tower is run was found out without them: they ask for a domain
    return encoder.eval()


def load_cross_encoder(name: str) -> PretrainedCrossEncoder:
    """Load a model that scores pairs: a cross-encoder of sentence-transformers, a sequence classifier of transformers.

    Args:
        name: A folder, or a name on the model hub.

    Raises:
        InputError: It cannot be loaded, or has no trained scores (an encoder of single texts, whose head would be
            random).
    """
    from sentence_transformers import CrossEncoder
    from sentence_transformers.util import load_file_path
    from transformers import AutoConfig

    source = _resolve(name)
    with foreign_progress_off(), _readable_errors(name):
        kinds = tuple(getattr(AutoConfig.from_pretrained(source), "architectures", None) or ())
        saved = load_file_path(source, "config_sentence_transformers.json")
        content = json.loads(Path(saved).read_text(encoding="utf-8")) if saved else {}
        # Asked before it is loaded: a head that is not there would be drawn at random.
        if content.get("model_type") != "CrossEncoder" and not any(kind.endswith(_SCORES) for kind in kinds):
            raise InputError(
                f"{name} does not score pairs: it is a {kinds[0] if kinds else 'model without a head'}. Give a "
                "cross-encoder, or train one on labelled pairs with likewise train cross-encoder."
            )
        model = CrossEncoder(source, device="cpu", model_kwargs={"use_safetensors": True})
    return PretrainedCrossEncoder(model.eval(), name)


def masked_language_weights(encoder: TextEncoder) -> Mapping[str, Tensor] | None:
    """Read the masked-language head that the checkpoint of a tower brings beside it.

    Args:
        encoder: A tower as it was loaded.

    Returns:
        ``dense.weight``, ``dense.bias``, ``norm.weight``, ``norm.bias`` and ``bias`` as
        :class:`likewise.heads.MaskedLanguageHead` names them; None where there is no head of a family that is known
        (BERT, RoBERTa, MPNet, DistilBERT), or where it does not predict the tower's own tokens.
    """
    from safetensors import safe_open

    path = _file_of(_resolve(encoder.name), "model.safetensors")
    if path is None:
        return None
    with safe_open(path, framework="pt") as file:
        # Old checkpoints say gamma and beta for the weight and the bias of a norm.
        names = {name.replace(".gamma", ".weight").replace(".beta", ".bias"): name for name in list(file.keys())}
        for dense, norm, bias in _MASKED_LANGUAGE_HEADS:
            wanted = {
                **{f"dense.{part}": f"{dense}.{part}" for part in ("weight", "bias")},
                **{f"norm.{part}": f"{norm}.{part}" for part in ("weight", "bias")},
                "bias": f"{bias}.bias",
            }
            if names.keys() >= set(wanted.values()):
                found = {ours: file.get_tensor(names[theirs]).float() for ours, theirs in wanted.items()}
                fits = (len(found["bias"]), len(found["dense.weight"])) == tuple(encoder.token_embedding.shape)
                return found if fits else None
    return None


@dataclass(frozen=True)
class SentenceHead:
    """A dense layer that a checkpoint brings for what is made of a whole text.

    Args:
        weights: Its ``weight`` and ``bias``.
        activation: What follows it: "tanh" or "gelu".
    """

    weights: Mapping[str, Tensor]
    activation: Literal["tanh", "gelu"]


def sentence_head_weights(encoder: TextEncoder) -> SentenceHead | None:
    """Read the dense layer that stands behind the pooling where a tower's backbone was trained.

    Args:
        encoder: A tower as it was loaded.

    Returns:
        The pooler of BERT and its like (tanh); for RoBERTa and its like, which have none, the dense layer of the
        masked-language head (GELU). None where the checkpoint brings neither, or was saved by sentence-transformers:
        such an encoder was trained with a pooling of its own, and a pooler in its file is what it started from.
    """
    kind = encoder.transformer.config.model_type
    if kind in _ROBERTA_LIKE and (head := masked_language_weights(encoder)) is not None:
        return SentenceHead({part: head[f"dense.{part}"] for part in ("weight", "bias")}, "gelu")
    source = _resolve(encoder.name)
    path = _file_of(source, "model.safetensors")
    if path is None or _file_of(source, "modules.json") is not None:
        return None
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = {name.split("pooler.dense.")[-1]: name for name in list(file.keys()) if "pooler.dense." in name}
        if names.keys() != {"weight", "bias"}:
            return None
        return SentenceHead({part: file.get_tensor(name).float() for part, name in names.items()}, "tanh")


def _file_of(source: str, name: str) -> Path | None:
    """Find a file of a model that has been loaded; None where it has no such file (weights in several, say)."""
    from huggingface_hub import try_to_load_from_cache

    path = Path(source) / name if Path(source).is_dir() else None
    if path is None:
        cached = try_to_load_from_cache(source, name)
        path = Path(cached) if isinstance(cached, str) else None
    return path if path is not None and path.is_file() else None


def _resolve(name: str) -> str:
    """Turn a packaged model's name into its folder; folders and hub names stay what they are."""
    path = Path(name)
    if path.is_dir():
        if not any((path / marker).exists() for marker in ("modules.json", "config.json")):
            raise InputError(
                f"{name} is not a model folder: it has neither modules.json nor config.json. "
                "Give a folder that likewise, sentence-transformers or transformers saved."
            )
        return name
    from likewise.data.assets import PACKAGED_ENCODERS, packaged_encoder

    short = name.removeprefix("sentence-transformers/")
    if short in PACKAGED_ENCODERS:
        return str(packaged_encoder(short))
    if path.exists():
        raise InputError(f"{name} is a file; a model is a folder. Give the folder that holds its modules.json.")
    beside = [one.name for one in path.parent.iterdir() if one.is_dir()] if path.parent.is_dir() else []
    if path.parent != Path() and (guess := nearest(path.name, beside)):  # runs/simcl could be of the hub, but is not
        raise InputError(f"there is no model '{name}': did you mean '{path.parent / guess}'?")
    if "/" not in name or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise unknown("model or folder", name, PACKAGED_ENCODERS)
    return name


def _load_tower(source: str, config: TextEncoderConfig) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling as PoolingModule

    remote = config.trust_remote_code
    is_plain = Path(source).is_dir() and not (Path(source) / "modules.json").exists()
    if is_plain:
        transformer = Transformer(
            source, model_kwargs={"use_safetensors": True}, config_kwargs={"trust_remote_code": remote}
        )
        width = transformer.get_embedding_dimension()
        # A plain encoder has no pooling of its own; the mean is the field's default for one.
        return SentenceTransformer(modules=[transformer, PoolingModule(width, "mean"), Normalize()], device="cpu")
    # Modules of our own come with us and not with the model, so that they need no trust; nothing public says so.
    return SentenceTransformer._load_with_module_classes(
        source,
        {f"{own.__module__}.{own.__qualname__}": own for own in _own_modules()},
        device="cpu",
        trust_remote_code=remote,
        model_kwargs={"use_safetensors": True},
    )


def _own_modules() -> tuple[type[nn.Module], ...]:
    """Return the modules of ours that a saved model may be made of."""
    from likewise.heads.top_layers import TopLayersPool

    return (TopLayersPool,)


def _set_max_tokens(tower: SentenceTransformer, max_tokens: int) -> None:
    limit = getattr(getattr(tower[0], "auto_model", None), "config", None)
    longest = getattr(limit, "max_position_embeddings", None)
    if max_tokens < 3 or (longest is not None and max_tokens > longest):
        raise InputError(
            f"max_tokens is {max_tokens}; this encoder takes 3 to {longest or 'any number of'} tokens, "
            "special tokens included."
        )
    tower.max_seq_length = max_tokens


def _keep_layers(tower: SentenceTransformer, count: int) -> None:
    _, layers = layers_of(tower[0])
    if not 1 <= count <= len(layers):
        raise InputError(f"encoder_layers is {count}; this encoder has {len(layers)} layers, keep 1 to {len(layers)}.")
    keep_layers(tower[0], count)


def _set_dropout(tower: SentenceTransformer, probability: float) -> None:
    if not 0 <= probability < 1:
        raise InputError(f"dropout is {probability}; it is a probability, 0 or more and less than 1.")
    for module in tower.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability


def _set_pooling(tower: SentenceTransformer, pooling: str) -> None:
    from sentence_transformers.sentence_transformer.modules import Normalize

    normalises = isinstance(tower[-1], Normalize)
    modules = apply_pooling(tower[0], pooling)
    if normalises:
        modules.append(Normalize())
    for index in reversed(range(1, len(tower))):
        del tower[index]
    for module in modules:
        tower.append(module)


@contextlib.contextmanager
def _readable_errors(name: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # whatever a foreign loader raises becomes one sentence
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"cannot load the model '{name}': {reason} "
            "Give a folder with safetensors weights, a packaged model, or a hub name that can be reached."
        ) from error
