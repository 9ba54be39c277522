"""Length and frequency: found where they are put in, and not where they are not."""

import pytest
import torch
from scipy import stats

from likewise import geometry


def random_rows(rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_length_is_found_where_the_vectors_tell_it_and_not_elsewhere():
    lengths = torch.randint(1, 40, (500,), generator=torch.Generator().manual_seed(1))
    x = random_rows(500, 32)
    assert abs(geometry.length_bias(x, lengths)) < 0.05
    angles = lengths.double() / 40
    told = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert geometry.length_bias(told, lengths) > 0.999
    assert 0.3 < geometry.length_bias(torch.cat([4 * told, 0.3 * x], dim=1), lengths.tolist()) < 0.999


def test_length_bias_is_the_rank_correlation_over_all_pairs_in_the_limit():
    lengths = [3, 1, 4, 1, 5, 9, 2, 6]
    x = random_rows(8, 3)
    unit = torch.nn.functional.normalize(x, dim=1)
    pairs = [(i, j) for i in range(8) for j in range(8) if i != j]
    expected = stats.spearmanr(
        [float(unit[i] @ unit[j]) for i, j in pairs], [-abs(lengths[i] - lengths[j]) for i, j in pairs]
    ).statistic
    assert geometry.length_bias(x, lengths, num_pairs=200_000) == pytest.approx(expected, abs=0.01)
    assert geometry.length_bias(x, lengths, seed=1) == geometry.length_bias(x, lengths, seed=1)
    assert geometry.length_bias(x, [7] * 8) == 0.0


def test_frequency_is_the_rank_correlation_of_the_definition():
    texts = ["The cat", "the dog", "a cat and the dog", "zygote", "the the", "?!"]
    x = random_rows(6, 4) + 1
    counts = {"the": 5, "cat": 2, "dog": 2, "a": 1, "and": 1, "zygote": 1, "?!": 1}
    words = [["the", "cat"], ["the", "dog"], ["a", "cat", "and", "the", "dog"], ["zygote"], ["the", "the"], ["?!"]]
    common = [sum(float(torch.tensor(counts[w]).double().log()) for w in row) / len(row) for row in words]
    unit = torch.nn.functional.normalize(x, dim=1)
    middle = unit.mean(0) / unit.mean(0).norm()
    expected = stats.spearmanr((unit @ middle).tolist(), common).statistic
    assert geometry.frequency_bias(x, texts) == pytest.approx(expected, rel=1e-9)
    assert geometry.frequency_bias(x, texts, frequencies=counts) == pytest.approx(expected, rel=1e-9)
    shared = geometry.frequency_bias(x, texts, frequencies={"the": 100.0, "cat": 3})  # the others as rare as a cat
    assert -1 <= shared <= 1
    assert geometry.frequency_bias(torch.ones(6, 2), texts) == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: geometry.length_bias(torch.eye(3), [1, 2]), r"lengths are \[2\] for 3 rows"),
        (lambda: geometry.length_bias(torch.eye(3), [1, 2, 3], num_pairs=1), "num_pairs is 1"),
        (lambda: geometry.frequency_bias(torch.eye(3), ["a"]), "1 texts for 3 rows"),
        (lambda: geometry.frequency_bias(torch.eye(2), ["a", "b"], frequencies={"a": 0}), "a frequency is 0"),
        (lambda: geometry.frequency_bias(torch.eye(2), ["a", "b"], frequencies={}), "or none is given"),
    ],
)
def test_what_cannot_be_measured_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_partial_correlation_is_that_of_what_the_third_leaves_of_the_ranks():
    generator = torch.Generator().manual_seed(3)
    one, other, third = torch.randn(3, 80, generator=generator, dtype=torch.float64)
    one, other = one + third, other + 0.5 * third + 0.7 * one
    ranks = [torch.from_numpy(stats.rankdata(x)) for x in (one, other, third)]
    left = [stats.linregress(ranks[2], x) for x in ranks[:2]]
    residuals = [x - fit.slope * ranks[2] for x, fit in zip(ranks[:2], left, strict=True)]
    expected = stats.pearsonr(*residuals).statistic
    assert geometry.partial_correlation(one, other, third) == pytest.approx(expected, rel=1e-9)
    assert geometry.partial_correlation(third, other, third) == 0.0
    assert geometry.partial_correlation(one, torch.zeros(80), third) == 0.0


def test_a_correlation_within_bins_is_the_mean_over_them():
    generator = torch.Generator().manual_seed(4)
    one, other = torch.randn(2, 60, generator=generator, dtype=torch.float64)
    score = torch.tensor([0.0] * 10 + [2.4] * 17 + [5.0] * 30 + [3.3] * 2 + [0.3])
    parts = [
        score < 1,
        (score > 2) & (score < 2.5),
        score == 5,
    ]  # three bins of width 5 / 5; the pair of two is left out
    expected = sum(int(p.sum()) * stats.spearmanr(one[p], other[p]).statistic for p in parts) / 58
    assert geometry.correlation_within(one, other, score) == pytest.approx(expected, rel=1e-9)
    whole = stats.spearmanr(one, other).statistic
    assert geometry.correlation_within(one, other, score, bins=1) == pytest.approx(whole, rel=1e-9)
    assert geometry.correlation_within(one, torch.zeros(60), score) == 0.0


def test_values_of_pairs_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="partial_correlation: the values are"):
        geometry.partial_correlation([1.0, 2.0, 3.0], [1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="at least 3 pairs"):
        geometry.correlation_within([1.0, 2.0], [1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="bins is 0"):
        geometry.correlation_within([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], bins=0)
