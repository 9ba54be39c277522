"""Every ranking metric against loops written from its definition, and against trec_eval itself."""

import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.evaluation.ranking_metrics import FAMILIES, parse_metric


def loop_dcg(grades: list[float], k: int) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades[:k], 1))


def loop_ndcg(grades: list[float], ideal: list[float], k: int) -> float:
    return loop_dcg(grades, k) / loop_dcg(ideal, k)


def loop_mrr(grades: list[float], ideal: list[float], k: int) -> float:
    for rank, grade in enumerate(grades[:k], 1):
        if grade > 0:
            return 1 / rank
    return 0.0


def loop_recall(grades: list[float], ideal: list[float], k: int) -> float:
    return sum(grade > 0 for grade in grades[:k]) / sum(grade > 0 for grade in ideal)


def loop_precision(grades: list[float], ideal: list[float], k: int) -> float:
    return sum(grade > 0 for grade in grades[:k]) / k


def loop_hit(grades: list[float], ideal: list[float], k: int) -> float:
    return float(any(grade > 0 for grade in grades[:k]))


def loop_map(grades: list[float], ideal: list[float], k: int) -> float:
    total = 0.0
    for rank, grade in enumerate(grades[:k], 1):
        if grade > 0:
            total += sum(other > 0 for other in grades[:rank]) / rank
    return total / sum(grade > 0 for grade in ideal)


LOOPS = {
    "ndcg": loop_ndcg,
    "mrr": loop_mrr,
    "recall": loop_recall,
    "precision": loop_precision,
    "hit": loop_hit,
    "map": loop_map,
}


@st.composite
def rankings(draw):
    """Grades of a whole ranking of a few documents, cut at a depth, for several queries."""
    documents, depth = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    whole = draw(
        st.lists(
            st.lists(st.integers(0, 3), min_size=documents, max_size=documents).filter(any), min_size=1, max_size=5
        )
    )
    gains = np.array([grades[:depth] for grades in whole], dtype=float)
    ideal = np.array([sorted(grades, reverse=True) for grades in whole], dtype=float)
    return gains, ideal


@given(rankings(), st.sampled_from(sorted(FAMILIES)), st.integers(1, 14))
def test_every_metric_equals_its_definition_in_a_loop(case, family, k):
    gains, ideal = case
    expected = [LOOPS[family](row, best, k) for row, best in zip(gains.tolist(), ideal.tolist(), strict=True)]
    np.testing.assert_allclose(FAMILIES[family](gains, ideal, k), expected, rtol=1e-12)


@given(rankings(), st.sampled_from(sorted(FAMILIES)), st.integers(1, 14))
def test_every_metric_lies_between_nothing_and_the_best_list(case, family, k):
    gains, ideal = case
    values = FAMILIES[family](gains, ideal, k)
    best = FAMILIES[family](ideal, ideal, k)
    assert (values >= 0).all()
    assert (values <= best + 1e-12).all()
    assert (best <= 1 + 1e-12).all()


def test_hand_numbers():
    gains = np.array([[0.0, 3.0, 0.0, 1.0]])
    ideal = np.array([[3.0, 2.0, 1.0]])
    assert FAMILIES["mrr"](gains, ideal, 10) == [0.5]
    assert FAMILIES["recall"](gains, ideal, 2) == pytest.approx([1 / 3])
    assert FAMILIES["precision"](gains, ideal, 10) == pytest.approx([0.2])
    assert FAMILIES["hit"](gains, ideal, 1) == [0.0]
    assert FAMILIES["map"](gains, ideal, 10) == pytest.approx([(1 / 2 + 2 / 4) / 3])
    best = 3 + 2 / math.log2(3) + 1 / 2
    assert FAMILIES["ndcg"](gains, ideal, 10) == pytest.approx([(3 / math.log2(3) + 1 / math.log2(5)) / best])


NAMES_OF_TREC_EVAL = {
    "ndcg": ("ndcg_cut", "ndcg_cut_{k}"),
    "recall": ("recall", "recall_{k}"),
    "precision": ("P", "P_{k}"),
    "map": ("map_cut", "map_cut_{k}"),
    "hit": ("success", "success_{k}"),
}


@pytest.mark.parametrize("k", [1, 5, 10, 100])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_metric_is_that_of_trec_eval(family, k):
    random = np.random.default_rng(k)
    queries, documents, depth = 40, 150, 120
    grades = random.choice([0, 0, 0, 0, 1, 2], size=(queries, documents))
    grades[:, -1] = 1  # at least one, often not found
    judgments, run = {}, {}
    for query in range(queries):
        # trec_eval orders by score, which here is a number a rank: our ranking without ties.
        cut = k if family == "mrr" else depth  # trec_eval's reciprocal rank has no cut of its own
        run[f"q{query}"] = {f"d{rank}": float(depth - rank) for rank in range(min(depth, cut))}
        judgments[f"q{query}"] = {f"d{one}": int(grade) for one, grade in enumerate(grades[query])}
    measure, name = NAMES_OF_TREC_EVAL.get(family, ("recip_rank", "recip_rank"))
    request = {measure if family == "mrr" else f"{measure}.{k}"}
    found = pytrec_eval.RelevanceEvaluator(judgments, request).evaluate(run)
    expected = [found[f"q{query}"][name.format(k=k)] for query in range(queries)]
    gains = grades[:, :depth].astype(float)
    ideal = -np.sort(-grades.astype(float), axis=1)
    np.testing.assert_allclose(FAMILIES[family](gains, ideal, k), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ndgc@10", "unknown metric 'ndgc': did you mean 'ndcg'"),
        ("recall", "'recall' does not say how many ranks count; write for example 'recall@10'"),
        ("recall@0", "does not say how many ranks"),
        ("recall@-3", "does not say how many ranks"),
        ("recall@²", "does not say how many ranks"),
    ],
)
def test_a_name_that_is_no_metric_is_said(name, words):
    with pytest.raises(InputError, match=words):
        parse_metric(name)
