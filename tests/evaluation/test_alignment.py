"""Prototypes moved by optimal transport: the paper's numbers, what stays the same, and what it brings and costs."""

import logging

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from evaluation.labelled import blobs, labelled_rows, reader
from likewise.evaluation import few_shot
from likewise.evaluation.alignment import align_prototypes, centred
from likewise.evaluation.tasks.clustering import open_labelled

TWO = torch.tensor([[0.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
ITEMS = torch.tensor([[1.0, 1.0], [1.0, -1.0], [5.0, 1.0], [5.0, -1.0]], dtype=torch.float64)


def moved(prototypes=TWO, items=ITEMS, passes=1, shots=1):
    return align_prototypes(prototypes, items, passes=passes, shots=shots)


def test_two_prototypes_and_four_items_worked_out_by_hand():
    expected = torch.tensor([[1.0, 0.0], [4.996014, 0.0]], dtype=torch.float64)
    assert_close(moved(), expected, rtol=0, atol=1e-5)
    assert_close(moved(shots=5), 0.7 * moved() + 0.3 * TWO, rtol=1e-12, atol=0)


def test_the_order_of_items_does_not_matter_and_a_shift_of_all_shifts_the_prototypes():
    assert_close(moved(items=ITEMS[[2, 0, 3, 1]]), moved(), rtol=1e-9, atol=1e-12)
    shift = torch.tensor([7.0, -3.0], dtype=torch.float64)
    assert_close(moved(TWO + shift, ITEMS + shift, passes=3), moved(passes=3) + shift, rtol=1e-9, atol=1e-9)


def test_without_a_pass_nothing_moves_and_else_prototypes_are_means_of_items():
    assert torch.equal(moved(passes=0, shots=5), TWO)
    many = moved(passes=5)
    assert (many >= ITEMS.amin(0) - 1e-12).all()
    assert (many <= ITEMS.amax(0) + 1e-12).all()


def test_equal_items_take_all_prototypes_with_them():
    assert_close(moved(items=ITEMS[:1].expand(3, 2)), ITEMS[:1].expand(2, 2))
    assert_close(moved(ITEMS[:1].expand(2, 2), ITEMS[:1].expand(3, 2)), ITEMS[:1].expand(2, 2))


def test_bad_vectors_and_too_few_items_are_said():
    with pytest.raises(ValueError, match="1 items for 2 classes"):
        moved(items=ITEMS[:1])
    with pytest.raises(ValueError, match="numbers of vector 1 are all the same"):
        centred(torch.tensor([[1.0, 2.0], [3.0, 3.0]]))


def test_with_one_example_a_class_it_finds_classes_that_are_balanced(caplog):
    vectors, labels = blobs(1, 120, classes=5, dim=16, spread=3)
    data = open_labelled(labelled_rows(vectors, labels))
    settings = {"ways": 3, "shots": 1, "queries": 12, "episodes": 60}
    plain, aligned = (few_shot(reader(16), data, **settings, align=on) for on in (False, True))
    assert aligned.settings["align"] is True
    assert aligned.metrics["accuracy"] > plain.metrics["accuracy"] + 0.03
    assert "equally" not in caplog.text


def test_classes_of_different_size_are_warned_of(caplog):
    vectors, labels = blobs(1, 60, classes=3, spread=1.2)
    rows = labelled_rows(vectors, np.array(labels))[:55]
    with caplog.at_level(logging.WARNING):
        few_shot(reader(4), open_labelled(rows), ways=0, queries=0, shots=1, episodes=2, align=True)
    assert "different numbers of texts to be told" in caplog.text
