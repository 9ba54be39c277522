"""Hidden tokens: in the shares of the rule, never special ones, and by the generator alone."""

import pytest
import torch

from likewise.encoders import Tokens
from likewise.errors import InputError
from likewise.views import TokenMasking

MASK, SPECIAL, VOCABULARY = 4, (0, 1, 2, 3, 4), 1000
RULE = TokenMasking(MASK, SPECIAL, VOCABULARY, 0.15)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(count, seed=0):
    """Texts of ten tokens, between a first and a last special one."""
    ids = torch.randint(5, VOCABULARY, (count, 12), generator=generator(seed))
    ids[:, 0], ids[:, -1] = 2, 3
    return Tokens(ids.flatten(), torch.full((count,), 12))


def test_chosen_tokens_are_hidden_replaced_and_kept_in_the_shares_of_the_rule():
    tokens = drawn(40_000)
    masked, chosen = RULE(tokens, generator())
    ordinary = ~torch.isin(tokens.ids, torch.tensor(SPECIAL))
    count = int(chosen.sum())
    assert count / int(ordinary.sum()) == pytest.approx(0.15, abs=0.003)
    before, after = tokens.ids[chosen], masked.ids[chosen]
    hidden, kept = after == MASK, after == before
    # A token drawn from the vocabulary is the mask token, or the token itself, once in a thousand.
    assert hidden.sum() / count == pytest.approx(0.8, abs=0.006)
    assert kept.sum() / count == pytest.approx(0.1, abs=0.006)
    replaced = after[~hidden & ~kept]
    assert len(replaced) / count == pytest.approx(0.1, abs=0.006)
    shares = torch.bincount(replaced, minlength=VOCABULARY) / len(replaced)
    assert len(shares) == VOCABULARY
    assert shares.max() < 6 / VOCABULARY


def test_what_was_not_chosen_stays_and_special_tokens_are_never_chosen():
    tokens = drawn(5000)
    masked, chosen = TokenMasking(MASK, SPECIAL, VOCABULARY, 0.99)(tokens, generator())
    assert torch.equal(masked.ids[~chosen], tokens.ids[~chosen])
    assert not torch.isin(tokens.ids[chosen], torch.tensor(SPECIAL)).any()
    assert torch.equal(masked.lengths, tokens.lengths)
    only_special = Tokens.from_lists([[2, 1, 0, 4, 3]] * 500)
    assert not RULE(only_special, generator())[1].any()


def test_the_generator_decides_and_no_other_is_touched():
    tokens = drawn(50)
    state = torch.get_rng_state()
    first, again, other = (RULE(tokens, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first[0].ids, again[0].ids)
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    torch.manual_seed(1)
    assert torch.equal(RULE(tokens)[0].ids, first[0].ids)


def test_the_ids_are_those_of_the_tokenizer(tiny_tower, sentences):
    inner = tiny_tower.tokenizer.tokenizer
    rule = TokenMasking.of(tiny_tower.tokenizer, 0.9)
    assert (rule.mask_id, rule.vocabulary) == (inner.mask_token_id, len(inner))
    tokens = tiny_tower.tokenizer(sentences * 20)
    masked, chosen = rule(tokens, generator())
    assert (masked.ids == inner.mask_token_id).sum() > 100
    starts = torch.cumsum(tokens.lengths, 0) - tokens.lengths
    assert not chosen[starts].any()
    assert not chosen[starts + tokens.lengths - 1].any()


def test_no_tokens_are_no_trouble():
    masked, chosen = RULE(Tokens.from_lists([]))
    assert (len(masked.ids), len(chosen)) == (0, 0)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, float("nan")])
def test_a_chance_that_hides_nothing_or_everything_is_refused(probability):
    with pytest.raises(InputError, match="more than 0 and less than 1"):
        TokenMasking(MASK, SPECIAL, VOCABULARY, probability)


def test_a_tokenizer_without_a_mask_token_is_refused(tiny_tower):
    tiny_tower.tokenizer.tokenizer.mask_token = None
    with pytest.raises(InputError, match="has no mask token"):
        TokenMasking.of(tiny_tower.tokenizer, 0.15)
