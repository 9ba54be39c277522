"""Tiny language models with random weights, made on the spot: what they write means nothing, but is always the same."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

UNKNOWN = "<unk>"
WORDS = [
    "<pad>", "<eos>", UNKNOWN, "write", "a", "sentence", "that", "is", "entailment", "with", "negative", "score",
    "dog", "cat", "house", "river", "barks", "sleeps", "here", "how", "to", "such", "sentences", "two", "children",
    "are", "castle", "of", "sand", ":", "'", "(", ")", ".",
]  # fmt: skip


def _tokenizer(ends: bool, template: str | None, lines: bool) -> PreTrainedTokenizerFast:
    words = [*WORDS[:-10], *("\n" * (k + 1) for k in range(10))] if lines else WORDS
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    if ends:
        inner.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    special = {"eos_token": "<eos>", "unk_token": UNKNOWN, "pad_token": "<pad>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    tokenizer.chat_template = template
    return tokenizer


def save_language_model(
    folder: Path, kind: str, *, template: str | None = None, positions: int = 256, lines: bool = False
) -> str:
    """Write a model of one or two layers into a folder; kinds are "gpt2", "llama" and "t5".

    With ``lines`` many of its words are ends of lines.
    """
    torch.manual_seed(3)
    size = len(WORDS)
    if kind == "gpt2":
        config = GPT2Config(
            vocab_size=size, n_positions=positions, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1,
            initializer_range=0.6,
        )  # fmt: skip
        model = GPT2LMHeadModel(config)
    elif kind == "llama":
        config = LlamaConfig(
            vocab_size=size, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=positions, bos_token_id=1, eos_token_id=1, initializer_range=0.6,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
    else:
        config = T5Config(
            vocab_size=size, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0, eos_token_id=1,
            decoder_start_token_id=0, initializer_factor=3.0,
        )  # fmt: skip
        model = T5ForConditionalGeneration(config)
    model.eval().save_pretrained(folder)
    _tokenizer(kind == "t5", template, lines).save_pretrained(folder)
    return str(folder)
