"""Utterances in the form of transcripts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.data.utterances import plain_utterance


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("I do n't know , it 's late .", "i do n't know it's late"),
        ("i ' m here", "i'm here"),
        ("Where ?", "where?"),
        ("Where? Here!", "where? here"),
        ("I’d like San José's café", "i'd like san josé's café"),
        ("call 01223-217297", "call 01223 217297"),
        ("snake_case", "snake case"),
        (" ... ", ""),
    ],
)
def test_what_is_kept(text, plain):
    assert plain_utterance(text) == plain


def official(text):
    """create_training_data.py of idiap/dialog2flow, 5ce95a6a5027, with its question mark mended."""
    text = re.sub(r"(\w)\s+'\s*", r"\1'", text)
    text = re.sub(r"(\w)\s+\?", r"\1?", text)
    return " ".join(re.findall(r"[a-zA-Z0-9'?]+", text)).lower()


@given(st.text(alphabet="abZ09 '?!.,-\n", max_size=30))
def test_on_ascii_it_is_the_official_form(text):
    assert plain_utterance(text) == official(text)


@given(st.text(max_size=30))
def test_there_is_one_space_between_words_and_none_around_them(text):
    plain = plain_utterance(text)
    assert plain == " ".join(plain.split())
    assert not set(plain) & set("_.,!-")
