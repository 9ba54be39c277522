"""The method as it trains: whole steps by loops, when neighbours begin, what has a gradient, state, bad input."""

import logging
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import likewise
from likewise.errors import InputError
from likewise.memory import MomentumTower
from likewise.methods.vision.beclr import BECLR, Config
from likewise.views import Batch
from methods.interrupted import goes_on_to_the_bit
from methods.table_tower import Reads, table

TINY = {
    "encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 8, "precision": "fp32",
    "hidden": 16, "head_size": 8, "prototypes": 3, "memory_scale": 6, "memory_start": 0.0, "cluster_every": 1.0,
    "neighbours": 2, "progress": False,
}  # fmt: skip
SMALL = {
    "head_size": 4, "predictor_hidden": 3, "prototypes": 2, "memory_scale": 5, "memory_start": 0.0, "neighbours": 2,
    "mask_ratio": 0.0, "mask_spread": 0.0, "momentum": 0.8, "momentum_epochs": 3.0, "cluster_every": 2.0,
}  # fmt: skip


def with_table(values, rows=4, **settings) -> BECLR:
    """A method whose tower reads vectors off a table, behind it a linear predictor."""
    torch.manual_seed(3)
    method = BECLR(Config(**{**SMALL, **settings}), Reads(values))
    torch.manual_seed(4)
    method.head, method.predictor = nn.Identity(), nn.Linear(4, 4, bias=False)
    method.teacher = MomentumTower(method._student(), method.config.momentum, always_eval=False)
    method._table_rows = rows
    return method.double()


def batch_of(numbers) -> Batch:
    numbers = torch.as_tensor(numbers)
    return Batch({"first": numbers, "second": numbers + 100}, numbers)


def nearest(memory, row, k):
    cosine = F.normalize(memory.rows) @ (row / row.norm())
    own = (F.normalize(memory.prototypes) @ row).argmax()
    inside = [i for i in range(len(memory)) if memory.clusters[i] == own]
    return sorted(inside if len(inside) > k else range(len(memory)), key=lambda i: -float(cosine[i]))[:k]


