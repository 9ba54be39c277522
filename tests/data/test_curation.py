"""The rule by which triples are kept, on the scores of the specification and on any others."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from likewise.data import CURATION_RULES, CurationRule, self_curate
from likewise.errors import InputError

TRIPLE = ("a dog barks", "a dog is loud", "a cat sleeps")


def verdict(u, v, **rule):
    (found,) = self_curate([TRIPLE], [(u, v)], **rule).triples
    return found


@pytest.mark.parametrize(
    ("scores", "rule", "dropped", "swapped"),
    [
        ((4, 1), {}, None, False),
        ((1, 4), {}, None, True),
        ((3, 3), {}, "tie", False),
        ((3.0, 2.9), {}, None, False),
        ((2.9, 1), {}, "below_alpha", False),
        ((5, 3.1), {}, "above_beta", False),
        ((3.1, 5), {}, "above_beta", True),
        ((None, 1), {}, "invalid", False),
        ((1, None), {}, "invalid", False),
        ((3, 3), {"gap": False}, None, False),
        ((4, 4), {"alpha": 4, "beta": 4, "gap": True}, "tie", False),
        ((0, 0), {"alpha": 0, "beta": 0, "gap": False}, None, False),
    ],
)
def test_what_is_kept(scores, rule, dropped, swapped):
    found = verdict(*scores, **rule)
    assert (found.dropped, found.swapped) == (dropped, swapped)
    assert (found.positive, found.negative) == (TRIPLE[:0:-1] if swapped else TRIPLE[1:])
    assert found.why.startswith("kept" if dropped is None else "dropped: ")


def test_the_report_counts_every_triple_once_and_says_why():
    scores = [(4, 1), (1, 4), (3, 3), (2, 1), (5, 4), (None, 2), (5, 0), (5, 0)]
    triples = [TRIPLE] * 6 + [("alone",), ("with one", "a positive")]
    found = self_curate(triples, scores)
    assert found.report.as_dict() == {
        "kept": 2, "swapped": 1, "invalid": 1, "incomplete": 2, "below_alpha": 1, "above_beta": 1, "tie": 1,
    }  # fmt: skip
    assert [triple.positive for triple in found.kept] == ["a dog is loud", "a cat sleeps"]
    assert [triple.why for triple in found.triples[2:]] == [
        "dropped: both scores are 3",
        "dropped: the better score 2 is below alpha 3",
        "dropped: the lower score 4 is above beta 3",
        "dropped: no valid score",
        "dropped: no positive and negative",
        "dropped: no negative",
    ]
    assert str(found.report) == (
        "kept 2 of 8 triples (1 of them swapped); dropped 1 without a valid score, 2 without a positive or a negative, "
        "1 whose positive scores too low, 1 whose negative scores too high, 1 with equal scores"
    )


@given(
    st.lists(st.tuples(*[st.integers(0, 50).map(lambda x: x / 10)] * 2), max_size=12),
    st.integers(0, 5),
    st.integers(0, 5),
    st.booleans(),
)
def test_a_swap_of_the_data_changes_nothing_but_ties_and_every_kept_triple_keeps_the_rule(scores, alpha, beta, gap):
    triples = [(f"t{i}", f"p{i}", f"n{i}") for i in range(len(scores))]
    given_ = self_curate(triples, scores, alpha, beta, gap)
    swapped = self_curate([(t, n, p) for t, p, n in triples], [(v, u) for u, v in scores], alpha, beta, gap)
    for one, other, (u, v) in zip(given_.triples, swapped.triples, scores, strict=True):
        assert one.dropped == other.dropped
        assert u == v or one[:5] == other[:5]
    assert all(t.positive_score >= alpha and t.negative_score <= beta for t in given_.kept)
    assert not gap or all(t.positive_score > t.negative_score for t in given_.kept)
    assert given_.report.kept == sum(
        max(u, v) >= alpha and min(u, v) <= beta and (u != v or not gap) for u, v in scores
    )


def test_official_rules_by_number():
    assert sorted(CURATION_RULES) == list(range(2, 19))
    assert CURATION_RULES[15] == CurationRule() == CurationRule(3, 3, True)
    assert CURATION_RULES[2] == CurationRule(4, 3, False)
    assert CURATION_RULES[14] == CurationRule(5, 4, False)
    assert [n for n, rule in CURATION_RULES.items() if rule.gap] == [13, 15, 18]
    assert not any(rule.overlaps for rule in CURATION_RULES.values())
    assert CurationRule(2, 3, False).overlaps


@pytest.mark.parametrize("score", [-0.1, 5.1, math.nan, math.inf])
def test_a_score_outside_0_to_5_is_refused(score):
    with pytest.raises(InputError, match=r"the triple of .a dog barks' has a score of .*; scores are numbers from 0"):
        verdict(3.0, score)


@pytest.mark.parametrize("rule", [{"alpha": 5.5}, {"beta": -1}, {"alpha": math.nan}])
def test_a_threshold_outside_0_to_5_is_refused(rule):
    with pytest.raises(InputError, match="it is a score of similarity, 0 to 5"):
        CurationRule(**rule)


def test_as_many_scores_as_triples_are_needed():
    with pytest.raises(ValueError, match="zip"):
        self_curate([TRIPLE], [])
