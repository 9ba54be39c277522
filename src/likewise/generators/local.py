"""A language model of transformers on this machine: causal, or sequence to sequence."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from likewise.encoders.quiet import foreign_progress_off
from likewise.errors import InputError
from likewise.generators.contrastive import ContrastiveLogits

__all__ = ["LocalGenerator", "identity"]


class LocalGenerator:
    """Any language model of transformers, decoding greedily: the same prompt gives the same reply.

    A model whose tokenizer has a chat template gets the prompt as a user's message.

    Args:
        name: A folder, or a name on the model hub; weights as safetensors only, and no code that comes with them is
            run.
        max_new_tokens: Longest reply in tokens, >= 1 (MultiCSR: 256).
        batch_size: Prompts that are read at a time, >= 1.
        one_line: End a reply behind its first line that says anything. A model that was not taught to answer goes on
            with further examples of its own until it has written ``max_new_tokens``.

    Raises:
        InputError: The name is no language model that can be loaded, or a number is out of its range.

    Cost: that of the model; a GPU is used where there is one, in bfloat16.
    """

    def __init__(self, name: str, *, max_new_tokens: int = 256, batch_size: int = 16, one_line: bool = False) -> None:
        if max_new_tokens < 1 or batch_size < 1:
            raise InputError(
                f"the generator is asked for at most {max_new_tokens} tokens, {batch_size} prompts at a time; both are "
                "at least 1 (usual: 256 and 16)."
            )
        self.name, self.max_new_tokens, self.batch_size = name, max_new_tokens, batch_size
        self.one_line = one_line
        self.model, self.tokenizer = _load(name)
        config = self.model.config
        positions = None if config.is_encoder_decoder else getattr(config, "max_position_embeddings", None)
        self._longest_prompt: int | None = None if positions is None else positions - max_new_tokens

    def answering_in(self, max_new_tokens: int) -> LocalGenerator:
        """Return the same model, sharing all weights, whose replies are at most this long."""
        other = copy.copy(self)
        other.max_new_tokens = max_new_tokens
        return other

    def generate(self, prompts: Sequence[str]) -> list[str]:
        """Return the reply to each prompt; an empty one where the prompt leaves the model no room to answer."""
        return self._generate(prompts, None, 0.0, 0.0)

    def generate_against(
        self, prompts: Sequence[str], opposites: Sequence[str], *, beta: float, gamma: float
    ) -> list[str]:
        """Return the reply to each prompt, contrasted with its opposite; see ``ContrastiveGenerator``.

        Raises:
            ValueError: There are not as many opposites as prompts.
            InputError: beta or gamma is out of its range.
        """
        if len(opposites) != len(prompts):
            raise ValueError(f"generate_against: {len(opposites)} opposites for {len(prompts)} prompts; give one each.")
        return self._generate(prompts, opposites, beta, gamma)

    def _generate(
        self, prompts: Sequence[str], opposites: Sequence[str] | None, beta: float, gamma: float
    ) -> list[str]:
        replies = [""] * len(prompts)
        fitting = [
            i for i, prompt in enumerate(prompts) if self._fits(prompt, None if opposites is None else opposites[i])
        ]
        for start in range(0, len(fitting), self.batch_size):
            places = fitting[start : start + self.batch_size]
            against = None if opposites is None or not beta else [opposites[i] for i in places]
            found = self._decode([prompts[i] for i in places], against, beta, gamma)
            for place, reply in zip(places, found, strict=True):
                replies[place] = reply
        return replies

    def _fits(self, *prompts: str | None) -> bool:
        if self._longest_prompt is None:
            return True
        return all(len(self._ids(prompt)) <= self._longest_prompt for prompt in prompts if prompt is not None)

    def _ids(self, prompt: str) -> list[int]:
        if self.tokenizer.chat_template:
            message = [{"role": "user", "content": prompt}]
            text = self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
            found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            found = self.tokenizer(prompt)["input_ids"]
        return found

    def _batch(self, prompts: Sequence[str]) -> dict[str, torch.Tensor]:
        batch = self.tokenizer.pad({"input_ids": [self._ids(prompt) for prompt in prompts]}, return_tensors="pt")
        return {name: batch[name].to(self.model.device) for name in ("input_ids", "attention_mask")}

    @torch.no_grad()
    def _decode(self, prompts: Sequence[str], opposites: Sequence[str] | None, beta: float, gamma: float) -> list[str]:
        batch = self._batch(prompts)
        hooks = [] if opposites is None else [ContrastiveLogits(self.model, self._batch(opposites), beta, gamma)]
        # What generate returns begins with the prompt, or with the one token that decoders start from.
        written = 1 if self.model.config.is_encoder_decoder else batch["input_ids"].shape[1]
        ids = self.model.generate(
            **batch,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            num_beams=1,
            logits_processor=hooks,
            stopping_criteria=[_LineEnds(self.tokenizer, written)] if self.one_line else [],
        )[:, written:]
        replies: list[str] = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return replies


class _LineEnds:
    """A stopping criterion of transformers' ``generate``: the reply has a line that says something, and it is over."""

    def __init__(self, tokenizer: Any, start: int) -> None:
        self._tokenizer, self._start = tokenizer, start

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        replies = self._tokenizer.batch_decode(input_ids[:, self._start :], skip_special_tokens=True)
        return torch.tensor(["\n" in reply.lstrip() for reply in replies], device=input_ids.device)


def _load(name: str) -> tuple[Any, Any]:
    """Load model and tokenizer, in evaluation mode, on the GPU where there is one."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with foreign_progress_off():
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
            kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            dtype = torch.bfloat16 if device == "cuda" else torch.float32
            model = kind.from_pretrained(name, use_safetensors=True, trust_remote_code=False, dtype=dtype)
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # whatever a foreign loader raises becomes one sentence
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"cannot load the language model '{name}': {reason} Give a folder with safetensors weights, or the hub "
            "name of a causal or a sequence-to-sequence model that can be reached."
        ) from error
    if not config.is_encoder_decoder:
        tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise InputError(f"the tokenizer of '{name}' has neither a padding token nor an end token; take another model.")
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    # What a checkpoint asks for by default (sampling, a length) has no part in greedy decoding.
    for setting in ("temperature", "top_p", "top_k", "min_p", "max_length"):
        setattr(model.generation_config, setting, None)
    return model.eval().to(device), tokenizer


def identity(name: str) -> str:
    """Return what tells a model from another of the same name: for a folder, its files' sizes and dates."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return json.dumps([name, [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]])
