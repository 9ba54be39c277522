"""Figures of pair scores are those of scikit-learn and scipy, with intervals."""

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score

from likewise.errors import InputError
from likewise.evaluation.pair_scores import labelled_pairs, pair_figures
from likewise.losses import PairTask

RANDOM = np.random.default_rng(0)


def test_yes_and_no():
    truth, scores = RANDOM.integers(0, 2, 40), torch.from_numpy(RANDOM.normal(size=(40, 1)))
    found = pair_figures(PairTask.of("binary"), scores, truth.tolist(), bootstrap=200)
    answers = (scores[:, 0] > 0).numpy()
    assert found.metrics == pytest.approx({"accuracy": accuracy_score(truth, answers), "f1": f1_score(truth, answers)})
    low, high = found.intervals["f1"]
    assert low < found.metrics["f1"] < high


def test_classes():
    task = PairTask.of("classes", ("a", "b", "c"))
    truth, scores = RANDOM.integers(0, 3, 40), torch.from_numpy(RANDOM.normal(size=(40, 3)))
    found = pair_figures(task, scores, truth.tolist(), bootstrap=0)
    answers = scores.argmax(1).numpy()
    expected = {"accuracy": accuracy_score(truth, answers), "macro_f1": f1_score(truth, answers, average="macro")}
    assert found.metrics == pytest.approx(expected)


def test_numbers():
    truth = RANDOM.normal(size=40)
    scores = torch.from_numpy(truth + RANDOM.normal(size=40))[:, None]
    found = pair_figures(PairTask.of("regression"), scores, truth.tolist(), bootstrap=100)
    expected = {"spearman": spearmanr(truth, scores[:, 0]).statistic, "pearson": pearsonr(truth, scores[:, 0])[0]}
    assert found.metrics == pytest.approx(expected)
    assert set(found.intervals) == {"spearman", "pearson"}


@pytest.mark.parametrize(
    ("scores", "target", "says"),
    [([1.0, 2.0], [1.0, 2.0], "3 pairs or more"), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], "whose scores differ")],
)
def test_a_correlation_that_is_not_defined_is_refused(scores, target, says):
    with pytest.raises(InputError, match=says):
        pair_figures(PairTask.of("regression"), torch.tensor(scores)[:, None], target)


def test_pairs_are_opened_once_for_any_model_and_renamed():
    class Longer:
        def score(self, pairs):
            return torch.tensor([[float(len(a) - len(b))] for a, b in pairs])

    rows = [{"x": "long text", "b": "short", "label": 1}, {"x": "tiny", "b": "a long one", "label": "no"}]
    measure = labelled_pairs(PairTask.of("binary"), rows, {"a": "x"})
    assert measure(Longer()) == {"accuracy": 1.0, "f1": 1.0}
    with pytest.raises(InputError, match=r"rows\[0\]: column 'label' is '1'; accepted are a, b"):
        labelled_pairs(PairTask.of("classes", ("a", "b")), rows, {"a": "x"})
