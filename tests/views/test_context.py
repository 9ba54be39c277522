"""A sentence and one near it: which are drawn, how often, and that a document comes anew each epoch."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.views import ContextViews, context_pair


@given(st.integers(2, 12), st.integers(1, 15), st.integers(0, 99))
def test_both_are_sentences_of_the_document_and_near_each_other(number, width, seed):
    centre, other = context_pair(number, width, np.random.default_rng(seed))
    assert 0 <= centre < number
    assert 0 <= other < number
    assert 1 <= abs(centre - other) <= width


def test_centres_are_uniform_and_contexts_are_uniform_in_the_window():
    random = np.random.default_rng(0)
    drawn = Counter(context_pair(5, 2, random) for _ in range(20_000))
    windows = {centre: [x for x in range(5) if 0 < abs(x - centre) <= 2] for centre in range(5)}
    for centre, window in windows.items():
        for other in window:
            assert drawn[centre, other] / 20_000 == pytest.approx(1 / 5 / len(window), rel=0.12)
    assert sum(drawn.values()) == sum(drawn[c, x] for c, window in windows.items() for x in window)


def test_a_window_wider_than_the_document_is_any_other_sentence():
    random = np.random.default_rng(0)
    assert {context_pair(3, 9, random) for _ in range(200)} == {(a, b) for a in range(3) for b in range(3) if a != b}


def test_what_cannot_be_drawn_is_refused(minilm):
    with pytest.raises(ValueError, match="1 sentences; at least 2"):
        context_pair(1, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="width is 0"):
        context_pair(3, 0, np.random.default_rng(0))
    with pytest.raises(InputError, match="the window is 0 sentences wide"):
        ContextViews(minilm.tokenizer, width=0)


def test_a_document_shows_another_pair_in_another_epoch_and_equal_texts_are_told(minilm):
    views = ContextViews(minilm.tokenizer, width=1)
    row = {"sentences": ["a dog", "a cat", "A  dog", "a river"]}
    seen = [views(row, np.random.default_rng([0, epoch, 3])) for epoch in range(12)]
    assert seen[0] == views(row, np.random.default_rng([0, 0, 3]))
    assert len({(one["centre"][0], one["context"][0]) for one in seen}) > 3
    batch = views.collate(seen, list(range(12)))
    assert len(batch["centre"]) == len(batch["context"]) == 12
    by_text = {}
    for side in ("centre", "context"):
        for one, number in zip(seen, batch[f"{side}_id"].tolist(), strict=True):
            by_text.setdefault(one[side][0].lower().replace("  ", " "), set()).add(number)
    assert all(len(numbers) == 1 for numbers in by_text.values())
