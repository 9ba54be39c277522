"""A threshold on the cosine tells pairs apart: the best F1, by hand, by scikit-learn, and by domain."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from likewise.errors import InputError
from likewise.evaluation import get_task
from likewise.evaluation.tasks.pair_classification import best_f1, open_pairs, pair_classification

PAIRS = [
    ("1 0", "1 0", 1),
    ("1 0", "1 1", 1),
    ("0 1", "0 1", 1),
    ("1 0", "0 1", 0),
    ("0 1", "1 0", 0),
    ("1 0", "1 3", 0),
]
ROWS = [{"sentence1": one, "sentence2": other, "label": label} for one, other, label in PAIRS]


class Written:
    """Embeds the numbers that a text spells out."""

    dim, name, fingerprint = 2, "written", "w"
    domains = None

    def __init__(self, factor=1.0):
        self.factor = factor

    def encode(self, inputs, **_):
        return torch.tensor([[float(part) for part in text.split()] for text in inputs]) * torch.tensor(
            [1.0, self.factor]
        )


class WithDomains(Written):
    domains = ("a", "b")

    def for_domain(self, name):
        return Written({"a": 1.0, "b": -1.0}[name])


def test_the_best_threshold_of_four_pairs_by_hand():
    f1, threshold = best_f1([0.9, 0.8, 0.7, 0.4], [1, 1, 0, 1])
    assert f1 == pytest.approx(6 / 7)
    assert threshold == 0.4


def test_equal_scores_of_balanced_pairs_are_the_trivial_two_thirds():
    assert best_f1([0.3] * 10, [1, 0] * 5)[0] == pytest.approx(2 / 3)


@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30))
def test_it_is_the_best_of_all_thresholds(pairs):
    scores, labels = np.array([s for s, _ in pairs], dtype=float), np.array([label for _, label in pairs])
    if not labels.any():
        labels[0] = True
    f1, threshold = best_f1(scores, labels)
    every = [f1_score(labels, scores >= t) for t in np.unique(scores)]
    assert f1 == pytest.approx(max(every))
    assert f1_score(labels, scores >= threshold) == pytest.approx(f1)


def test_figures_of_a_file_agree_with_scikit_learn():
    result = pair_classification(Written(), ROWS, bootstrap=50)
    labels = np.array([label for *_, label in PAIRS])
    first, second = (torch.nn.functional.normalize(Written().encode([p[i] for p in PAIRS]).double()) for i in (0, 1))
    cosines = (first * second).sum(dim=1).numpy()
    assert result.metrics["average_precision"] == pytest.approx(average_precision_score(labels, cosines))
    assert result.metrics["positive_cosine"] == pytest.approx(cosines[labels == 1].mean())
    assert result.metrics["negative_cosine"] == pytest.approx(cosines[labels == 0].mean())
    assert result.metrics["f1"] == 1.0
    assert result.intervals["f1"] == (1.0, 1.0)


def test_each_domain_is_encoded_for_itself_and_has_a_threshold_of_its_own():
    rows = [{**row, "domain": domain} for domain in ("a", "b") for row in ROWS]
    result = pair_classification(WithDomains(), rows, bootstrap=20)
    assert set(result.parts) == {"a", "b"}
    mean = np.mean([part.metrics["f1"] for part in result.parts.values()])
    assert result.metrics["f1"] == pytest.approx(mean)
    assert result.num_items == 2
    plain = pair_classification(Written(), rows, bootstrap=0)
    assert plain.parts["a"].metrics == pair_classification(Written(), ROWS, bootstrap=0).metrics


@pytest.mark.parametrize(
    ("change", "said"),
    [({"label": "2"}, "label is '2'"), ({"label": 0.5}, "label is '0.5'"), ({"sentence2": " "}, "is empty")],
)
def test_a_bad_row_is_named(change, said):
    with pytest.raises(InputError, match=said) as error:
        open_pairs([*ROWS, {**ROWS[0], **change}])
    assert "rows[6]" in str(error.value)


def test_pairs_of_one_kind_are_refused():
    with pytest.raises(InputError, match="nothing to tell apart"):
        open_pairs(ROWS[:3])
    rows = [{**row, "domain": "a" if row["label"] else "b"} for row in ROWS]
    with pytest.raises(InputError, match="of both kinds in every domain"):
        pair_classification(Written(), rows)


def test_it_is_a_task_by_name():
    task = get_task("pair_classification")
    assert task.measure(Written(), task.open(ROWS), bootstrap=0).metrics["f1"] == 1.0
