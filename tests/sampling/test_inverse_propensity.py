"""Drawing by inverse propensity: numbers worked out by hand, chances against draws, and which candidates there are."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from likewise.errors import InputError
from likewise.sampling import (
    IPWPairSampler,
    SurfaceTexts,
    find_candidates,
    inverse_propensity,
    quantile_thresholds,
    text_key,
)
from likewise.sampling.inverse_propensity import CANDIDATE, SOURCES

POSITIVE = (np.array([0.99, 0.9, 0.6]), np.array([1, 0.5, 0.2]))
NEGATIVE = (np.array([0.8, 0.3, 0.1]), np.array([0.75, 0.4, 0.1]))


def pairs(surface, semantic, source="random", rows=None):
    """Candidates with these similarities, one row of them or several."""
    surface, semantic = np.atleast_2d(surface), np.atleast_2d(semantic)
    made = np.zeros(surface.shape, dtype=CANDIDATE)
    made["row"] = np.arange(1, surface.shape[1] + 1) if rows is None else rows
    made["surface"], made["semantic"], made["source"] = surface, semantic, SOURCES.index(source)
    return made


class Given:
    """A generator that returns numbers that were chosen."""

    def __init__(self, *numbers):
        self.numbers = numbers

    def random(self, count):
        assert count == len(self.numbers)
        return np.array(self.numbers)


def texts_with_vectors(number=40, seed=0):
    random = np.random.default_rng(seed)
    words = ["red", "blue", "dog", "cat", "house", "river", "old", "new", "sleeps", "runs"]
    texts = [" ".join(random.choice(words, random.integers(2, 7))) + f" {i}" for i in range(number)]
    return texts, torch.from_numpy(random.normal(size=(number, 5)).astype(np.float32))


def test_chances_of_positives_and_negatives_worked_out_by_hand():
    wanted, propensity = POSITIVE
    rule = {"temperature": 0.1, "epsilon": 0.1}
    chances = inverse_propensity(wanted, propensity, wanted >= 0.7, **rule)
    assert chances.tolist() == pytest.approx([0.57294189, 0.42705811, 0.0], abs=1e-8)
    without = inverse_propensity(wanted, np.zeros(3), wanted >= 0.7, **rule)
    assert without.tolist() == pytest.approx([0.71094950, 0.28905050, 0.0], abs=1e-8)
    wanted, propensity = NEGATIVE
    chances = inverse_propensity(wanted, propensity, propensity <= 0.7, temperature=0.2, epsilon=0.1)
    assert chances.tolist() == pytest.approx([0.0, 0.52091511, 0.47908489], abs=1e-8)


def test_the_sampler_has_the_same_chances():
    sampler = IPWPairSampler(pairs(POSITIVE[1], POSITIVE[0]), positive_threshold=0.7, max_weight=math.inf)
    assert sampler.positive_chances([0])[0].tolist() == pytest.approx([0.57294189, 0.42705811, 0.0], rel=1e-6)
    negative = {"positive_threshold": 0.8, "negative_threshold": 0.7, "max_weight": math.inf}
    sampler = IPWPairSampler(pairs(*NEGATIVE), **negative)
    assert sampler.negative_chances([0])[0].tolist() == pytest.approx([0.0, 0.52091511, 0.47908489], rel=1e-6)


def test_a_large_epsilon_leaves_the_softmax_of_what_is_wanted():
    wanted, propensity = POSITIVE
    softmax = np.exp(wanted / 0.1) / np.exp(wanted / 0.1).sum()
    chances = inverse_propensity(wanted, propensity, wanted > 0, temperature=0.1, epsilon=1e9)
    np.testing.assert_allclose(chances, softmax, rtol=1e-8)


def test_the_smaller_epsilon_the_less_a_positive_shares_on_the_surface():
    candidates = pairs(*np.random.default_rng(0).random((2, 30, 20)))
    sampler = [IPWPairSampler(candidates, 0.5, 0.2, epsilon=epsilon) for epsilon in (10.0, 1.0, 0.3, 0.1, 0.03)]
    surface = [(one.positive_chances(slice(None)) * one.candidates["surface"]).sum() for one in sampler]
    assert all(after < before for before, after in itertools.pairwise(surface))


values = st.floats(0, 1, allow_subnormal=False)


@settings(deadline=None)
@given(st.lists(st.tuples(values, values, st.booleans()), min_size=1, max_size=9), st.sampled_from([1.0, 3.0, 10.0]),
       st.sampled_from([0.002, 0.1, 2.0]))  # fmt: skip
def test_chances_equal_a_loop_add_up_and_are_clipped(rows, most, temperature):
    wanted, propensity, allowed = map(np.array, zip(*rows, strict=True))
    found = inverse_propensity(wanted, propensity, allowed, temperature=temperature, epsilon=0.1, max_weight=most)
    if not allowed.any():
        assert not found.any()
        return
    highest = max(w for w, _, a in rows if a)
    weights = [math.exp((w - highest) / temperature) / (0.1 + p) if a else 0.0 for w, p, a in rows]
    median = float(np.median([w for w, (_, _, a) in zip(weights, rows, strict=True) if a]))
    clipped = [min(weight, most * median) for weight in weights]
    np.testing.assert_allclose(found, np.array(clipped) / (sum(clipped) or 1), rtol=1e-9, atol=1e-300)
    assert found.sum() == pytest.approx(1.0) or not sum(clipped)


def test_a_hundred_thousand_draws_have_the_chances():
    random = np.random.default_rng(3)
    sampler = IPWPairSampler(pairs(random.random(12), random.random(12)), 0.6, 0.5)
    number = 100_000
    # One generator for all: what a row draws is two numbers of it.
    positive, negative = sampler.draw([0] * number, [random] * number)
    for drawn, chances in ((positive, sampler.positive_chances([0])[0]), (negative, sampler.negative_chances([0])[0])):
        share = np.bincount(drawn.row, minlength=13)[1:] / number
        error = np.sqrt(chances * (1 - chances) / number)
        assert (np.abs(share - chances) <= 3 * error).all()
        assert (drawn.weight == 1).all()
        np.testing.assert_array_equal(drawn.chance, chances[drawn.row - 1])
    assert not set(positive.row) & set(negative.row)


def test_even_draws_with_their_weights_expect_the_same():
    sampler = IPWPairSampler(pairs(*np.random.default_rng(5).random((2, 12))), 0.6, 0.5, evenly=True)
    value = np.random.default_rng(6).random(12)
    for side, chances in enumerate((sampler.positive_chances([0])[0], sampler.negative_chances([0])[0])):
        count = int((chances > 0).sum())
        numbers = [(k + 0.5) / count for k in range(count)]  # each of the candidates once
        drawn = sampler.draw([0] * count, [Given(number, number) for number in numbers])[side]
        assert len(set(drawn.row)) == count
        assert (drawn.weight * value[drawn.row - 1]).mean() == pytest.approx((chances * value).sum(), rel=1e-9)


def test_a_row_with_nothing_to_draw_draws_nothing():
    sampler = IPWPairSampler(pairs([[0.5, 0.5], [0.5, 0.5]], [[0.7, 0.7], [0.9, 0.1]]), 0.8, 0.6)
    positive, negative = sampler.draw([0, 1], [np.random.default_rng(i) for i in range(2)])
    assert positive.row.tolist() == [-1, 1]
    assert negative.row.tolist() == [-1, 2]
    assert positive.weight.tolist() == negative.weight.tolist() == [1.0, 1.0]
    never = IPWPairSampler(sampler.candidates, 1.5, -1.0)
    positive, negative = never.draw([1], [np.random.default_rng(0)])
    assert (positive.row.tolist(), negative.row.tolist()) == ([-1], [-1])


@pytest.mark.parametrize("chance", [0.0, math.nextafter(1.0, 0.0)])
def test_what_is_not_allowed_is_not_drawn_at_the_ends_of_chance(chance):
    sampler = IPWPairSampler(pairs([0.1] * 12, [0.1, *[0.9] * 10, 0.1]), 0.8, -1.0, epsilon=1e-3)
    assert sampler.draw([0], [Given(chance, chance)])[0].row.tolist() == [2 if chance == 0 else 11]


def test_candidates_are_what_they_are_said_to_be():
    texts, vectors = texts_with_vectors()
    found = find_candidates(texts, vectors, nearest=5, random=6, surface=4)
    units, words = normalize(vectors, dim=1), SurfaceTexts(texts)
    cosine = (units @ units.T).fill_diagonal_(-2)
    assert found.dtype == CANDIDATE
    assert found.shape[1] <= 15
    for i, row in enumerate(found):
        known = row[row["row"] >= 0]
        others = known["row"].tolist()
        assert len(set(others)) == len(others)
        assert i not in others
        by_source = {name: known["row"][known["source"] == place].tolist() for place, name in enumerate(SOURCES)}
        assert sorted(by_source["nearest"]) == sorted(cosine[i].topk(5).indices.tolist())
        assert set(words.neighbours(4)[i].tolist()) <= {*by_source["nearest"], *by_source["surface"], -1}
        assert len(by_source["random"]) <= 6
        np.testing.assert_allclose(known["semantic"], cosine[i][others].clamp(min=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(known["surface"], words.similarity(np.full(len(others), i), known["row"]), rtol=1e-6)


def test_random_candidates_are_even_and_depend_on_the_seed():
    texts, vectors = texts_with_vectors(7)
    counts = np.zeros((7, 7))
    for seed in range(300):
        found = find_candidates(texts, vectors, nearest=0, random=2, surface=0, seed=seed)
        assert (found["source"] == SOURCES.index("random")).all()
        for i in range(7):
            counts[i, found["row"][i]] += 1
    share = counts / 300
    assert (np.diag(share) == 0).all()
    other = share[~np.eye(7, dtype=bool)]
    assert np.abs(other - 1 / 3).max() < 4 * math.sqrt(2 / 9 / 300)


def test_few_random_candidates_of_many_texts_are_others_and_hardly_ever_double():
    texts = [f"text number {i}" for i in range(3000)]
    found = find_candidates(texts, torch.randn(3000, 4), nearest=0, random=20, surface=0)
    rows = found["row"]
    assert not (rows == np.arange(3000)[:, None]).any()
    assert (rows >= 0).mean() > 0.99
    assert np.bincount(rows[rows >= 0], minlength=3000).std() == pytest.approx(math.sqrt(20), rel=0.2)


def test_of_a_small_corpus_every_other_text_is_a_candidate():
    texts, vectors = texts_with_vectors(6)
    found = find_candidates(texts, vectors)
    assert [sorted(row.tolist()) for row in found["row"]] == [[j for j in range(6) if j != i] for i in range(6)]


def test_copies_are_one_text_that_is_no_candidate_of_itself():
    texts, vectors = texts_with_vectors(12)
    texts[4], texts[9] = "  " + texts[1].upper(), texts[2]
    vectors[4], vectors[9] = vectors[1], vectors[2]
    found = find_candidates(texts, vectors)
    keys = [text_key(text) for text in texts]
    for i, row in enumerate(found["row"]):
        others = [j for j in row.tolist() if j >= 0]
        assert len(others) == 9
        assert keys[i] not in [keys[j] for j in others]
        assert not {4, 9} & set(others)  # the first copy stands for all
    np.testing.assert_array_equal(found[4], found[1])


def test_an_inverted_file_finds_most_nearest_neighbours():
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(30, 16, generator=random)
    vectors = centres.repeat_interleave(20, 0) + 0.3 * torch.randn(600, 16, generator=random)
    texts = [f"text {i}" for i in range(600)]
    counts = {"nearest": 8, "random": 0, "surface": 0}
    exact = find_candidates(texts, vectors, **counts)
    nearly = find_candidates(texts, vectors, **counts, exact_up_to=0)
    shared = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(exact["row"], nearly["row"], strict=True)]
    assert sum(shared) > 0.9 * 8 * 600
    assert not (nearly["row"] == np.arange(600)[:, None]).any()


def test_thresholds_are_quantiles_over_pairs_of_nearest_neighbours():
    candidates = pairs([0.5] * 6, [0.9, 0.8, 0.7, 0.6, 0.1, 0.2], source="nearest")
    candidates["source"][0, 4:] = SOURCES.index("random")
    high, low = quantile_thresholds(candidates)
    assert (high, low) == pytest.approx((0.87, 0.75))
    with pytest.raises(InputError, match="none are candidates"):
        quantile_thresholds(pairs([0.5], [0.5]))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"positive_temperature": 0.0}, "a temperature of the sampler is 0.0"),
        ({"negative_temperature": -1.0}, "a temperature of the sampler is -1.0"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"max_weight": 0.5}, "max_weight is 0.5"),
        (
            {"negative_threshold": 0.9},
            r"negatives is 0.9 and that of positives is 0.8; a pair between them would be both",
        ),
        ({"positive_threshold": math.nan}, "the thresholds are nan"),
    ],
)
def test_rules_that_cannot_be_are_refused(rule, says):
    with pytest.raises(InputError, match=says):
        IPWPairSampler(pairs([0.5], [0.5]), **rule)


def test_texts_that_make_no_pairs_are_refused():
    texts, vectors = texts_with_vectors(5)
    with pytest.raises(ValueError, match="4 vectors for 5 texts"):
        find_candidates(texts, vectors[:4])
    with pytest.raises(InputError, match="the 3 texts are all the same"):
        find_candidates(["a dog", "A  dog", "a dog"], vectors[:3])
    with pytest.raises(InputError, match="0, 0 and 0; each is 0 or more"):
        find_candidates(texts, vectors, nearest=0, random=0, surface=0)
    vectors[3] = 0
    with pytest.raises(ValueError, match="vector 3 is zero"):
        find_candidates(texts, vectors)
