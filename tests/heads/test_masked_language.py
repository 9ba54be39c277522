"""The auxiliary masked-language loss: its formula, its gradient, its head's weights, and its limits."""

import math

import pytest
import torch
from torch.testing import assert_close
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from likewise.encoders import Tokens, load_text_encoder
from likewise.errors import InputError
from likewise.heads import MaskedLanguageHead, MaskedLanguageModel


def head_and_inputs(tokens=5, width=3, out=4, vocabulary=7):
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    head = MaskedLanguageHead(width, out, vocabulary).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(drawn(*parameter.shape))
    return head, drawn(tokens, width), drawn(vocabulary, out), torch.tensor([3, 0, 6, 3, 1])[:tokens]


def test_rows_equal_a_plain_loop():
    head, features, table, target = head_and_inputs()
    weight, offset, gain, shift, bias = (
        tensor.tolist() for tensor in (head.dense.weight, head.dense.bias, head.norm.weight, head.norm.bias, head.bias)
    )
    for feature, word, loss in zip(
        features.tolist(), target.tolist(), head(features, table, target).tolist(), strict=True
    ):
        dense = [
            sum(w * f for w, f in zip(row, feature, strict=True)) + c for row, c in zip(weight, offset, strict=True)
        ]
        active = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in dense]
        mean = sum(active) / len(active)
        spread = math.sqrt(sum((x - mean) ** 2 for x in active) / len(active) + 1e-12)
        hidden = [g * (x - mean) / spread + s for x, g, s in zip(active, gain, shift, strict=True)]
        logits = [
            sum(h * e for h, e in zip(hidden, row, strict=True)) + b
            for row, b in zip(table.tolist(), bias, strict=True)
        ]
        top = max(logits)
        assert loss == pytest.approx(top + math.log(sum(math.exp(x - top) for x in logits)) - logits[word], rel=1e-9)


def test_a_head_that_knows_nothing_loses_the_logarithm_of_the_vocabulary():
    losses = MaskedLanguageHead(3, 4, 50)(torch.randn(2, 3), torch.zeros(50, 4), torch.tensor([0, 49]))
    assert_close(losses, torch.full((2,), math.log(50)))


def test_the_gradient_is_that_of_finite_differences():
    head, features, table, target = head_and_inputs()
    names, weights = zip(*head.named_parameters(), strict=True)

    def loss(features, table, *weights):
        return torch.func.functional_call(head, dict(zip(names, weights, strict=True)), (features, table, target))

    inputs = [tensor.detach().clone().requires_grad_() for tensor in (features, table, *weights)]
    assert torch.autograd.gradcheck(loss, inputs)


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
FAMILIES = {
    "bert": (BertForMaskedLM, BertConfig(vocab_size=30522, layer_norm_eps=1e-6, **SIZES)),
    "roberta": (RobertaForMaskedLM, RobertaConfig(vocab_size=30522, pad_token_id=0, type_vocab_size=1, **SIZES)),
    "distilbert": (
        DistilBertForMaskedLM,
        DistilBertConfig(vocab_size=30522, dim=32, n_layers=2, n_heads=2, hidden_dim=48),
    ),
}


def checkpoint(folder, family, tokenizer, capfd):
    """A small random masked language model in a folder, every weight of its head drawn."""
    kind, config = FAMILIES[family]
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embedding" not in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    capfd.readouterr()  # a progress bar
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_the_checkpoint_with_its_own_head(tmp_path, tiny_tower, sentences, family, capfd):
    theirs = checkpoint(tmp_path, family, tiny_tower.tokenizer.tokenizer, capfd)
    encoder = load_text_encoder(tmp_path)
    model = MaskedLanguageModel(encoder).eval()
    tokens = encoder.tokenizer(sentences)
    torch.manual_seed(1)
    with torch.no_grad():
        ours = model(encoder, tokens)
        torch.manual_seed(1)
        masked, chosen = model.masking(tokens)
        ids, mask = masked.padded(0)
        labels, _ = Tokens(torch.where(chosen, tokens.ids, -100), tokens.lengths).padded(-100)
        expected = theirs(input_ids=ids, attention_mask=mask, labels=labels).loss
    assert chosen.sum() > 3
    assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_head_that_predicts_other_tokens_is_not_taken(tmp_path, tiny_tower, capfd):
    theirs = checkpoint(tmp_path, "bert", tiny_tower.tokenizer.tokenizer, capfd)
    encoder = load_text_encoder(tmp_path)
    assert torch.equal(MaskedLanguageHead.of(encoder).bias, theirs.cls.predictions.bias)
    encoder.transformer.resize_token_embeddings(30600)
    head = MaskedLanguageHead.of(encoder)
    assert len(head.bias) == 30600
    assert not head.bias.any()


def test_a_checkpoint_without_a_head_gets_a_fresh_one(tiny_tower):
    head = MaskedLanguageHead.of(tiny_tower)
    assert head.dense.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not any(tensor.any() for tensor in (head.dense.bias, head.norm.bias, head.bias))


def test_where_no_token_was_hidden_the_loss_is_zero_with_a_gradient_of_zero(tiny_tower):
    model = MaskedLanguageModel(tiny_tower)
    for tokens in (tiny_tower.tokenizer([""] * 3), tiny_tower.tokenizer([])):
        loss = model(tiny_tower, tokens)
        assert loss.item() == 0
        tiny_tower.zero_grad(set_to_none=True)
        loss.backward()
        trained = [*model.parameters(), *(p for n, p in tiny_tower.named_parameters() if "pooler" not in n)]
        assert all(parameter.grad is not None and not parameter.grad.any() for parameter in trained)


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_the_gradient_does_not_depend_on_the_micro_batch(tiny_tower, sentences, micro_batch):
    model, tokens = MaskedLanguageModel(tiny_tower), tiny_tower.tokenizer(sentences)
    seen = []
    for size in (None, micro_batch):
        tiny_tower.micro_batch = size
        tiny_tower.eval().zero_grad(set_to_none=True)
        model.zero_grad(set_to_none=True)
        torch.manual_seed(2)
        model(tiny_tower, tokens).backward()
        named = [*tiny_tower.named_parameters(), *model.named_parameters()]
        seen.append({name: p.grad.clone() for name, p in named if p.grad is not None})
    assert seen[0].keys() == seen[1].keys()
    for name, gradient in seen[0].items():
        assert_close(seen[1][name], gradient, rtol=1e-4, atol=1e-5)


def test_it_is_learned(tiny_tower, sentences):
    model, tokens = MaskedLanguageModel(tiny_tower, 0.5), tiny_tower.tokenizer(sentences)
    optimizer = torch.optim.Adam([*model.parameters(), *tiny_tower.parameters()], lr=1e-3)
    torch.manual_seed(0)
    course = []
    for _ in range(20):
        loss = model(tiny_tower, tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        course.append(loss.item())
    assert sum(course[-5:]) < 0.8 * sum(course[:5])


def test_a_tower_without_a_mask_token_is_refused(tiny_tower):
    tiny_tower.tokenizer.tokenizer.mask_token = None
    with pytest.raises(InputError, match="has no mask token"):
        MaskedLanguageModel(tiny_tower)
