"""A classifier of a few examples: against scikit-learn and a loop, with alignment, and what it refuses."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid

from evaluation.labelled import blobs, labelled_rows, reader, unit, vector_texts
from likewise import FewShotClassifier
from likewise.errors import InputError
from likewise.evaluation import few_shot
from likewise.evaluation.alignment import align_prototypes, centred
from likewise.evaluation.tasks.clustering import open_labelled

VECTORS, LABELS = blobs(0, 60, classes=3, spread=2)
TEXTS, NAMES = vector_texts(VECTORS), [f"c{label}" for label in LABELS]
FIT, ASK = slice(0, 15), slice(15, 60)


def fitted(**how):
    return FewShotClassifier(reader(4), **how).fit(TEXTS[FIT], NAMES[FIT])


def test_it_tells_what_a_nearest_centroid_and_a_regression_on_the_means_tell():
    vectors = unit(VECTORS)
    expected = NearestCentroid().fit(vectors[FIT], LABELS[FIT]).predict(vectors[ASK])
    assert fitted().predict(TEXTS[ASK]).labels == [f"c{label}" for label in expected]
    means = np.stack([vectors[FIT][LABELS[FIT] == label].mean(axis=0) for label in range(3)])
    expected = (vectors[ASK] @ means.T).argmax(axis=1)
    assert fitted(nearest="dot").predict(TEXTS[ASK]).labels == [f"c{label}" for label in expected]
    expected = LogisticRegression().fit(means, range(3)).predict(vectors[ASK])
    assert fitted(nearest="logistic").predict(TEXTS[ASK]).labels == [f"c{label}" for label in expected]


def test_scores_and_margins_are_those_of_a_plain_loop():
    told = fitted().predict(TEXTS[ASK])
    vectors = unit(VECTORS)
    means = [vectors[FIT][LABELS[FIT] == label].mean(axis=0) for label in range(3)]
    for i, vector in enumerate(vectors[ASK]):
        scores = [1 - sum((a - b) ** 2 for a, b in zip(vector, mean, strict=True)) for mean in means]
        assert told.scores[i].tolist() == pytest.approx(scores, abs=1e-6)  # vectors of the encoder are float32
        first, second, _ = sorted(scores, reverse=True)
        assert told.margins[i] == pytest.approx(first - second, abs=1e-6)


def test_aligned_it_tells_by_means_that_were_moved_to_all_items_at_once():
    vectors = centred(torch.from_numpy(unit(VECTORS)))
    means = torch.stack([vectors[FIT][torch.from_numpy(LABELS[FIT] == label)].mean(dim=0) for label in range(3)])
    moved = align_prototypes(means, vectors[ASK], shots=5)
    expected = torch.cdist(vectors[ASK], moved).argmin(dim=1)
    assert fitted(align=True).predict(TEXTS[ASK]).labels == [f"c{label}" for label in expected.tolist()]


@pytest.mark.parametrize("nearest", ["euclidean", "dot", "logistic"])
@pytest.mark.parametrize("align", [False, True])
def test_on_the_items_of_an_episode_it_is_right_as_often_as_the_task_says(nearest, align):
    how = {"nearest": nearest, "align": align}
    task = few_shot(reader(4), open_labelled(labelled_rows(VECTORS, LABELS)), ways=0, queries=0, shots=5, episodes=1,
                    seed=3, **how)  # fmt: skip
    random = np.random.default_rng(3)
    order = sorted(range(60), key=lambda i: (NAMES[i], TEXTS[i]))
    drawn = [
        random.choice(rows, 20, replace=False) for rows in ([i for i in order if LABELS[i] == c] for c in range(3))
    ]
    fit, ask = (np.concatenate([rows[part] for rows in drawn]) for part in (slice(0, 5), slice(5, None)))
    classifier = FewShotClassifier(reader(4), **how).fit([TEXTS[i] for i in fit], [NAMES[i] for i in fit])
    told = classifier.predict([TEXTS[i] for i in ask]).labels
    right = np.mean([one == NAMES[i] for one, i in zip(told, ask, strict=True)])
    assert right == pytest.approx(task.metrics["accuracy"], abs=1e-12)


def test_the_order_of_examples_does_not_matter_and_a_second_fit_forgets_the_first():
    classifier = fitted()
    whole = classifier.predict(TEXTS[ASK])
    turned = FewShotClassifier(reader(4)).fit(TEXTS[FIT][::-1], NAMES[FIT][::-1]).predict(TEXTS[ASK])
    np.testing.assert_allclose(turned.scores, whole.scores, atol=1e-12)
    assert classifier.fit(TEXTS[:2], ["a", "b"]).classes == ("a", "b")
    assert classifier.shots == {"a": 1, "b": 1}


def test_items_that_seem_uneven_are_warned_of_only_with_alignment(caplog):
    angles = np.deg2rad([0.0, 60, 120, 1, 2, 3, 4, 5, 62, 121])
    texts = vector_texts(np.stack([np.cos(angles), np.sin(angles), np.full(10, 0.2)], axis=1))
    for align in (False, True):
        classifier = FewShotClassifier(reader(3), align=align).fit(texts[:3], ["a", "b", "c"])
        with caplog.at_level(logging.WARNING):
            classifier.predict(texts[3:] + texts[3:6])
        assert ("8 of 10 are told to be 'a'" in caplog.text) is align
    caplog.clear()
    classifier.predict([*texts[3:5], *texts[8:], *texts[1:3]])
    assert not caplog.text


def test_of_two_classes_items_of_one_alone_are_warned_of(caplog):
    texts = vector_texts([[1.0, 0.2, 0], [0.2, 1.0, 0], *([0.9, 0.3 + 0.01 * i, 0.1] for i in range(8))])
    classifier = FewShotClassifier(reader(3), align=True).fit(texts[:2], ["a", "b"])
    with caplog.at_level(logging.WARNING):
        classifier.predict(texts[2:])
    assert "8 of 8 are told to be 'a'" in caplog.text


def test_aligned_with_unequal_numbers_of_examples_it_goes_by_the_fewest():
    vectors = centred(torch.from_numpy(unit(VECTORS)))
    rows = [0, 3, 6, 1, 4, 2]  # three, two, one of the classes
    means = torch.stack([vectors[some].mean(dim=0) for some in ([0, 3, 6], [1, 4], [2])])
    moved = align_prototypes(means, vectors[ASK], shots=1)
    classifier = FewShotClassifier(reader(4), align=True).fit([TEXTS[i] for i in rows], [NAMES[i] for i in rows])
    expected = torch.cdist(vectors[ASK], moved).argmin(dim=1)
    assert classifier.predict(TEXTS[ASK]).labels == [f"c{label}" for label in expected.tolist()]


def test_pictures_may_be_given_in_any_form(digits, tmp_path):
    import likewise

    settings = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "precision": "fp32"}
    model = likewise.train("simclr", digits[:32], out=tmp_path / "run", steps=2, progress=False, **settings)
    arrays, labels = [row["image"] for row in digits[:40]], [str(row["label"]) for row in digits[:40]]
    classifier = FewShotClassifier(model)
    expected = classifier.fit(arrays[:20], labels[:20]).predict(arrays[20:]).labels
    pictures = [Image.fromarray(one) for one in arrays]
    assert classifier.fit(pictures[:20], labels[:20]).predict(pictures[20:]).labels == expected
    with pytest.raises(InputError, match="reads pictures, and one is of type int"):
        classifier.predict([3])


def test_many_classes_by_regression_say_nothing_of_scikit_learn(recwarn):
    texts, names = vector_texts(blobs(1, 30, classes=30)[0]), [f"c{i}" for i in range(30)]
    FewShotClassifier(reader(4), nearest="logistic").fit(texts, names).predict(texts)
    assert not recwarn.list


def test_what_it_cannot_take_is_said():
    for how, says in (
        ({"nearest": "euclid"}, "'euclid'.*euclidean"),
        ({"batch_size": 0}, "batch_size is 0"),
    ):
        with pytest.raises(InputError, match=says):
            FewShotClassifier(reader(4), **how)
    classifier = FewShotClassifier(reader(4), align=True)
    with pytest.raises(InputError, match="call fit first"):
        classifier.predict(TEXTS[:3])
    for inputs, labels, says in ((TEXTS[:3], ["a", "b"], "3 inputs and 2 labels"), (TEXTS[:2], ["a", "a"], "1 class")):
        with pytest.raises(InputError, match=says):
            classifier.fit(inputs, labels)
    classifier.fit(TEXTS[:3], ["a", "b", "c"])
    with pytest.raises(InputError, match="there are 2 for 3 classes"):
        classifier.predict(TEXTS[:2])
    with pytest.raises(InputError, match="there are none"):
        classifier.predict([])
    for single in (TEXTS[0], b"bytes"):
        with pytest.raises(InputError, match="a list of inputs is accepted"):
            classifier.predict(single)
    with pytest.raises(InputError, match="items: the numbers of vector 1 are all the same"):
        classifier.predict([*TEXTS[:1], *vector_texts([[1.0, 1, 1, 1]]), *TEXTS[1:3]])
