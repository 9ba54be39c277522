"""Contrastive decoding: the formula, and the hook in real models against a loop without caches and without padding."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from generators.language_models import save_language_model
from likewise.errors import InputError
from likewise.generators import LocalGenerator, contrastive_logits


def test_without_contrast_the_logits_come_back():
    wanted, opposite = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(contrastive_logits(wanted, opposite, beta=0.0), wanted)


@given(st.floats(0, 10), st.floats(0, 1))
def test_equal_instructions_change_no_plausible_token(beta, gamma):
    wanted = torch.randn(4, 9, generator=torch.Generator().manual_seed(1))
    found = contrastive_logits(wanted, wanted.clone(), beta, gamma)
    kept = found > -math.inf
    assert torch.equal(found[kept], wanted[kept])
    assert kept.any(1).all()


def test_three_tokens_worked_out_by_hand():
    wanted, opposite = torch.tensor([2.0, 1.0, -1.0]), torch.tensor([3.0, -1.0, -9.0])
    found = contrastive_logits(wanted, opposite, beta=0.5, gamma=0.1)  # e^-3 = 0.0498 of the highest: out
    assert found.tolist() == [1.5, 2.0, -math.inf]
    assert contrastive_logits(wanted, opposite, 0.5, 0.0).tolist() == [1.5, 2.0, 3.0]
    assert contrastive_logits(wanted, opposite, 0.5, 1.0).tolist() == [1.5, -math.inf, -math.inf]


@given(st.floats(0.001, 1))
def test_what_is_plausible_is_a_share_of_the_highest_probability(gamma):
    wanted = torch.randn(20, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 3
    kept = contrastive_logits(wanted, torch.zeros(20, dtype=torch.float64), 1.0, gamma) > -math.inf
    p = torch.softmax(wanted, 0)
    assert torch.equal(kept, p >= gamma * p.max() * (1 - 1e-12))


@pytest.mark.parametrize("settings", [(-0.1, 0.1), (math.inf, 0.1), (math.nan, 0.1), (0.5, -0.1), (0.5, 1.1)])
def test_what_cannot_be_is_refused(settings):
    with pytest.raises(InputError, match="of contrastive decoding is"):
        contrastive_logits(torch.zeros(3), torch.zeros(3), *settings)


PROMPTS = ["write a sentence", "here is a sentence that barks : a dog sleeps", "cat"]
OPPOSITES = ["write a negative sentence such that two children", "dog", "how to score a river"]


def loop(generator, prompt, opposite, beta, gamma):
    """Greedy decoding of one prompt: both prompts are read anew for every token."""
    model, tokenizer = generator.model, generator.tokenizer
    ids, other = (torch.tensor([tokenizer(text)["input_ids"]]) for text in (prompt, opposite))
    start = [model.config.decoder_start_token_id] if model.config.is_encoder_decoder else []
    written: list[int] = []
    for _ in range(generator.max_new_tokens):
        logits = []
        for given_ids in (ids, other):
            if model.config.is_encoder_decoder:
                output = model(input_ids=given_ids, decoder_input_ids=torch.tensor([start + written]))
            else:
                output = model(torch.cat([given_ids, torch.tensor([written], dtype=torch.int64)], 1))
            logits.append(output.logits[0, -1])
        token = int(contrastive_logits(*logits, beta, gamma).argmax())
        if token == tokenizer.eos_token_id:
            break
        written.append(token)
    return tokenizer.decode(written, skip_special_tokens=True)


@pytest.fixture(scope="module", params=["gpt2", "llama", "t5"])
def generator(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return LocalGenerator(save_language_model(folder, request.param), max_new_tokens=8, batch_size=2)


@torch.no_grad()
def test_a_batch_is_decoded_as_each_prompt_alone(generator):
    for beta, gamma in ((0.0, 0.1), (0.5, 0.1), (3.0, 0.0)):
        expected = [loop(generator, *pair, beta, gamma) for pair in zip(PROMPTS, OPPOSITES, strict=True)]
        assert generator.generate_against(PROMPTS, OPPOSITES, beta=beta, gamma=gamma) == expected
    assert len({tuple(generator.generate_against(PROMPTS, OPPOSITES, beta=b, gamma=0.0)) for b in (0.0, 3.0)}) == 2


def test_plain_generation_is_that_without_contrast(generator):
    plain = generator.generate(PROMPTS)
    assert plain == generator.generate_against(PROMPTS, OPPOSITES, beta=0.0, gamma=0.1)
    assert plain == generator.generate_against(PROMPTS, PROMPTS, beta=2.0, gamma=0.1)
    assert_close(len(plain), 3)
