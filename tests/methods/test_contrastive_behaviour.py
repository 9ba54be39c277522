"""The method as it trains: the order of a step, the bank, what is kept of the negatives, and both spaces."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import likewise
from likewise.errors import InputError
from likewise.heads import TappedHead
from likewise.methods.vision.contrastive_behaviour import Config, ContrastiveBehaviour
from likewise.views import Batch
from methods.interrupted import goes_on_to_the_bit, losses
from methods.table_tower import Reads, table

TINY = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 8, "head_size": 8,
        "precision": "fp32", "progress": False}  # fmt: skip
ROWS = 9


def with_table(values, rows=ROWS, **settings) -> ContrastiveBehaviour:
    """A method whose tower reads vectors off a table, with a bank of some rows."""
    torch.manual_seed(3)
    method = ContrastiveBehaviour(Config(head_size=4, **settings), Reads(values))
    method.bank = method._bank_of(rows)
    method.head = nn.Identity()
    return method.double()


def batch_of(numbers) -> Batch:
    numbers = torch.as_tensor(numbers)
    return Batch({"first": numbers, "second": numbers + 100}, numbers)


def loss_by_loops(query, bank, own, settings, positive):
    total = 0.0
    for i, row in enumerate(own.tolist()):
        pull = query[i] @ (bank[row] if positive is None else positive[i])
        others = torch.stack([query[i] @ bank[j] for j in range(len(bank)) if j != row])
        number = settings.keep_top_k or (settings.keep_fraction and max(1, round(settings.keep_fraction * len(bank))))
        if number and number < len(others):
            others = others.sort(descending=True).values[:number]
        if settings.loss == "simple":
            weight = 1 / len(others) if settings.negative_weight is None else settings.negative_weight
            total += -pull + weight * others.sum()
        else:
            total += (
                torch.cat([pull[None], others]).div(settings.temperature).logsumexp(0) - pull / settings.temperature
            )
    return total / len(own)


CASES = [
    {},
    {"keep_top_k": 3},
    {"keep_fraction": 0.4},  # round(3.6)
    {"keep_fraction": 0.01},  # at least 1
    {"keep_fraction": 1.0},
    {"loss": "simple"},
    {"loss": "simple", "keep_top_k": 3},
    {"loss": "simple", "negative_weight": 0.5},
    {"keep_top_k": 3, "positive": "view"},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_are_those_of_the_paper_and_the_bank_follows_after_them(case):
    values = torch.tensor(table(6))
    method = with_table(values, bank_momentum=0.75, **case)
    bank, settings = method.bank.vectors.clone(), method.config
    for rows in ([5, 1, 3], [0, 1], [4, 2, 1, 3]):
        own, before = torch.tensor(rows), method.bank.vectors.clone()
        leaf = values.clone().requires_grad_()
        first, second = F.normalize(leaf[own], dim=1), F.normalize(leaf[own + 100], dim=1)
        if settings.positive == "view":
            both = [(first, second), (second, first)]
            expected = sum(loss_by_loops(q, bank, own, settings, k) for q, k in both) / 2
        else:
            expected = loss_by_loops(first, bank, own, settings, None)
        expected.backward()
        output = method(batch_of(rows))
        assert output.loss.item() == pytest.approx(expected.item(), rel=1e-9)
        assert ("hardness" in output.metrics) == (method._kept is not None)
        output.loss.backward()
        assert_close(method.encoder.table.grad, leaf.grad, rtol=1e-9, atol=1e-12)
        assert torch.equal(method.bank.vectors, before)  # it follows after the step
        with torch.no_grad():
            values = values - 0.3 * leaf.grad
            method.encoder.table.copy_(values)
        method.encoder.table.grad = None
        method.after_step()
        new = first.detach() if settings.positive == "bank" else F.normalize(first + second, dim=1).detach()
        bank[own] = F.normalize(0.75 * bank[own] + 0.25 * new, dim=1)
        assert_close(method.bank.vectors, bank, rtol=1e-9, atol=1e-12)
    method.after_step()  # a step's vectors enter once
    assert_close(method.bank.vectors, bank, rtol=1e-9, atol=1e-12)


def test_keeping_all_negatives_is_the_ordinary_loss_and_keeping_fewer_lowers_it(digits, tmp_path):
    courses = {}
    for name, own in (
        ("all", {}),
        ("k", {"keep_top_k": 23}),
        ("share", {"keep_fraction": 1.0}),
        ("few", {"keep_top_k": 4}),
    ):
        likewise.train("contrastive-behaviour", digits[:24], out=tmp_path / name, steps=3, **TINY, **own)
        courses[name] = losses(tmp_path / name)
    assert courses["all"] == courses["k"] == courses["share"]
    assert courses["few"][0] < courses["all"][0]


def test_a_run_that_was_stopped_goes_on_to_the_bit_with_its_bank(digits, tmp_path, monkeypatch):
    settings = {**TINY, "keep_top_k": 5, "positive": "view", "checkpoint_every": 2, "steps": 5}
    goes_on_to_the_bit(monkeypatch, tmp_path, "contrastive-behaviour", digits[:24], **settings)


def test_both_spaces_are_kept_and_layers_of_the_head_can_be_measured(digits, tmp_path):
    model = likewise.train("contrastive-behaviour", digits[:40], out=tmp_path / "run", steps=2, **TINY)
    assert model.dim == 16
    projection = likewise.load(tmp_path / "run", space="projection")
    images = [row["image"] for row in digits[:5]]
    assert projection.encode(images).shape == (5, 8)
    head = likewise.artefact.load_model(tmp_path / "run").kept["head"]
    features = model.features(images, precision="fp32")
    assert_close(
        projection.encode(images, precision="fp32"), F.normalize(TappedHead.of(head)(features), dim=1).detach()
    )
    found = likewise.use(tmp_path / "run", "layers", data=digits[:60], bootstrap=10)
    assert [row["tap"] for row in found.rows] == ["pre", "layer1", "post"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"keep_top_k": 0}, "keep_top_k is 0"),
        ({"keep_fraction": 0.0}, r"keep_fraction is 0\.0"),
        ({"keep_fraction": 1.5}, r"keep_fraction is 1\.5"),
        ({"keep_top_k": 3, "keep_fraction": 0.5}, "Give one of them"),
        ({"negative_weight": 1.0}, "only the simple loss has one"),
        ({"negative_weight": -1.0, "loss": "simple"}, r"negative_weight is -1\.0"),
        ({"head_size": 0}, "head_size is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        Config(**settings)


def test_what_does_not_fit_the_data_is_said(digits, tmp_path):
    with pytest.raises(InputError, match="keep_top_k is 12, but of 12 pictures each has 11 negatives"):
        likewise.train("contrastive-behaviour", digits[:12], out=tmp_path / "a", steps=1, keep_top_k=12, **TINY)
    with pytest.raises(InputError, match=r"momentum of the bank is 1\.0"):
        likewise.train("contrastive-behaviour", digits[:12], out=tmp_path / "b", steps=1, bank_momentum=1.0, **TINY)
    method = with_table(table(6))
    with pytest.raises(ValueError, match="rows go from 8 to 9; the table has 9"):
        method(batch_of([8, 9]))
    method(dataclasses.replace(batch_of([1, 2]), row_index=torch.tensor([1, 1])))
    with pytest.raises(ValueError, match="1 rows are in the batch twice"):
        method.after_step()
