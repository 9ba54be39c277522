import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likewise.encoders import Tokens

ROWS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=8)


def lists(tokens: Tokens) -> list[list[int]]:
    return [part.tolist() for part in tokens.ids.split(tokens.lengths.tolist())]


@given(rows=ROWS, data=st.data())
def test_selecting_rows_is_indexing_a_list(rows, data):
    index = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=0, max_size=10))
    selected = Tokens.from_lists(rows).select(torch.tensor(index, dtype=torch.int64))
    assert lists(selected) == [rows[i] for i in index]


@given(rows=ROWS)
def test_padding_puts_every_token_at_its_place_and_nothing_else_is_marked(rows):
    ids, mask = Tokens.from_lists(rows).padded(pad_id=-7)
    for row, ids_row, mask_row in zip(rows, ids.tolist(), mask.tolist(), strict=True):
        assert ids_row[: len(row)] == row
        assert set(ids_row[len(row) :]) <= {-7}
        assert mask_row == [1] * len(row) + [0] * (len(ids_row) - len(row))


@given(rows=ROWS, times=st.integers(1, 3))
def test_repeating_gives_whole_copies_one_after_the_other(rows, times):
    assert lists(Tokens.from_lists(rows).repeat(times)) == rows * times


@given(rows=ROWS)
def test_positions_count_from_zero_within_each_text(rows):
    assert Tokens.from_lists(rows).positions().tolist() == [p for row in rows for p in range(len(row))]


def test_texts_with_prompts_of_other_lengths_do_not_share_a_pass():
    with pytest.raises(ValueError, match="encode the sides separately"):
        Tokens.from_lists([[1]], prompt_tokens=2).followed_by(Tokens.from_lists([[1]]))


def test_the_tokenizer_goes_to_worker_processes_and_tokenises_the_same_there(minilm, sentences):
    tokenizer = minilm.tokenizer
    again = pickle.loads(pickle.dumps(tokenizer))
    assert torch.equal(tokenizer(sentences).ids, again(sentences).ids)


def test_texts_are_cut_at_max_tokens_with_their_special_tokens(tiny_tower):
    long = "word " * 100
    tokens = tiny_tower.tokenizer([long])
    assert tokens.lengths.tolist() == [32]
    assert tokens.ids[-1] == tiny_tower.tokenizer.tokenizer.sep_token_id


def test_a_prompt_stands_in_front_and_its_tokens_are_counted(tiny_tower):
    tiny_tower.tower.prompts["query"] = "search for: "
    tokenizer = tiny_tower.tokenizer
    prompted, plain = tokenizer(["dog"], "query"), tokenizer(["search for: dog"])
    assert prompted.ids.tolist() == plain.ids.tolist()
    assert prompted.prompt_tokens == len(tokenizer.tokenizer("search for: ")["input_ids"]) - 1
    assert tokenizer(["dog"]).prompt_tokens == 0
