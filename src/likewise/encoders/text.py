"""The text tower: the modules of a sentence-transformers model, run without padding."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise.encoders.base import Encoder
from likewise.encoders.depth import layers_of, watched_layers, with_layers
from likewise.encoders.domains import Domain, write_domains
from likewise.encoders.dropout import use_bit_dropout
from likewise.encoders.embedder import Role
from likewise.encoders.experts import experts_of, router_logits, with_one_expert, write_experts
from likewise.encoders.packing import PACKED_ATTENTION, register_packed_attention, runs_of
from likewise.encoders.pooling import TokenPooling, apply_pooling, pooling_name, read_token
from likewise.encoders.precision import resolve_precision
from likewise.encoders.progress import with_progress
from likewise.encoders.prompts import set_prompts, with_plain_words
from likewise.encoders.quiet import foreign_progress_off
from likewise.encoders.tokens import TextTokenizer, Tokens
from likewise.errors import InputError, unknown

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["TextEncoder"]

PADDED_ROWS = 32
"""Rows of one padded pass, sorted by length: enough to keep a processor busy, few enough that padding stays small."""

BF16_FROM_ROWS = 64
"""Inputs from which on a bf16 copy of the weights pays; below it ``precision="auto"`` computes in fp32."""


class TextEncoder(Encoder):
    """A text tower around the modules of a ``SentenceTransformer``: transformer, pooling and what follows it.

    Training and serving run the same modules. Where the transformer allows it the texts are laid end to end and no
    padding is computed at all (checked once, against the padded pass, when the tower is made); elsewhere they are
    padded in chunks sorted by length. A trailing ``Normalize`` is applied by :meth:`encode` and left to the loss in
    training: ``forward`` returns the features before it.

    Args:
        tower: The modules; its first one is the transformer (or any input module of sentence-transformers).
        name: Where the weights came from, for messages and reports.
        like: A tower with the same transformer, which tells how it is run; found out where not given.
        part: What of the model ``name`` this is, as :func:`likewise.load` takes it; nothing: all of it.
        domains: Domains by name that :meth:`for_domain` knows.
        needs_domain: Whether texts can only be encoded for one of them.
        first_token: Id that stands in the place of the first special token of every text; None: the usual one.
    """

    def __init__(
        self,
        tower: SentenceTransformer,
        name: str,
        *,
        like: TextEncoder | None = None,
        part: Mapping[str, Any] | None = None,
        domains: Mapping[str, Domain] | None = None,
        needs_domain: bool = False,
        first_token: int | None = None,
    ) -> None:
        super().__init__()
        from sentence_transformers.sentence_transformer.modules import Normalize

        self.tower = tower
        self.training = tower.training  # encode puts back what was, and must not switch dropout on
        self._name = name
        self.part: Mapping[str, Any] = dict(part or {})
        self.domains: Mapping[str, Domain] = dict(domains or {})
        self.needs_domain = needs_domain
        self.first_token = first_token
        for path, parameter in tower.named_parameters():
            if ".pooler." in path:  # BERT's own sentence head, which no pooling of ours reads
                parameter.requires_grad_(False)
        use_bit_dropout(tower)
        self.normalises = isinstance(tower[-1], Normalize)
        self._read_token = read_token(self._behind_transformer(tower))
        if self._read_token is not None:
            tower[1].requires_grad_(False)  # weights of words: they say where to read, and are not learned
        self.position_offset: int | None = like.position_offset if like else self._packing_offset()

    @property
    def name(self) -> str:
        """Where the weights came from."""
        return self._name

    @property
    def dim(self) -> int:
        """Length of an embedding, ``D``."""
        return int(self.tower.get_embedding_dimension() or 0)

    @property
    def num_layers(self) -> int:
        """Layers of the transformer, ``N``.

        Raises:
            InputError: The encoder has no list of them.
        """
        return len(layers_of(self.tower[0])[1])

    @property
    def packs(self) -> bool:
        """Whether texts are encoded end to end, without any padding."""
        return self.position_offset is not None

    @property
    def prompts(self) -> Mapping[str, str]:
        """Text in front of every input of a role."""
        return {role: prompt for role, prompt in self.tower.prompts.items() if prompt}

    @property
    def _prompting(self) -> dict[str, Any]:
        return {"prompts": dict(self.prompts), "default_prompt_name": self.tower.default_prompt_name}

    @property
    def tokenizer(self) -> TextTokenizer:
        """The picklable tokenizer that views take into the loader's workers."""
        inner = self.tower.tokenizer
        limit = self.tower.max_seq_length or getattr(inner, "model_max_length", None) or 512
        return TextTokenizer(inner, min(int(limit), 1_000_000), self.prompts, self.first_token, self._read_token)

    @property
    def pooling(self) -> TokenPooling | None:
        """How the vectors of the last layer become one; None where the modules behind the transformer do more."""
        return pooling_name(self._behind_transformer(self.tower))

    @property
    def max_positions(self) -> int | None:
        """Longest text, in tokens, that the transformer has positions for; None where it is not known or unlimited."""
        config = getattr(getattr(self.tower[0], "auto_model", None), "config", None)
        positions: int | None = getattr(config, "max_position_embeddings", None)
        return None if positions is None else positions - (self.position_offset or 0)

    @property
    def fingerprint(self) -> str:
        """Digest of all weights, the modules' settings, the vocabulary, the length limit and the prompts."""
        digest = hashlib.blake2b(digest_size=16)
        for key, tensor in sorted(with_plain_words(self.tower).state_dict().items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        vocabulary: dict[str, int] = getattr(self.tower.tokenizer, "get_vocab", dict)()
        settings = {
            "modules": [type(module).__name__ for module in self.tower],
            "pooling": [getattr(module, "pooling_mode", None) for module in self.tower],
            "max_tokens": self.tokenizer.max_tokens,
            "prompts": dict(self.prompts),
            **({} if self._read_token is None else {"template": self.tokenizer([""]).ids.tolist()}),
            "vocabulary": sorted(vocabulary.items(), key=lambda item: item[1]),
            **({} if self.first_token is None else {"first_token": self.first_token}),
        }
        digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
        return digest.hexdigest()

    @property
    def token_embedding(self) -> nn.Parameter:
        """The table from which the transformer reads its tokens, ``[V, E]``: a row for each of ``V`` ids.

        Raises:
            InputError: The encoder has no transformer.
        """
        weight: nn.Parameter = self.transformer.get_input_embeddings().weight
        return weight

    @property
    def transformer(self) -> Any:
        """The Hugging Face model inside.

        Raises:
            InputError: The encoder has none.
        """
        model = getattr(self.tower[0], "auto_model", None)
        if model is None:
            raise InputError(
                f"the encoder '{self.name}' has no transformer, so no vectors of tokens; use one that has."
            )
        return model

    def select(self, inputs: Tokens, index: Tensor) -> Tokens:
        """Return the texts ``index`` of ``inputs``."""
        return inputs.select(index)

    def order(self, inputs: Tokens) -> Tensor:
        """Shortest text first: texts of a chunk are alike in length."""
        return torch.argsort(inputs.lengths, stable=True)

    def cost(self, inputs: Tokens) -> Tensor:
        """Tokens of each text."""
        return inputs.lengths

    def together(self, *inputs: Tokens, **how: Any) -> tuple[Tensor, ...]:
        """Encode several sets of texts, in one pass where they can share one: fewer and larger products.

        Texts whose prompts differ in length are encoded set by set, because a pooling that leaves prompts out needs one
        length.
        """
        if len({part.prompt_tokens for part in inputs}) > 1:
            return super().together(*inputs, **how)
        features: Tensor = self(inputs[0].followed_by(*inputs[1:]), **how)
        return tuple(features.split([len(part) for part in inputs]))

    def encode_rows(
        self, inputs: Tokens, *, return_layers: Sequence[int] | None = None, return_routes: bool = False
    ) -> Tensor:
        """Encode ``B`` texts in float32, before any trailing normalisation.

        Args:
            inputs: The texts.
            return_layers: Ask for the features at several depths of the same pass: what the pooling, and whatever
                follows it, makes of the tokens after so many layers of the transformer. 0 is before the first layer,
                ``N`` after the last. They are the features of :meth:`truncated` at that depth.
            return_routes: Ask for what the routers of an encoder with experts said of each text.

        Returns:
            ``features [B, D]``; with ``return_layers`` of ``K`` depths, ``[B, K, D]`` in that order; with
            ``return_routes`` ``[B, D + L E]``: the features, then the logits of ``E`` experts in each of ``L`` layers.

        Raises:
            InputError: A depth that the encoder does not have, or an encoder without output layer by layer.
        """
        if return_layers is not None and set(return_layers) != {self.num_layers}:
            self._refuse_mixed_layers()
        if not len(inputs):
            # A process without rows still takes part: its weights get a gradient, of zero.
            how: dict[str, Any] = {"return_layers": return_layers, "return_routes": return_routes}
            return self.encode_rows(self._no_text().to(inputs.ids.device), **how)[:0]
        order = self.order(inputs)
        ordered = inputs.select(order)
        if self.packs:
            features = self._run(self.tower, ordered, return_layers=return_layers, return_routes=return_routes)
        else:
            device = inputs.ids.device
            rows = torch.arange(len(inputs), device=device).split(PADDED_ROWS)
            how = {"return_layers": return_layers, "return_routes": return_routes}
            features = torch.cat([self._run(self.tower, ordered.select(part), **how) for part in rows])
        return features[torch.argsort(order)]

    def token_features(self, tokens: Tokens) -> Tensor:
        """Encode every token of ``B`` texts: what the transformer says of it, before any pooling.

        Goes over ``micro_batch`` texts at a time where that is set, as :meth:`forward` does.

        Args:
            tokens: The texts; ``T`` tokens together.

        Returns:
            ``features [T, H]`` in float32, in the order of ``tokens.ids``.

        Raises:
            InputError: The encoder has no transformer.
        """
        _ = self.transformer  # says so where there is none
        if not len(tokens):
            return self.token_features(self._no_text().to(tokens.ids.device))[:0]
        self.encoded += len(tokens)
        order = self.order(tokens)
        features = self.in_chunks(self._token_features, tokens, order)
        return features[torch.argsort(tokens.places(order))]

    def encode(
        self,
        inputs: Sequence[str],
        *,
        role: Role | None = None,
        batch_size: int = 256,
        precision: str = "auto",
        progress: bool = False,
    ) -> Tensor:
        """Embed texts in evaluation mode; see :class:`likewise.encoders.Embedder`.

        Raises:
            TypeError: ``inputs`` is one string, not a sequence of them, or holds something that is not a string.
            ValueError: ``batch_size`` < 1 or an unknown ``precision``.
            InputError: The model encodes texts of named domains only.

        Cost: texts are sorted by length once; a batch holds ``batch_size`` texts and no padding.
        """
        texts = _checked_texts(inputs)
        output = self.encode_tokens(
            self.tokenizer(texts, role), batch_size=batch_size, precision=precision, progress=progress
        )
        return F.normalize(output, dim=-1) if self.normalises else output

    def encode_tokens(
        self, tokens: Tokens, *, batch_size: int = 256, precision: str = "auto", progress: bool = False
    ) -> Tensor:
        """Encode tokenised texts in evaluation mode, without a trailing normalisation.

        Args:
            tokens: ``n`` texts, or pairs of texts.
            batch_size: As in :meth:`encode`.
            precision: As in :meth:`encode`.
            progress: As in :meth:`encode`.

        Returns:
            Features, float32 ``[n, D]`` on the CPU.
        """
        if batch_size < 1:
            raise ValueError(f"encode: batch_size is {batch_size}; give at least 1.")
        if self.needs_domain:
            raise InputError(
                f"'{self._name}' encodes texts of one domain at a time; say which with --domain (from Python: "
                f"domain=), one of {', '.join(self.domains)}."
            )
        device = next((parameter.device for parameter in self.parameters()), torch.device("cpu"))
        low = resolve_precision(precision, device.type) == "bf16" and (
            precision == "bf16" or len(tokens) >= BF16_FROM_ROWS
        )
        was_training = self.training
        self.eval()
        try:
            tower = copy.deepcopy(self.tower) if low else self.tower
            if low:
                tower[0].to(torch.bfloat16)  # what follows it is small, and works on its vectors in float32
            with torch.inference_mode():
                order = self.order(tokens)
                output = torch.empty(len(tokens), self.dim)
                for index in with_progress(order.split(batch_size) if len(tokens) else (), progress):
                    output[index] = self._run(tower, tokens.select(index).to(device)).cpu()
        finally:
            self.train(was_training)
        return output

    def served(self, projector: nn.Linear | None = None, activation: nn.Module | None = None) -> TextEncoder:
        """Return the tower as it is used after training: with unit vectors, and with a projector if one is kept.

        Args:
            projector: Put after the pooling; shared, not copied.
            activation: Follows the projector; identity where not given.

        Returns:
            A tower that shares all weights with this one.
        """
        modules = list(self.tower)[: len(self.tower) - int(self.normalises)]
        return self._normalised(
            modules if projector is None else [*modules, _dense(projector, activation)],
            domains=self.domains,
            needs_domain=self.needs_domain,
        )

    def mapped(self, linear: nn.Linear) -> TextEncoder:
        """Return the tower with a linear map behind all that it does now, and unit vectors after the map.

        Unlike a projector of :meth:`served` the map also follows a normalisation, so it is one of what :meth:`encode`
        gives: a map that was fitted on embeddings (:class:`likewise.heads.Whitening`) becomes part of the model.

        Args:
            linear: From ``D`` numbers to any; shared, not copied.

        Returns:
            A tower without domains that shares all weights with this one.
        """
        return self._normalised([*self.tower, _dense(linear, None)])

    def _normalised(self, modules: Sequence[nn.Module], **domains: Any) -> TextEncoder:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Normalize

        tower = SentenceTransformer(modules=[*modules, Normalize()], **self._prompting).to(self.tower.device)
        made = TextEncoder(tower, self._name, like=self, first_token=self.first_token, **domains)
        return made.train(self.training)  # modules are shared, so their mode is too

    def prompted(self, prompt: str) -> TextEncoder:
        """Return the encoder with another prompt in front of every text, whatever its role; it shares all weights."""
        from sentence_transformers import SentenceTransformer

        tower = SentenceTransformer(modules=list(self.tower), **self._prompting).to(self.tower.device)
        set_prompts(tower, prompt)
        return TextEncoder(
            tower.train(self.tower.training),
            self._name,
            like=self,
            part={**self.part, "prompt": prompt},
            domains=self.domains,
            needs_domain=self.needs_domain,
            first_token=self.first_token,
        )

    def with_domains(
        self, domains: Mapping[str, Domain], *, needed: bool = False, first_token: int | None = None
    ) -> TextEncoder:
        """Return the tower with domains to choose from; it shares all weights with this one.

        Args:
            domains: What is done for each, by name.
            needed: Whether texts can only be encoded for one of them.
            first_token: Id that begins a text for which no domain is said; None: as before.
        """
        return TextEncoder(
            self.tower,
            self._name,
            like=self,
            part=self.part,
            domains=domains,
            needs_domain=needed,
            first_token=self.first_token if first_token is None else first_token,
        )

    def for_domain(self, name: str) -> TextEncoder:
        """Return the encoder of one domain: a plain encoder that shares all weights with this one.

        Raises:
            InputError: The model has no such domain; the nearest is named.
        """
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Dense

        if not self.domains:
            raise InputError(f"'{self._name}' has no domains; leave --domain out.")
        if name not in self.domains:
            raise unknown(f"domain of {self._name}", name, self.domains)
        domain, modules = self.domains[name], list(self.tower)
        if domain.changes_embeddings:
            moved = Dense(self.dim, self.dim, activation_function=nn.Identity())
            moved.linear = domain.map_of(self.dim)
            modules.insert(len(modules) - int(self.normalises), moved)
        tower = SentenceTransformer(modules=modules, **self._prompting).to(self.tower.device)
        return TextEncoder(
            tower.train(self.tower.training),
            self._name,
            like=self,
            part={**self.part, "domain": name},
            first_token=self.first_token if domain.first_token is None else domain.first_token,
        )

    def pooled_by(self, pooling: nn.Module) -> TextEncoder:
        """Return the tower with another pooling, in place of all modules behind the transformer.

        Args:
            pooling: From what the transformer says of tokens, in all of its layers, to ``sentence_embedding``; one of
                sentence-transformers, or :class:`likewise.heads.TopLayersPool`.

        Returns:
            A tower that shares the transformer with this one; ``Normalize`` follows where it did.

        Raises:
            InputError: The encoder has no transformer.
        """
        from sentence_transformers import SentenceTransformer

        self.transformer.config.output_hidden_states = True
        last = [self.tower[-1]] if self.normalises else []
        tower = SentenceTransformer(modules=[self.tower[0], pooling, *last], **self._prompting)
        return TextEncoder(
            tower.to(self.tower.device).train(self.training),
            self._name,
            like=self,
            part=self.part,
            needs_domain=self.needs_domain,
            first_token=self.first_token,
        )

    def truncated(self, layers: int | None = None, dims: int | None = None) -> TextEncoder:
        """Return a smaller encoder: the first layers of the transformer, the first numbers of an embedding.

        The upper layers are not run, and not saved. What is left out of an embedding is left out before a trailing
        normalisation, so that unit vectors stay unit vectors.

        Args:
            layers: Layers that are run, in ``[1, N]``; None: all.
            dims: Numbers that are kept of an embedding, in ``[1, D]``; None: all.

        Returns:
            A plain encoder that shares all weights with this one.

        Raises:
            InputError: A number is out of its range, or the encoder cannot be cut there.

        Example:
            >>> from likewise.encoders import load_text_encoder
            >>> small = load_text_encoder("all-MiniLM-L6-v2").truncated(layers=3, dims=64)
            >>> small.num_layers, small.encode(["a small house for a dog"]).shape
            (3, torch.Size([1, 64]))
        """
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Dense

        modules, part = list(self.tower), dict(self.part)
        if layers is not None:
            if not 1 <= layers <= self.num_layers:
                raise InputError(
                    f"layers is {layers}; the model '{self._name}' has {self.num_layers}, use 1 to {self.num_layers}."
                )
            self._refuse_mixed_layers()
            modules[0] = with_layers(modules[0], layers)
            part["layers"] = layers
        if dims is not None:
            if not 1 <= dims <= self.dim:
                raise InputError(
                    f"dims is {dims}; an embedding of '{self._name}' has {self.dim} numbers, keep 1 to {self.dim}."
                )
            if dims < self.dim:
                # A product with ones and zeros is exact, and every program that reads the folder knows it.
                kept = Dense(self.dim, dims, bias=False, activation_function=nn.Identity(),
                             init_weight=torch.eye(dims, self.dim))  # fmt: skip
                modules.insert(len(modules) - int(self.normalises), kept.requires_grad_(False))
            part["dims"] = dims
        tower = SentenceTransformer(modules=modules, **self._prompting).to(self.tower.device)
        return TextEncoder(
            tower.train(self.tower.training),
            self._name,
            like=self,
            part=part,
            domains=self.domains if dims is None else {},
            needs_domain=self.needs_domain,
            first_token=self.first_token,
        )

    def pooled(self, pooling: TokenPooling) -> TextEncoder:
        """Return the tower with another pooling right behind its transformer; it shares the weights.

        Args:
            pooling: cls, mean, last, weighted or prompt.

        Raises:
            InputError: The pooling is not among these, or the encoder has no transformer (for "prompt": no mask token).
        """
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Normalize

        if pooling not in get_args(TokenPooling):
            raise unknown("pooling of the last layer", pooling, get_args(TokenPooling))
        transformer = copy.copy(self.tower[0])  # its tokenizer may be exchanged, its weights are these
        modules = [transformer, *apply_pooling(transformer, pooling), *([Normalize()] if self.normalises else [])]
        tower = SentenceTransformer(modules=modules, **self._prompting).to(self.tower.device)
        return TextEncoder(
            tower.train(self.training),
            self._name,
            like=self,
            part={**self.part, "pooling": pooling},
            domains=self.domains,
            needs_domain=self.needs_domain,
            first_token=self.first_token,
        )

    def save(self, folder: Path) -> None:
        """Write a folder that ``SentenceTransformer`` and :func:`likewise.load` open; weights as safetensors only.

        Of a tower with experts the former sees one of them, that of the domain, the default, or the first one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with foreign_progress_off():
            dense = with_one_expert(with_plain_words(self.tower), self._own_expert)
            dense.save(str(folder), create_model_card=False, safe_serialization=True)
        write_experts(folder, self.tower)
        if self.domains or self.first_token is not None:
            write_domains(folder, self.domains, needed=self.needs_domain, first_token=self.first_token)

    @property
    def _own_expert(self) -> int:
        found = experts_of(self.tower)
        plan = found[0][1].plan if found else None
        if plan is None:
            return 0
        return plan.first_tokens.index(self.first_token) if self.first_token in plan.first_tokens else plan.default or 0

    def _no_text(self) -> Tokens:
        """Return one text of nothing, which any tower can encode."""
        tokens, found = self.tokenizer([""]), experts_of(self.tower)
        known = found[0][1].plan.first_tokens if found else ()
        return tokens.starting_with(torch.tensor(known[:1])) if known else tokens

    def _token_features(self, tokens: Tokens) -> Tensor:
        """Encode the tokens of texts that are sorted by length."""
        if self.packs:
            features: Tensor = self._read(self.tower, tokens, packed=True)["token_embeddings"]
            return features[0]
        parts = []
        for rows in torch.arange(len(tokens), device=tokens.ids.device).split(PADDED_ROWS):
            read = self._read(self.tower, tokens.select(rows), packed=False)
            parts.append(read["token_embeddings"][read["attention_mask"].bool()])
        return torch.cat(parts)

    def _refuse_mixed_layers(self) -> None:
        from sentence_transformers.sentence_transformer.modules import WeightedLayerPooling

        from likewise.heads.top_layers import TopLayersPool

        layers_of(self.tower[0])  # says so where there are none
        if any(isinstance(module, WeightedLayerPooling | TopLayersPool) for module in self.tower):
            raise InputError(
                f"the pooling of '{self._name}' mixes several layers, so that no single one has an embedding; use an "
                "encoder that pools its last layer, or train with --pooling mean."
            )

    def _run(
        self,
        tower: SentenceTransformer,
        tokens: Tokens,
        *,
        packed: bool | None = None,
        return_layers: Sequence[int] | None = None,
        return_routes: bool = False,
    ) -> Tensor:
        """Run all modules but a trailing ``Normalize`` over texts that are sorted by length."""
        packed = self.packs if packed is None else packed
        if return_layers is None:
            features = self._pooled(tower, self._read(tower, tokens, packed=packed))
            routes = router_logits(tower) if return_routes else None
            return features if routes is None else torch.cat([features, routes.flatten(1)], dim=1)
        with watched_layers(tower[0], return_layers) as outputs:
            read = self._read(tower, tokens, packed=packed)
        last = read["token_embeddings"]
        several = [{**read, "token_embeddings": outputs.at(layer, last).float()} for layer in return_layers]
        return torch.stack([self._pooled(tower, features) for features in several], dim=1)

    def _pooled(self, tower: SentenceTransformer, features: dict[str, Any]) -> Tensor:
        """Run what follows the transformer, but a trailing ``Normalize``, over what it says of the tokens."""
        modules = self._behind_transformer(tower)
        if self._read_token is not None and "cu_seq_lens_q" in features:
            # Weights of words and their mean know only padded rows; without padding it is a choice of tokens.
            read = features["input_ids"][0] == self._read_token
            features["sentence_embedding"] = features["token_embeddings"][0, read]
            modules = modules[2:]
        for module in modules:
            features = module(features)
        pooled: Tensor = features["sentence_embedding"]
        return pooled.float()

    def _read(self, tower: SentenceTransformer, tokens: Tokens, *, packed: bool) -> dict[str, Any]:
        """Run the first module over texts that are sorted by length; returns what the next ones work on."""
        features: dict[str, Any] = {"prompt_length": tokens.prompt_tokens} if tokens.prompt_tokens else {}
        if packed:
            features |= {
                "input_ids": tokens.ids[None],
                "position_ids": tokens.positions()[None] + (self.position_offset or 0),
                "cu_seq_lens_q": F.pad(torch.cumsum(tokens.lengths, 0), (1, 0)),
                "runs": runs_of(tokens.lengths),
            }
        else:
            pad_id = getattr(tower.tokenizer, "pad_token_id", None) or 0
            features["input_ids"], features["attention_mask"] = tokens.padded(pad_id)
        if tokens.segments is not None:
            features["token_type_ids"] = tokens.segments[None] if packed else tokens.padded_segments()
        features = tower[0](features)
        if "token_embeddings" in features:
            # Sums over tokens lose digits in bf16.
            features["token_embeddings"] = features["token_embeddings"].float()
        return features

    def _behind_transformer(self, tower: SentenceTransformer) -> list[nn.Module]:
        """Return the modules between the first one and a trailing ``Normalize``."""
        return list(tower)[1 : len(tower) - int(self.normalises)]

    def _packing_offset(self) -> int | None:
        """Find out whether this transformer can run texts end to end; returns the position of a first token, or None.

        Checked, not assumed: a few texts go through both passes. Models count positions from 0 (BERT) or from behind
        the padding id (RoBERTa); models with windows, relative positions over the whole row, convolutions or no
        attention interface disagree or fail, and are padded.
        """
        transformer = self.tower[0]
        model = getattr(transformer, "auto_model", None)
        config = getattr(model, "config", None)
        if config is None or not hasattr(config, "_attn_implementation") or len(self.tower) < 2:
            return None
        register_packed_attention()
        words = ["a", "the quick brown fox", "a river", "to be or not to be, that is the question", "one, two"]
        tokens = self.tokenizer(words * 8)
        tokens = tokens.select(self.order(tokens))
        plain = config._attn_implementation
        was_training = self.tower.training
        self.tower.eval()
        self.position_offset = None
        found: int | None = None
        try:
            with torch.no_grad():
                expected = self._run(self.tower, tokens, packed=False)
                config._attn_implementation = PACKED_ATTENTION
                for offset in (0, (getattr(config, "pad_token_id", None) or 0) + 1):
                    self.position_offset = offset
                    try:
                        got = self._run(self.tower, tokens, packed=True)
                    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, KeyError):
                        continue
                    if got.shape == expected.shape and torch.allclose(got, expected, rtol=1e-3, atol=1e-4):
                        found = offset
                        break
        finally:
            config._attn_implementation = PACKED_ATTENTION if found is not None else plain
            self.tower.train(was_training)
        return found


def _dense(linear: nn.Linear, activation: nn.Module | None) -> nn.Module:
    """Return a layer of sentence-transformers that holds these weights."""
    from sentence_transformers.sentence_transformer.modules import Dense

    layer = Dense(linear.in_features, linear.out_features, bias=linear.bias is not None, activation_function=activation)
    layer.linear = linear
    return layer


def _checked_texts(inputs: Sequence[str]) -> list[str]:
    if isinstance(inputs, str):
        raise TypeError("encode: got one string; give a list of texts, [text] for a single one.")
    texts: list[Any] = list(inputs)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            kind = type(text).__name__
            if kind == "StoredImage":
                raise InputError("this model reads texts, and the data bring pictures; give a column text.")
            raise TypeError(f"encode: input {number} is {kind}; every input must be a str.")
    return texts
