"""Classes by their names, by hand and against a plain loop."""

import math

import numpy as np
import pytest

from evaluation.rule_embedder import random_vector
from likewise.errors import InputError
from likewise.evaluation import zero_shot
from likewise.evaluation.tasks.zero_shot import open_zero_shot

PETS = [{"text": "meow", "label": "cat"}, {"text": "bark", "label": "dog"}, {"text": "purr", "label": "cat"}]


def test_by_hand(by_rule):
    numbers = {
        "a text about cat.": [1, 0],
        "a text about dog.": [0, 3],
        "meow": [2, 1],
        "bark": [0.1, 1],
        "purr": [1, 2],
    }
    embedder = by_rule(2, lambda text: numbers[text])
    result = zero_shot(embedder, open_zero_shot(PETS))
    assert result.metrics["accuracy"] == pytest.approx(2 / 3)
    assert result.per_item["accuracy"].tolist() == [1, 1, 0]
    assert {role for role, _ in embedder.asked} == {None}
    assert result.settings["templates"] == ("a text about {}.",)
    assert "top5" not in result.metrics


def test_several_templates_are_averaged_as_unit_vectors(random_embedder):
    labels = [f"class {i % 7}" for i in range(40)]
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]
    templates = ("about {}", "{} it is", "{}")
    result = zero_shot(random_embedder, open_zero_shot(rows), templates=templates)
    ranks = []
    for row in rows:
        cosines = []
        for name in sorted(set(labels)):
            mean = np.zeros(8)
            for template in templates:
                vector = np.array(random_vector(template.replace("{}", name)))
                mean += vector / math.sqrt(sum(vector**2))
            text = np.array(random_vector(row["text"]))
            cosines.append(mean @ text / math.sqrt(mean @ mean) / math.sqrt(text @ text))
        own = cosines[sorted(set(labels)).index(row["label"])]
        ranks.append(sum(one > own for one in cosines))
    np.testing.assert_array_equal(result.per_item["accuracy"], np.array(ranks) == 0)
    np.testing.assert_array_equal(result.per_item["top5"], np.array(ranks) < 5)
    assert list(result.metrics) == ["accuracy", "macro_f1", "top5"]


def test_classes_of_a_file_may_be_more_than_the_labels(random_embedder, tmp_path):
    (tmp_path / "classes.txt").write_text("dog\ncat\nhorse\n")
    opened = open_zero_shot(PETS, classes=tmp_path / "classes.txt")
    assert opened.classes == ("dog", "cat", "horse")
    assert opened.fingerprint != open_zero_shot(PETS).fingerprint
    assert zero_shot(random_embedder, opened).settings["classes"] == 3
    assert open_zero_shot(PETS, classes=["dog", "cat", "horse"]).fingerprint == opened.fingerprint


def test_the_order_of_the_rows_does_not_matter(random_embedder):
    a, b = (zero_shot(random_embedder, open_zero_shot(rows), bootstrap=0) for rows in (PETS, PETS[::-1]))
    assert a.metrics == b.metrics


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (["dog", "caat"], "rows.0.: the label 'cat' is none of the classes of classes; did you mean 'caat'"),
        (["dog", "cat", "dog"], "the class 'dog' stands twice"),
        (["dog"], "there is one class only"),
    ],
)
def test_classes_that_do_not_fit_are_said(classes, says):
    with pytest.raises(InputError, match=says):
        open_zero_shot(PETS, classes=classes)


@pytest.mark.parametrize(
    ("templates", "says"),
    [(("about",), "'about' has no {}"), ((" ",), "a template is empty"), ((), "no template was given")],
)
def test_templates_without_a_place_for_the_name_are_said(random_embedder, templates, says):
    with pytest.raises(InputError, match=says):
        zero_shot(random_embedder, open_zero_shot(PETS), templates=templates)


def test_templates_that_cancel_out_are_said(by_rule):
    embedder = by_rule(2, lambda text: [-1.0, 0.0] if text.startswith("no") else [1.0, 0.0])
    with pytest.raises(InputError, match="templates for class 'cat' cancel out"):
        zero_shot(embedder, open_zero_shot(PETS), templates=("a {}", "no {}"))
