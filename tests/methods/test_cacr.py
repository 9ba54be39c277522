"""The three forms as they train: what is compared with what, the order of a step, and what is held."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import likewise
from likewise.errors import InputError
from likewise.losses import info_nce
from likewise.memory import MomentumTower
from likewise.methods.vision.cacr import CACR, Config
from likewise.views import Batch
from methods.interrupted import goes_on_to_the_bit, logged, losses
from methods.table_tower import Reads

TINY = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 6, "head_size": 8,
        "precision": "fp32", "progress": False}  # fmt: skip
SIZE, DIM = 5, 4


def table(views=3):
    return torch.randn(100 * views, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def batch_of(names, first=0, size=SIZE) -> Batch:
    numbers = torch.arange(first, first + size)
    return Batch({name: numbers + 100 * place for place, name in enumerate(names)}, numbers)


def with_table(values, **settings) -> CACR:
    """A method whose tower reads vectors off a table, and whose heads are the identity."""
    torch.manual_seed(3)
    slow = {"queue": {"queue_size": 7, "momentum": 0.75}, "predictor": {"momentum": 0.75}}.get(settings.get("form"), {})
    method = CACR(Config(**{"positives": 2, "head_size": DIM, **slow, **settings}), Reads(values))
    method.head = nn.Identity()
    if method.predictor is not None:
        method.predictor = nn.Linear(DIM, DIM)
    if method.momentum_tower is not None:
        method.momentum_tower = MomentumTower(method._online(), method.config.momentum, average_buffers=True)
    return method.double()


def distances(one, other):
    return (one[:, None] - other[None]).square().sum(-1)


def pulled(query, others, sharpness, weighted=True, held=False):
    d = (query - others).square().sum(-1).T
    w = (sharpness * (d.detach() if held else d)).softmax(1) if weighted else torch.full_like(d, 1 / d.shape[1])
    return (w * d).sum(1).mean()


def pushed(d, t, weighted=True, held=False, kernel=None):
    """Dense, of distances in which what does not count is infinite."""
    counts = d.isfinite()
    logits = (-t * (d.detach() if held else d)) if weighted else torch.where(counts, 0.0, -torch.inf)
    w = logits.softmax(1)
    if kernel is not None:
        return (w * torch.where(counts, (-kernel * d).exp(), 0.0)).sum(1).mean().log()
    return -(w * torch.where(counts, d, 0.0)).sum(1).mean()


def without_own(d):
    return d.masked_fill(torch.eye(len(d), d.shape[1], dtype=torch.bool), torch.inf)


CASES = [
    {},
    {"weighted": "positives", "alpha": 1.5, "beta": 0.7},
    {"weighted": "negatives"},
    {"weighted": "none"},
    {"hold_weights": True, "sharpness": 2.0, "temperature": 0.5},
    {"cost": "rbf", "kernel_width": 1.5},
    {"cost": "rbf", "hold_weights": True},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_batch_form_is_a_dense_computation_with_its_gradient(case):
    values = table().requires_grad_()
    method = with_table(table(), **case)
    settings = method.config
    z = F.normalize(torch.stack([values[100 * v : 100 * v + SIZE] for v in range(3)]), dim=-1)
    positives, negatives = (settings.weighted in ("both", name) for name in ("positives", "negatives"))
    sharpness, t, held = settings.sharpness or 1.0, 1 / (2 * settings.temperature), bool(settings.hold_weights)
    pull = sum(pulled(z[v], z[[u for u in range(3) if u != v]], sharpness, positives, held) for v in range(3)) / 3
    kernel = settings.kernel_width if settings.cost == "rbf" else None
    pairs = [(0, 1), (0, 2), (1, 2)]
    push = sum(pushed(without_own(distances(z[v], z[u])), t, negatives, held, kernel) for v, u in pairs) / 3
    output = method(batch_of(method.names))
    assert output.terms["attraction"].item() == pytest.approx(settings.alpha * pull.item(), rel=1e-9)
    assert output.terms["repulsion"].item() == pytest.approx(settings.beta * push.item(), rel=1e-9)
    output.loss.backward()
    (settings.alpha * pull + settings.beta * push).backward()
    assert_close(method.encoder.table.grad, values.grad, rtol=1e-9, atol=1e-12)


def oldest_first(queue) -> torch.Tensor:
    first = int(queue.pointer)
    return torch.cat([queue.stored[first:], queue.stored[:first]])


def test_the_order_of_a_step_with_a_queue_of_which_one_view_s_keys_become_part():
    method = with_table(table(), form="queue")
    values, slow, queue = table(), table(), oldest_first(method.queue)
    for _ in range(3):
        leaf = values.clone().requires_grad_()
        q = F.normalize(torch.stack([leaf[100 * v : 100 * v + SIZE] for v in range(3)]), dim=-1)
        slow = 0.75 * slow + 0.25 * values  # before the keys, with the weights before the update
        k = F.normalize(torch.stack([slow[100 * v : 100 * v + SIZE] for v in range(3)]), dim=-1)
        pull = sum(pulled(q[v], k[[u for u in range(3) if u != v]], 1.0, held=True) for v in range(3)) / 3
        push = 0.0
        for v in range(3):
            d = torch.cat([without_own(distances(q[v], q[v])), 2 - 2 * q[v] @ queue.T], 1)
            push = push + pushed(d, 2.0, held=True) / 3
        output = method(batch_of(method.names))
        assert output.loss.item() == pytest.approx((pull + push).item(), rel=1e-9)
        assert_close(oldest_first(method.queue), queue, rtol=1e-9, atol=1e-12)  # not in their own step
        output.loss.backward()
        (pull + push).backward()
        # Distances and cosines have another gradient along the vector itself, which unit vectors do not see.
        assert_close(method.encoder.table.grad, leaf.grad, rtol=1e-9, atol=1e-12)
        values = values - leaf.grad
        with torch.no_grad():
            method.encoder.table.copy_(values)
        method.encoder.table.grad = None
        method.after_step()
        queue = torch.cat([queue, k[-1]])[-7:]
        assert_close(oldest_first(method.queue), queue, rtol=1e-9, atol=1e-12)
    method.after_step()  # a step's keys enter once
    assert_close(oldest_first(method.queue), queue, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("all_keys", [False, True])
@pytest.mark.parametrize("cost", ["rbf", "euclidean"])
def test_predictions_find_the_keys_of_other_views(cost, all_keys):
    method = with_table(table(), form="predictor", cost=cost, temperature=0.3, all_keys=all_keys)
    z = torch.stack([table()[100 * v : 100 * v + SIZE] for v in range(3)])
    with torch.no_grad():
        q, k = F.normalize(method.predictor(z), dim=-1), F.normalize(z, dim=-1)
    total, number = 0.0, 3 if all_keys else 2
    for a in range(number):
        others = [v for v in range(3) if v != a]
        p = torch.stack([(q[v] - k[a]).square().sum(-1) for v in others]).div(0.3).softmax(0)
        for v, share in zip(others, p, strict=True):
            s = q[v] @ k[a].T
            if cost == "rbf":
                rows = 0.6 * F.cross_entropy(s / 0.3, torch.arange(SIZE), reduction="none")
            else:
                away = without_own(1 - s)
                w = (-away / 0.3).softmax(1)
                rows = 1 - s.diagonal() - (w * torch.where(away.isfinite(), away, 0.0)).sum(1)
            total += (share * rows).mean().item()
    output = method(batch_of(method.names))
    assert output.loss.item() == pytest.approx(total / number, rel=1e-9)
    output.loss.backward()
    assert method.predictor.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in method.momentum_tower.parameters())


def test_with_two_views_it_is_the_symmetric_loss_of_moco_v3():
    method = with_table(table(2), form="predictor", positives=1, temperature=0.2)
    z = torch.stack([table(2)[:SIZE], table(2)[100 : 100 + SIZE]])
    with torch.no_grad():
        q, k = F.normalize(method.predictor(z), dim=-1), F.normalize(z, dim=-1)
    both = [info_nce(q[v], k[1 - v], temperature=0.2).mean().item() for v in range(2)]
    output = method(batch_of(method.names))
    assert output.loss.item() == pytest.approx(2 * 0.2 * sum(both) / 2, rel=1e-9)
    assert "positive_entropy" not in output.metrics  # one positive has no weights


def test_the_log_says_how_far_positives_are_and_how_even_their_weights():
    method = with_table(table(), sharpness=1e-6)
    z = F.normalize(torch.stack([table()[100 * v : 100 * v + SIZE] for v in range(3)]), dim=-1)
    metrics = method(batch_of(method.names)).metrics
    assert metrics["positive_entropy"].item() == pytest.approx(torch.tensor(2.0).log().item(), abs=1e-6)
    farthest = (z[0] - z[1:]).square().sum(-1).amax(0).mean()
    assert metrics["farthest_positive"].item() == pytest.approx(farthest.item(), rel=1e-9)


def test_a_run_that_was_stopped_goes_on_to_the_bit_with_its_queue_and_slow_tower(digits, tmp_path, monkeypatch):
    settings = {**TINY, "form": "queue", "queue_size": 15, "momentum": 0.9, "checkpoint_every": 2, "steps": 5}
    goes_on_to_the_bit(monkeypatch, tmp_path, "cacr", digits[:24], **settings)
    assert logged(tmp_path / "whole", "encoded")[:2] == [(60,), (120,)]  # five views, two towers


def test_the_predictor_is_trained_and_not_kept(digits, tmp_path):
    model = likewise.train("cacr", digits[:12], out=tmp_path / "run", steps=2, form="predictor", positives=1, **TINY)
    assert model.dim == 16
    assert likewise.load(tmp_path / "run", space="projection").dim == 8


@pytest.mark.parametrize("form", ["batch", "queue", "predictor"])
def test_it_trains_in_bfloat16(digits, tmp_path, form):
    settings = {**TINY, "precision": "bf16", "head_size": 32, "batch_size": 12, "lr": 1e-2}
    settings |= {"queue_size": 12} if form == "queue" else {}
    likewise.train("cacr", digits[:24], out=tmp_path / "run", steps=6, form=form, positives=2, **settings)
    assert all(abs(loss) < 5 for loss in losses(tmp_path / "run"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"positives": 0}, "positives is 0"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"sharpness": -1.0}, r"sharpness is -1\.0"),
        ({"kernel_width": 0.0}, r"kernel_width is 0\.0"),
        ({"alpha": -1.0}, r"alpha is -1\.0"),
        ({"alpha": 0.0, "beta": 0.0}, "nothing is trained"),
        ({"queue_size": 0}, "queue_size is 0"),
        ({"form": "queue", "cost": "rbf"}, "which the queue has not"),
        ({"form": "queue", "hold_weights": False}, "holds its weights"),
        (
            {"form": "predictor", "alpha": 2.0},
            r"alpha is 2\.0, but nothing reads it with --form predictor and the cost rbf",
        ),
        ({"form": "predictor", "weighted": "none"}, "weighted is none, but nothing reads it with --form predictor"),
        ({"form": "predictor", "queue_size": 9}, "queue_size is 9, but nothing reads it with --form predictor"),
        ({"all_keys": True}, "all_keys is True, but nothing reads it with --form batch and the cost euclidean"),
        ({"queue_size": 9}, "queue_size is 9, but nothing reads it with --form batch"),
        ({"momentum": 0.9}, r"momentum is 0\.9, but nothing reads it with --form batch"),
        ({"kernel_width": 3.0}, r"kernel_width is 3\.0, but nothing reads it with --form batch and the cost euclidean"),
        ({"form": "queue", "kernel_width": 3.0}, r"kernel_width is 3\.0, but nothing reads it with --form queue"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        Config(**settings)


def test_a_term_without_weight_trains_nothing():
    method = with_table(table(), alpha=0.0)
    terms = method(batch_of(method.names)).terms
    assert terms["attraction"].item() == 0.0
    assert terms["repulsion"].item() < 0.0
