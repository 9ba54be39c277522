"""Mined negatives are what a plain loop over all keys finds."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likewise.sampling import mine


@st.composite
def cases(draw):
    num_queries, num_keys = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    query = torch.nn.functional.normalize(torch.randn(num_queries, 3, generator=generator), dim=1)
    key = torch.nn.functional.normalize(torch.randn(num_keys, 3, generator=generator), dim=1)
    positives = [
        draw(st.lists(st.integers(0, num_keys - 1), min_size=1, max_size=3, unique=True)) for _ in range(num_queries)
    ]
    options = {
        "num_negatives": draw(st.integers(1, 5)),
        "skip_top": draw(st.integers(0, 3)),
        "share_of_positive": draw(st.sampled_from([None, 0.5, 0.95, 1.0])),
        "margin": draw(st.sampled_from([None, 0.0, 0.2])),
        "max_score": draw(st.sampled_from([None, 0.3])),
        "key_groups": draw(st.none() | st.lists(st.integers(0, 4), min_size=num_keys, max_size=num_keys)),
    }
    return query.double(), key.double(), positives, options


def by_loop(query, key, positives, *, num_negatives, skip_top, share_of_positive, margin, max_score, key_groups):
    groups = list(range(len(key))) if key_groups is None else key_groups
    found = []
    for i, right in enumerate(positives):
        scores = [sum(a * b for a, b in zip(query[i].tolist(), one.tolist(), strict=True)) for one in key]
        least = min(scores[j] for j in right)
        limit = math.inf if max_score is None else max_score
        if share_of_positive is not None:
            limit = min(limit, least - (1 - share_of_positive) * abs(least))
        if margin is not None:
            limit = min(limit, least - margin)
        wrong = [
            j
            for j in range(len(key))
            if groups[j] not in {groups[one] for one in right} and groups.index(groups[j]) == j and scores[j] <= limit
        ]
        best = sorted(wrong, key=lambda j, scores=scores: -scores[j])[skip_top : skip_top + num_negatives]
        found.append(best + [-1] * (num_negatives - len(best)))
    return found


@given(cases())
def test_negatives_are_those_of_a_plain_loop(case):
    query, key, positives, options = case
    groups = options["key_groups"]
    found = mine(query, key, positives, **{**options, "key_groups": None if groups is None else torch.tensor(groups)})
    assert found.dtype == torch.int64
    assert found.tolist() == by_loop(query, key, positives, **options)


def test_one_positive_a_query_may_be_given_as_a_tensor():
    key = torch.eye(4)
    query = torch.tensor([[0.9, 0.4, 0.3, 0.1], [0.1, 0.8, 0.5, 0.2]])
    found = mine(query, key, torch.tensor([0, 1]), num_negatives=2)
    assert found.tolist() == [[1, 2], [2, 3]]
    padded = torch.tensor([[0, 1], [1, -1]])
    assert mine(query, key, padded, num_negatives=2).tolist() == [[2, 3], [2, 3]]


def test_a_key_almost_as_similar_as_the_positive_is_no_negative():
    key = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.94, 0.34], [0.6, 0.8]])
    query = torch.tensor([[1.0, 0.0]])
    assert mine(query, key, [[0]], num_negatives=3).tolist() == [[2, 3, -1]]
    assert mine(query, key, [[0]], num_negatives=3, share_of_positive=None).tolist() == [[1, 2, 3]]
    assert mine(query, key, [[0]], num_negatives=3, share_of_positive=None, margin=0.3).tolist() == [[3, -1, -1]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"num_negatives": 0}, "num_negatives must be >= 1, got 0"),
        ({"skip_top": -1}, "skip_top must be >= 0, got -1"),
        ({"share_of_positive": 1.5}, r"share_of_positive must lie in \(0, 1\], got 1\.5"),
        ({"margin": -0.1}, "margin must be >= 0, got -0.1"),
        ({"key": torch.eye(3)}, r"query must be \[N, D\] and key \[M, D\], got \[2, 2\] and \[3, 3\]"),
        ({"positives": [[0]]}, "positives must be given for each of the 2 queries, got 1"),
        ({"positives": [[0], []]}, "query 1 has no positive; every query needs at least one"),
        ({"positives": [[0], [2]]}, r"positives must lie in \[0, 2\), or be -1"),
        ({"key_groups": torch.tensor([1])}, "key_groups must hold a number for each of the 2 keys, got 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, sentence):
    given_arguments = {"query": torch.eye(2), "key": torch.eye(2), "positives": [[0], [1]], "num_negatives": 1}
    with pytest.raises(ValueError, match=sentence):
        mine(**{**given_arguments, **arguments})
