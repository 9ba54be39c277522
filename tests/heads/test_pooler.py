"""The layer that a backbone brings for whole texts: taken where it was trained, the identity elsewhere."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import BertConfig, BertModel, RobertaConfig, RobertaForMaskedLM

from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.heads import BackbonePooler

SIZES = {"vocab_size": 30522, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 24}  # fmt: skip


def saved(folder, model, tokenizer, capfd):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    capfd.readouterr()  # a progress bar
    return load_text_encoder(folder)


def test_fresh_it_lets_small_numbers_through():
    pooler = BackbonePooler(3)
    assert_close(pooler(torch.tensor([[0.01, -0.02, 0.0]])), torch.tensor([[0.01, -0.02, 0.0]]), rtol=0, atol=1e-5)
    assert pooler(torch.full((1, 3), 50.0)).max() <= 1


def test_bert_brings_its_pooler(tmp_path, tiny_tower, capfd):
    torch.manual_seed(0)
    theirs = BertModel(BertConfig(**SIZES)).eval()
    encoder = saved(tmp_path / "bert", theirs, tiny_tower.tokenizer.tokenizer, capfd)
    pooler = BackbonePooler.of(encoder)
    assert isinstance(pooler.activation, nn.Tanh)
    assert torch.equal(pooler.dense.weight, theirs.pooler.dense.weight)
    text = ["a small house for a dog"]
    tokens = tiny_tower.tokenizer.tokenizer(text, return_tensors="pt")
    features = encoder.pooled("cls").eval()(encoder.tokenizer(text))
    assert_close(pooler(features), theirs(**tokens).pooler_output, rtol=1e-4, atol=1e-5)


def test_roberta_has_the_dense_layer_of_its_masked_language_head_and_gelu(tmp_path, tiny_tower, capfd):
    torch.manual_seed(0)
    theirs = RobertaForMaskedLM(RobertaConfig(pad_token_id=0, type_vocab_size=1, **SIZES))
    pooler = BackbonePooler.of(saved(tmp_path / "roberta", theirs, tiny_tower.tokenizer.tokenizer, capfd))
    assert isinstance(pooler.activation, nn.GELU)
    assert torch.equal(pooler.dense.weight, theirs.lm_head.dense.weight)
    assert torch.equal(pooler.dense.bias, theirs.lm_head.dense.bias)


@pytest.mark.parametrize("family", ["sentence-transformers", "of another width"])
def test_elsewhere_it_is_the_identity(tmp_path, tiny_tower, family, capfd):
    encoder = tiny_tower  # its file has a pooler, which its own pooling never read
    if family == "of another width":
        theirs = BertModel(BertConfig(**SIZES))
        encoder = saved(tmp_path / "bert", theirs, tiny_tower.tokenizer.tokenizer, capfd).truncated(dims=8)
    pooler = BackbonePooler.of(encoder)
    assert torch.equal(pooler.dense.weight, torch.eye(encoder.dim))
    assert not pooler.dense.bias.any()
    assert isinstance(pooler.activation, nn.Tanh)


def test_a_model_that_was_saved_by_us_is_not_asked_for_its_leftover_pooler(tmp_path, tiny_tower):
    tiny_tower.save(tmp_path / "ours")
    pooler = BackbonePooler.of(load_text_encoder(TextEncoderConfig(encoder=str(tmp_path / "ours"))))
    assert torch.equal(pooler.dense.weight, torch.eye(384))
