"""Labels to targets, scores to losses and answers, and another model's scores to ours."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from likewise.errors import InputError
from likewise.losses import PairTask

WHERE = "pairs.tsv, row 7"


def test_labels_of_yes_and_no_are_read_as_people_write_them():
    task = PairTask.of("binary")
    said = {0: ["0", 0, "no", "False"], 1: ["1", 1, "yes", "TRUE"]}
    assert all(task.target(label, WHERE) == target for target, labels in said.items() for label in labels)
    assert PairTask.of("binary", ("apart", "alike")).target("alike", WHERE) == 1
    assert PairTask.of("binary", ("apart", "alike")).score_names == ("score",)


@pytest.mark.parametrize(
    ("task", "label", "says"),
    [
        (PairTask.of("binary"), "2", "label' is '2'; accepted are 0, 1"),
        (PairTask.of("binary", ("apart", "alike")), "1", "label' is '1'; accepted are apart, alike"),
        (PairTask.of("classes", ("a", "b", "c")), "d", "label' is 'd'; accepted are a, b, c"),
        (PairTask.of("regression"), "high", "label' is 'high'; for --task regression it is a finite number"),
        (PairTask.of("regression"), "inf", "label' is 'inf'"),
    ],
)
def test_a_label_of_another_task_is_refused_with_its_row(task, label, says):
    with pytest.raises(InputError, match=rf"^pairs.tsv, row 7: column '{says}"):
        task.target(label, WHERE)


def test_rows_without_a_label_are_told_from_zero():
    assert PairTask.of("regression").targets(["3.5", None, "0"], str) == ([3.5, 0.0, 0.0], [True, False, True])


def test_losses_by_hand():
    binary = PairTask.of("binary").losses(torch.tensor([[0.5], [-1.0]]), torch.tensor([1.0, 0.0]))
    assert float(binary.mean()) == pytest.approx(0.39366934, abs=1e-7)
    classes = PairTask.of("classes", ("a", "b", "c")).losses(torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([0.0]))
    assert float(classes) == pytest.approx(0.40760596, abs=1e-7)
    regression = PairTask.of("regression").losses(torch.tensor([[1.0], [4.0]]), torch.tensor([3.0, 4.5]))
    assert regression.tolist() == [4.0, 0.25]


def test_two_logits_become_the_one_of_yes_over_no():
    task = PairTask.of("binary")
    two = np.array([[0.2, 1.7]], dtype=np.float32)
    assert_close(torch.from_numpy(task.reduced(two, (), "t")), torch.tensor([[1.5]]))
    named = PairTask.of("binary", ("apart", "alike"))
    assert_close(torch.from_numpy(named.reduced(two, ("alike", "apart"), "t")), torch.tensor([[-1.5]]))
    assert task.reduced(two[:, :1], (), "t").tolist() == two[:, :1].tolist()


def test_classes_of_a_teacher_come_in_our_order():
    task = PairTask.of("classes", ("a", "b", "c"))
    scores = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
    assert task.reduced(scores, ("c", "a", "b"), "t").tolist() == [[2.0, 3.0, 1.0]]
    assert task.reduced(scores, (), "t").tolist() == scores.tolist()
    with pytest.raises(InputError, match="t scores x, y, z, but the classes here are a, b, c"):
        task.reduced(scores, ("x", "y", "z"), "t")


@pytest.mark.parametrize(
    ("task", "width", "says"),
    [
        (PairTask.of("binary"), 3, "gives 3 scores a pair; --task binary takes 1 .or two, for no and yes"),
        (PairTask.of("regression"), 2, "gives 2 scores a pair; --task regression takes 1"),
        (PairTask.of("classes", ("a", "b", "c")), 2, "gives 2 scores a pair; --task classes takes 3"),
    ],
)
def test_scores_of_another_width_are_refused(task, width, says):
    with pytest.raises(InputError, match=says):
        task.reduced(np.zeros((1, width), dtype=np.float32), (), "the teacher")


@pytest.mark.parametrize(
    ("kind", "classes", "says"),
    [
        ("classes", (), "classes are not given; for --task classes give at least two"),
        ("classes", ("a",), "give at least two"),
        ("classes", ("a", "a"), "each has a name of its own"),
        ("binary", ("a", "b", "c"), "give two, the second is the yes"),
        ("regression", ("a", "b"), "for --task regression give none"),
    ],
)
def test_classes_that_do_not_fit_the_task_are_refused(kind, classes, says):
    with pytest.raises(InputError, match=says):
        PairTask.of(kind, classes)


def test_answers_and_the_way_through_a_file():
    assert PairTask.of("binary").answers(torch.tensor([[0.1], [-2.0]])).tolist() == [1, 0]
    task = PairTask.of("classes", ("a", "b"))
    assert task.answers(torch.tensor([[0.1, 2.0]])).tolist() == [1]
    assert PairTask.of("regression").answers(torch.tensor([[3.5]])).tolist() == [3.5]
    assert PairTask.from_dict(task.as_dict()) == task