def by_loops(method, student, prediction, teacher):
    """The loss of one step, rows of the first view first, with neighbours as the memories have them now."""
    config, half = method.config, len(student) // 2
    ready = [memory.ready for memory in method.memories.values()]
    enlarged = bool(ready) and all(ready) and method.epoch >= config.memory_start
    pairs, alignment = [], []
    unit = {name: F.normalize(x) for name, x in (("s", student), ("p", prediction), ("t", teacher))}
    if enlarged and config.positives == "code":
        big = {}
        for name, rows in (("student", student), ("prediction", prediction), ("teacher", teacher)):
            memory, parts = method.memories[name], []
            for view in (rows[:half], rows[half:]):
                found = [memory.rows[i] for row in view for i in nearest(memory, row.detach(), config.neighbours)]
                parts += [view, torch.stack(found)]
            big[name] = F.normalize(torch.cat(parts))
        size = len(big["student"])
        for i in range(size):
            other = (i + size // 2) % size
            alignment.append(-big["prediction"][i] @ big["teacher"][other])
            pairs += [big["student"][i] @ big["student"][j] for j in range(size) if j not in (i, other)]
    else:
        found = [nearest(method.memories["teacher"], row, config.neighbours) if enlarged else [] for row in teacher]
        rows = F.normalize(method.memories["teacher"].rows) if method.memories else None
        used = sorted({place for places in found for place in places})
        pushed = unit["s"] if config.negatives == "student" else torch.cat([unit["s"][:half], unit["t"][half:]])
        for i in range(2 * half):
            other = (i + half) % (2 * half)
            own = unit["p"][i] @ unit["t"][other]
            for place in found[other]:
                own = own + unit["p"][i] @ rows[place]
            alignment.append(-own / (1 + len(found[other])))
            pairs += [pushed[i] @ pushed[j] for j in range(2 * half) if j not in (i, other)]
            pairs += [pushed[i] @ rows[place] for place in used if place not in found[i] + found[other]]
    uniformity = (torch.stack(pairs) / config.temperature).exp().mean().log()
    return torch.stack(alignment).mean(), config.negative_weight * uniformity


CASES = [
    {},
    {"neighbours": 4},  # more than small clusters hold
    {"neighbours": 0},
    {"negatives": "mixed"},
    {"memory_start": 2.0},
    {"positives": "code"},
    {"positives": "code", "memory_start": 2.0},
    {"prototype_momentum": 0.5, "temperature": 0.3, "negative_weight": 2.0},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_are_those_of_the_module_and_memory_and_teacher_follow_in_their_order(case):
    values = torch.tensor(table(6))
    method = with_table(values, **case)
    slow, seen, enlarged = values.clone(), 0, False
    for numbers in ([5, 1, 3], [0, 1], [4, 2, 1, 3], [2, 5], [0, 3, 4]):
        own = torch.tensor(numbers)
        both = torch.cat([own, own + 100])
        leaf = values.clone().requires_grad_()
        weight = method.predictor.weight.detach().clone()
        through = min(1.0, seen / 4 / 3.0)
        keep = 1 - 0.2 * (1 + math.cos(math.pi * through)) / 2
        slow = keep * slow + (1 - keep) * values
        terms = by_loops(method, leaf[both], leaf[both] @ weight.T, slow[both])
        sum(terms).backward()
        before = {name: memory.rows.clone() for name, memory in method.memories.items()}
        output = method(batch_of(numbers))
        assert_close(output.terms["alignment"], terms[0].detach(), rtol=1e-9, atol=1e-12)
        assert_close(output.terms["uniformity"], terms[1].detach(), rtol=1e-9, atol=1e-12)
        enlarged = enlarged or "neighbour_cosine" in output.metrics
        output.loss.backward()
        assert_close(method.encoder.table.grad, leaf.grad, rtol=1e-9, atol=1e-12)
        for name, memory in method.memories.items():  # a step's rows enter after it
            assert torch.equal(memory.rows, before[name])
        method.after_step()
        if "teacher" in method.memories:
            newest = slow[torch.stack([own, own + 100], 1).flatten()]  # both views of a picture side by side
            memory = method.memories["teacher"]
            places = (int(memory.queue.pointer) - torch.arange(len(newest), 0, -1)) % 10
            assert_close(memory.rows[places], newest)
        with torch.no_grad():
            values = values - 0.3 * leaf.grad
            method.encoder.table.copy_(values)
        method.encoder.table.grad = None
        seen += len(numbers)
    assert int(method.rows_seen) == seen == 14
    assert enlarged == (case.get("positives") != "code" and case.get("neighbours") != 0)
    assert all(int(memory.clusterings) == 2 for memory in method.memories.values())  # when full, and after two epochs


def one_step(**settings):
    method = with_table(torch.tensor(table(6)), **settings)
    output = method(batch_of([0, 1, 2]))
    output.loss.backward()
    return output.loss.item(), method.encoder.table.grad


@pytest.mark.parametrize("positives", ["anchored", "code"])
def test_until_the_memory_is_full_and_it_is_time_the_loss_is_the_plain_one(positives):
    plain = one_step(neighbours=0)
    assert one_step(positives=positives)[0] == plain[0]
    method = with_table(torch.tensor(table(6)), positives=positives, memory_start=9.0)
    for _ in range(3):
        loss = method(batch_of([0, 1, 2])).loss.item()
        method.after_step()
    assert all(memory.ready for memory in method.memories.values())
    assert loss == plain[0]
    method.config = Config(**{**SMALL, "positives": positives})
    assert method(batch_of([0, 1, 2])).loss.item() != plain[0]


def full(positives, **settings):
    method = with_table(torch.tensor(table(6)), positives=positives, **settings)
    for numbers in ([0, 1, 2], [3, 4, 5]):
        method(batch_of(numbers))
        method.after_step()
    method.encoder.table.grad = None
    return method


def gradient_of_alignment(method):
    values = method.encoder.table.detach().clone()
    alignment = method(batch_of([0, 1, 2])).terms["alignment"]
    return torch.autograd.grad(alignment, method.encoder.table)[0], values


def test_added_positives_of_the_code_have_no_gradient_and_those_that_are_anchored_all_have_theirs():
    plain, _ = gradient_of_alignment(full("code", neighbours=2, memory_start=9.0))
    code, _ = gradient_of_alignment(full("code"))
    assert_close(code, plain / 3, rtol=1e-9, atol=1e-12)

    method = full("anchored")
    both = torch.tensor([0, 1, 2, 100, 101, 102])
    teacher = F.normalize(method.teacher(both))
    leaf = method.encoder.table.detach()[both].requires_grad_()
    p = F.normalize(leaf @ method.predictor.weight.detach().T)
    memory = method.memories["teacher"]
    total = 0.0
    for i in range(6):
        other = (i + 3) % 6
        neighbours = F.normalize(memory.rows[nearest(memory, teacher[other], 2)])
        total -= p[i] @ (teacher[other] + neighbours.sum(0)) / 3 / 6
    expected = torch.autograd.grad(total, leaf)[0]
    anchored, _ = gradient_of_alignment(method)
    assert_close(anchored[both], expected, rtol=1e-6, atol=1e-9)


def test_only_the_memories_that_are_used_are_held():
    assert set(with_table(table(2)).memories) == {"teacher"}
    assert set(with_table(table(2), positives="code").memories) == {"teacher", "prediction", "student"}
    assert not with_table(table(2), neighbours=0).memories


def test_momentum_rises_by_half_a_cosine_and_may_stay():
    method = with_table(table(2), rows=100)
    for epochs, expected in ((0.0, 0.8), (1.5, 0.9), (3.0, 1.0), (7.0, 1.0)):
        method.rows_seen.fill_(round(100 * epochs))
        assert method._momentum() == pytest.approx(expected)
    assert with_table(table(2), momentum_epochs=0.0)._momentum() == pytest.approx(0.8)


def test_the_student_sees_hidden_blocks_and_the_teacher_does_not(digits):
    torch.manual_seed(0)
    from likewise.encoders import ImageEncoderConfig

    method = BECLR.build(Config(hidden=8, head_size=4), ImageEncoderConfig("mlp-8", image_size=8, channels=1))
    row = next(iter(likewise.open_table(digits[:1], columns=BECLR.columns)))
    import numpy as np

    made = method.views()(row, np.random.default_rng(0))
    assert set(made) == {"first", "second", "first_masked", "second_masked"}
    hidden = made["first_masked"] != made["first"]
    assert 0 < hidden.sum() <= 0.25 * 64  # cells of one pixel: a fourteenth of eight
    read = []
    hook = method.encoder.network.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    batch = method.views().collate([made, made], [0, 1])
    method.train()(batch)
    hook.remove()
    fill = (method.encoder.mean.round() - method.encoder.mean) / method.encoder.std
    seen = read[0][: len(batch)][:, hidden]
    assert_close(seen, fill.flatten().expand_as(seen))  # zero but for the rounding to whole numbers
    assert fill.abs().max() < 0.02
    whole = BECLR.build(Config(mask_ratio=0.0, mask_spread=0.0), ImageEncoderConfig("mlp-8", image_size=8, channels=1))
    assert set(whole.views()(row, np.random.default_rng(0))) == {"first", "second"}


@pytest.mark.parametrize("positives", ["anchored", "code"])
def test_a_run_that_was_stopped_goes_on_to_the_bit_with_its_memories(digits, tmp_path, monkeypatch, positives):
    settings = {**TINY, "positives": positives, "checkpoint_every": 3, "steps": 8}
    goes_on_to_the_bit(monkeypatch, tmp_path, "beclr", digits[:20], **settings)


def test_a_memory_that_is_longer_than_an_epoch_is_warned_of(digits, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        likewise.train("beclr", digits[:20], out=tmp_path / "a", steps=1, **{**TINY, "memory_scale": 14})
    assert "the memory holds 42 rows, and an epoch brings 40" in caplog.text
    caplog.clear()
    likewise.train("beclr", digits[:20], out=tmp_path / "b", steps=1, **TINY)
    assert "memory" not in caplog.text


def test_what_cannot_be_used_is_said(digits, tmp_path):
    for settings, message in (
        ({"neighbours": -1}, "neighbours is -1; at least 0"),
        ({"neighbours": 41, "prototypes": 4, "memory_scale": 10}, "neighbours is 41, but the memory holds 40 rows"),
        ({"prototypes": 0}, "prototypes is 0"),
        ({"memory_scale": 0}, "memory_scale is 0"),
        ({"memory_start": float("nan")}, "memory_start is nan"),
        ({"cluster_every": 0.0}, "cluster_every is 0"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"mask_patch": 0}, "mask_patch is 0"),
        ({"head_size": 0}, "head_size is 0"),
    ):
        with pytest.raises(InputError, match=message):
            Config(**settings)
    for run, (settings, message) in enumerate(
        (
            ({"mask_patch": 9}, "mask_patch is 9, but pictures are 8 pixels wide"),
            ({"mask_ratio": 1.0}, "the share that is hidden is 1"),
            ({"momentum": 1.0}, "momentum is 1"),
            ({"epsilon": 0.0}, "epsilon of the memory is 0"),
            ({"prototype_momentum": 1.0}, "momentum of the prototypes is 1"),
        )
    ):
        with pytest.raises(InputError, match=message):
            likewise.train("beclr", digits[:20], out=tmp_path / f"run-{run}", steps=1, **{**TINY, **settings})
