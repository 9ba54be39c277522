"""Repetition keeps every token in its place, draws by the rule of the official code, and from nothing but the row."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from likewise.encoders import Tokens
from likewise.errors import InputError
from likewise.views import SubwordRepeat, TextInput, TextViews, WordRepeat

FIRST, LAST = 101, 102


def text(length: int) -> list[int]:
    """``length`` tokens, special ones included, all different."""
    return [FIRST, *range(1000, 1000 + length - 2), LAST]


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in range(count)]


def repeated(repeat: SubwordRepeat, rows: list[list[int]], seed: int = 0, prompt_tokens: int = 0) -> list[list[int]]:
    tokens = repeat(Tokens.from_lists(rows, prompt_tokens), generators(len(rows), seed))
    assert tokens.prompt_tokens == prompt_tokens
    assert int(tokens.lengths.sum()) == len(tokens.ids)
    return [part.tolist() for part in tokens.ids.split(tokens.lengths.tolist())]


def extra(repeat: SubwordRepeat, length: int, draws: int = 10_000) -> list[int]:
    """How many tokens each of many texts of a length gets."""
    return [len(row) - length for row in repeated(repeat, [text(length)] * draws)]


def without_copies(row: list[int]) -> list[int]:
    return [token for place, token in enumerate(row) if place == 0 or row[place - 1] != token]


@given(
    rows=st.lists(st.lists(st.integers(1000, 1005), max_size=40), max_size=6),
    rate=st.floats(0, 0.999),
    cap=st.integers(1, 12),
    floor=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_order_ends_and_limits_hold_whatever_the_texts(rows, rate, cap, floor, seed):
    rows = [[FIRST, *row, LAST] for row in rows]
    made = repeated(SubwordRepeat(rate, cap, floor), rows, seed)
    assert len(made) == len(rows)
    for before, after in zip(rows, made, strict=True):
        assert (after[0], after[-1]) == (FIRST, LAST)
        assert Counter(after) >= Counter(before)
        assert after.count(FIRST) == after.count(LAST) == 1
        added = len(after) - len(before)
        assert 0 <= added <= max(min(cap, len(before) - 1, max(floor, int(rate * len(before)))) - 1, 0)
        assert without_copies(after) == without_copies(before)


@given(length=st.integers(3, 40), seed=st.integers(0, 999))
def test_of_different_tokens_each_comes_once_or_twice_and_removing_copies_gives_the_text_back(length, seed):
    before = text(length)
    (after,) = repeated(SubwordRepeat(0.9), [before], seed)
    assert without_copies(after) == before
    assert set(Counter(after).values()) <= {1, 2}


def test_ten_tokens_get_none_one_or_two_alike_often():
    counts = Counter(extra(SubwordRepeat(0.32), 10))
    assert counts.keys() == {0, 1, 2}
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_thirty_two_tokens_get_none_to_nine_alike_often():
    counts = Counter(extra(SubwordRepeat(0.32), 32))
    assert counts.keys() == set(range(10))
    assert chisquare(list(counts.values())).pvalue > 0.001


@pytest.mark.parametrize(("length", "rate"), [(3, 0.32), (4, 0.32), (2, 0.9), (40, 0.0)])
def test_texts_that_are_too_short_for_their_rate_stay_as_they_are(length, rate):
    assert set(extra(SubwordRepeat(rate), length, 500)) == {0}


def test_a_floor_reaches_short_texts_and_a_cap_holds_long_ones():
    assert set(extra(SubwordRepeat(0.32, floor=2), 4, 500)) == {0, 1}
    assert set(extra(SubwordRepeat(0.9, cap=3), 32, 500)) == {0, 1, 2}
    assert set(extra(SubwordRepeat(0.9, cap=1), 32, 500)) == {0}


def test_every_token_but_the_special_ones_is_chosen_alike_often():
    made = repeated(SubwordRepeat(0.32), [text(12)] * 10_000)
    twice = Counter(token for row in made for token, count in Counter(row).items() if count == 2)
    assert twice.keys() == set(text(12)[1:-1])
    assert chisquare(list(twice.values())).pvalue > 0.001


def test_a_prompt_is_no_part_of_the_text():
    row = [FIRST, 1, 2, 3, *range(1000, 1008), LAST]  # special, three tokens of prompt, ten of text with the ends
    made = repeated(SubwordRepeat(0.32), [row] * 3000, prompt_tokens=4)
    assert all(one[:4] == row[:4] for one in made)
    assert {len(one) - len(row) for one in made} == {0, 1, 2}
    assert {token for one in made for token, count in Counter(one).items() if count == 2} == set(range(1000, 1008))


def test_the_rows_own_generators_decide_and_no_other_is_touched():
    rows = [text(30), text(9), text(20)]
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    whole = repeated(SubwordRepeat(0.32), rows, 4)
    alone = SubwordRepeat(0.32)(Tokens.from_lists(rows[1:2]), generators(3, 4)[1:2])
    assert whole[1] == alone.ids.tolist()
    assert whole != repeated(SubwordRepeat(0.32), rows, 5)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_no_texts_are_no_trouble():
    assert len(SubwordRepeat(0.32)(Tokens.from_lists([]), [])) == 0


@given(words=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_words_keep_their_order_and_the_last_stays_alone(words, seed):
    after = WordRepeat(0.32)(" ".join(words), np.random.default_rng(seed)).split()
    assert without_copies([*after]) == without_copies(words)
    most = min(10, len(words), max(2, int(0.32 * len(words))))
    assert 0 <= len(after) - len(words) <= most - 1
    assert Counter(after) >= Counter(words)
    numbered = [f"{word}{place}" for place, word in enumerate(words)]
    after = WordRepeat(0.32)(" ".join(numbered), np.random.default_rng(seed)).split()
    assert without_copies(after) == numbered
    assert after.count(numbered[-1]) == 1


def test_words_are_drawn_by_the_rule_of_the_word_variant():
    def counts(number: int, **options) -> Counter:
        words = " ".join(map(str, range(number)))
        repeat = WordRepeat(0.32, **options)
        return Counter(len(repeat(words, generator).split()) - number for generator in generators(6000))

    assert counts(1).keys() == {0}
    assert counts(3).keys() == {0, 1}  # the floor of 2
    assert counts(3, floor=0).keys() == {0}
    twenty = counts(20)
    assert twenty.keys() == set(range(6))
    assert chisquare(list(twenty.values())).pvalue > 0.001
    assert max(counts(60)) == 9


def test_a_text_of_which_no_word_is_repeated_keeps_its_white_space():
    assert WordRepeat(0.32, floor=0)("one\ttext  ", np.random.default_rng(0)) == "one\ttext  "


@pytest.mark.parametrize("kind", [SubwordRepeat, WordRepeat])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rate": 1.0}, "the rate of repetition is 1.0; it is a share"),
        ({"rate": -0.1}, "the rate of repetition is -0.1"),
        ({"rate": float("nan")}, "the rate of repetition is nan"),
        ({"rate": 0.3, "cap": 0}, "cap and floor of the repetition are 0 and "),
        ({"rate": 0.3, "floor": -1}, "cap and floor of the repetition are 10 and -1"),
    ],
)
def test_numbers_out_of_range_are_refused(kind, settings, says):
    with pytest.raises(InputError, match=says):
        kind(**settings)


def test_protected_places_out_of_range_are_refused():
    with pytest.raises(InputError, match="leading and trailing are -1 and 1"):
        SubwordRepeat(0.3, leading=-1)


def test_special_tokens_are_those_of_the_tokenizer(tiny_tower):
    assert tiny_tower.tokenizer.special_tokens_around == (1, 1)
    repeat = SubwordRepeat.of(tiny_tower.tokenizer, 0.32)
    assert (repeat.leading, repeat.trailing, repeat.cap, repeat.floor) == (1, 1, 10, 0)
    open_ends = SubwordRepeat.of(tiny_tower.tokenizer, 0.9, protect_special=False)
    assert (open_ends.leading, open_ends.trailing) == (0, 0)
    assert any(row[0] == row[1] for row in repeated(open_ends, [text(5)] * 200))


def test_a_tokenizer_without_special_tokens_has_none_to_protect(tiny_tower):
    class Bare:
        special_tokens_around = (0, 0)

    with pytest.raises(InputError, match=r"puts no special tokens around a text.*--no-protect-special"):
        SubwordRepeat.of(Bare(), 0.32)
    assert SubwordRepeat.of(Bare(), 0.32, protect_special=False).leading == 0


@pytest.fixture
def views(tiny_tower) -> TextViews:
    repeat = SubwordRepeat.of(tiny_tower.tokenizer, 0.9)
    inputs = {
        "text": TextInput("text", with_ids=True),
        "tokens": TextInput("text", change_tokens=repeat),
        "words": TextInput("text", with_ids=True, change_text=WordRepeat(0.9)),
    }
    return TextViews(tiny_tower.tokenizer, inputs)


def batch_of(views: TextViews, rows: list[int], sentences: list[str]):
    examples = [views({"text": sentences[row]}, np.random.default_rng([7, row])) for row in rows]
    return views.collate(examples, rows)


def test_views_of_a_row_do_not_depend_on_its_batch(views, sentences):
    whole, part = batch_of(views, list(range(8)), sentences), batch_of(views, [6, 4, 2], sentences)
    for name in ("text", "tokens", "words"):
        wanted = whole[name].select(torch.tensor([6, 4, 2]))
        assert torch.equal(part[name].ids, wanted.ids)
        assert torch.equal(part[name].lengths, wanted.lengths)
    assert (whole["tokens"].lengths > whole["text"].lengths).any()
    assert (whole["words"].lengths > whole["text"].lengths).any()


def test_ids_are_those_of_the_text_as_the_row_holds_it(views, sentences):
    batch = batch_of(views, list(range(8)), sentences)
    assert torch.equal(batch["text_id"], batch["words_id"])
    assert "tokens_id" not in batch


def test_a_column_is_tokenised_once_where_its_text_is_not_changed(views, sentences, monkeypatch):
    calls = []
    original = type(views.tokenizer).__call__
    monkeypatch.setattr(
        type(views.tokenizer), "__call__", lambda self, texts, role=None: calls.append(texts) or original(self, texts)
    )
    batch_of(views, [0, 1, 2], sentences)
    assert len(calls) == 2  # the text as it is, and with repeated words


def test_no_token_is_cut_off_after_repetition(views):
    long = "word " * 100
    made = views.collate([views({"text": long}, np.random.default_rng(i)) for i in range(20)], list(range(20)))
    last = made["text"].ids[-1]
    assert set(made["text"].lengths.tolist()) == {32}
    assert 32 < made["tokens"].lengths.max() <= 41
    assert (made["tokens"].ids[made["tokens"].lengths.cumsum(0) - 1] == last).all()


def test_a_text_of_which_no_token_is_left_is_named(views, sentences):
    with pytest.raises(InputError, match=r"^row 5: column 'text' is '\\u200b', of which .* leaves no token"):
        batch_of(views, [0, 5], [*sentences[:5], "\u200b"])


def test_views_go_to_workers(views, sentences):
    there = pickle.loads(pickle.dumps(views))
    assert torch.equal(batch_of(there, [4], sentences)["tokens"].ids, batch_of(views, [4], sentences)["tokens"].ids)


def test_a_process_without_rows_gets_empty_inputs(views):
    batch = views.collate([], [])
    assert [len(batch[name]) for name in ("text", "tokens", "words")] == [0, 0, 0]
