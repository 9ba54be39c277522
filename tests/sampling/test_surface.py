"""Likeness on the surface, against loops over words."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.geometry.bias import words_of
from likewise.sampling import SurfaceTexts, surface_similarity

WORDS = ["a", "man", "is", "not", "playing", "guitar", "B", "the"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=7).map(" ".join), min_size=2, max_size=6)


def edit_distance(one: list[str], other: list[str]) -> int:
    """Wagner and Fischer's table, written out."""
    table = [[i + j if not i * j else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            change = table[i - 1][j - 1] + (one[i - 1] != other[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, change)
    return table[-1][-1]


def by_hand(one: str, other: str, measure: str) -> float:
    first, second = words_of(one), words_of(other)
    if measure == "length":
        return min(len(first), len(second)) / max(len(first), len(second))
    if measure == "edit":
        return 1 - edit_distance(first, second) / max(len(first), len(second))
    pairs = [{tuple(words[i : i + 2]) for i in range(max(1, len(words) - 1))} for words in (first, second)]
    return len(pairs[0] & pairs[1]) / len(pairs[0] | pairs[1])


def test_a_word_more_and_another_sentence_worked_out_by_hand():
    playing = "a man is playing a guitar"
    found = surface_similarity([playing] * 2, ["a man is not playing a guitar", "someone plays the guitar"])
    assert found.tolist() == pytest.approx([0.85714286, 0.16666667], abs=1e-8)
    assert surface_similarity(["one two three"], ["four five six"]).tolist() == [0.0]
    assert surface_similarity(["One, two"], ["two one"], "bigram").tolist() == [0.0]
    assert surface_similarity(["a b c"], ["b c d"], "bigram").tolist() == [pytest.approx(1 / 3)]
    assert surface_similarity(["a b c"], ["d"], "length").tolist() == [pytest.approx(1 / 3)]


@pytest.mark.parametrize("measure", ["edit", "bigram", "length"])
@given(TEXTS)
def test_it_equals_a_loop_is_symmetric_and_1_for_a_text_with_itself(measure, texts):
    words = SurfaceTexts(texts)
    first, second = (side.ravel() for side in np.indices((len(texts), len(texts))))
    found = words.similarity(first, second, measure).reshape(len(texts), len(texts))
    expected = [[by_hand(one, other, measure) for other in texts] for one in texts]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(found, found.T)
    assert (np.diag(found) == 1).all()
    assert ((found >= 0) & (found <= 1)).all()


@given(TEXTS, st.integers(0, 4))
def test_neighbours_share_the_rarest_words(texts, k):
    held = [set(words_of(text)) for text in texts]
    found = SurfaceTexts(texts).neighbours(k)
    for i, words in enumerate(held):
        scores = {}
        for j, others in enumerate(held):
            shared = [word for word in words & others if j != i]
            if shared:
                scores[j] = sum(math.log1p(len(held) / sum(word in one for one in held)) for word in shared)
        best = sorted(scores, key=lambda j: (-round(scores[j], 9), j))[:k]
        assert sorted(round(scores[j], 9) for j in found[i].tolist() if j >= 0) == sorted(
            round(scores[j], 9) for j in best
        )
        assert i not in found[i]


def test_what_too_many_texts_say_makes_no_neighbours(monkeypatch):
    monkeypatch.setattr("likewise.sampling.surface.RARE", 2)
    found = SurfaceTexts(["the cat", "the dog", "the cat sleeps", "the end"]).neighbours(2)
    assert found.tolist() == [[2, -1], [-1, -1], [0, -1], [-1, -1]]


def test_numbers_of_texts_that_differ_are_refused():
    with pytest.raises(ValueError, match="first has 2 texts and second has 1"):
        surface_similarity(["a", "b"], ["c"])
