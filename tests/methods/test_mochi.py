"""MoCo and MoCHi as they train: the order of a step, the queue, when and of what negatives are mixed."""

import csv
import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import likewise
from likewise.encoders import ImageEncoderConfig, load_image_encoder
from likewise.errors import InputError
from likewise.memory import MomentumTower
from likewise.methods.vision import mochi, moco
from likewise.sampling import Mixture
from likewise.views import Batch
from methods.table_tower import Reads, table

TINY = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 8, "precision": "fp32"}
SMALL = {"queue_size": 16, "momentum": 0.9, "head_size": 8}
MIXED = {"hardest": 6, "pairs": 4, "with_query": 3, "plain_epochs": 0.0}


def with_table(values, kind=moco, momentum=0.75, **settings):
    """A method whose towers read unit vectors off a table: queries at 0 ..., keys at 100 ..."""
    torch.manual_seed(3)
    config = kind.Config(**{"queue_size": 10, "head_size": 4, "temperature": 0.3, "momentum": momentum, **settings})
    method = (moco.MoCo if kind is moco else mochi.MoCHi)(config, Reads(values)).double()
    method.head = nn.Identity()
    method.momentum_tower = MomentumTower(method._online(), momentum, average_buffers=True)
    return method


def batch_of(size, first=0, **more):
    numbers = torch.arange(first, first + size)
    return Batch({"query": numbers, "key": numbers + 100, **more}, numbers)


def oldest_first(queue) -> torch.Tensor:
    first = int(queue.pointer)
    return torch.cat([queue.stored[first:], queue.stored[:first]])


def test_the_order_of_a_step_and_the_queue_are_those_of_the_paper():
    method = with_table(table(5))
    values = torch.tensor(table(5))
    slow, queue = values.clone(), oldest_first(method.queue)
    assert_close(queue.norm(dim=1), torch.ones(10, dtype=torch.float64), rtol=1e-6, atol=0)
    for _ in range(3):
        query = F.normalize(values[:5], dim=1)
        slow = 0.75 * slow + 0.25 * values  # before the keys, with the weights before the update
        key = F.normalize(slow[100:], dim=1)
        positive, negative = (query * key).sum(1) / 0.3, query @ queue.T / 0.3  # not the other keys of the batch
        expected = (torch.cat([positive[:, None], negative], 1).logsumexp(1) - positive).mean()
        output = method(batch_of(5))
        assert output.loss.item() == pytest.approx(expected.item(), rel=1e-9)
        assert_close(oldest_first(method.queue), queue, rtol=1e-9, atol=1e-12)  # not in their own step
        output.loss.backward()
        with torch.no_grad():
            method.encoder.table -= method.encoder.table.grad
        values, method.encoder.table.grad = method.encoder.table.detach().clone(), None
        method.after_step()
        queue = torch.cat([queue[5:], key])  # the oldest leave
        assert_close(oldest_first(method.queue), queue, rtol=1e-9, atol=1e-12)
    method.after_step()
    assert_close(oldest_first(method.queue), queue, rtol=1e-9, atol=1e-12)  # a step's keys enter once


def test_three_steps_and_the_queue_are_those_of_the_official_code():
    # facebookresearch/moco, moco/builder.py (before 8976944 removed it): MoCo(dim 4, K 10, m 0.75, T 0.3) in one
    # process, on the same table, with steps of gradient descent at a rate of 1.
    method = with_table(table(5))
    random = np.random.default_rng(7).normal(size=(10, 4))
    method.queue.stored.copy_(F.normalize(torch.from_numpy(random), dim=1))
    losses = []
    for _ in range(3):
        output = method(batch_of(5))
        losses.append(output.loss.item())
        (gradient,) = torch.autograd.grad(output.loss, method.encoder.table)
        with torch.no_grad():
            method.encoder.table -= gradient
        method.after_step()
    assert losses == pytest.approx([3.7561631542, 2.9493133801, 2.7860742345], abs=2e-9)
    newest, older = method.queue.stored[0].tolist(), method.queue.stored[7].tolist()
    assert newest == pytest.approx([-0.0821213562, 0.8730394647, -0.424995775, 0.2245813152], abs=2e-9)
    assert older == pytest.approx([-0.3982359927, 0.1915767446, -0.8783998565, -0.1819893876], abs=2e-9)
    slow = method.momentum_tower.tower[0].table[100].tolist()
    assert slow == pytest.approx([-0.1285346629, 1.3664634705, -0.6651946735, 0.3515100701], abs=2e-9)
    assert int(method.queue.pointer) == 5


def test_mixtures_that_are_given_are_those_of_a_public_code():
    # davidsvy/hard-negative-mixing at 2955553f, src/moco.py, with these draws for its own: MoCHi has no official code.
    method = with_table(table(5), mochi, **{**MIXED, "hardest": 4, "pairs": 3, "with_query": 2})
    method.queue.stored.copy_(F.normalize(torch.from_numpy(np.random.default_rng(7).normal(size=(10, 4))), dim=1))
    random = np.random.default_rng(5)
    pairs, singles = random.integers(0, 4, size=(2, 5, 3)), random.integers(0, 4, size=(5, 2))
    share, own = random.random((5, 3)), random.random((5, 2)) * 0.5

    def given(hardest, row_index):
        first, second, single = (hardest.gather(1, torch.from_numpy(one)) for one in (*pairs, singles))
        mixed = torch.ones(5, dtype=torch.bool)
        return Mixture(first, second, torch.from_numpy(share), single, torch.from_numpy(own), mixed)

    method.mixer.forward = given
    loss = method(batch_of(5)).loss
    rows = [5.6463920667, 6.7252881228, 3.4401071485, 5.4415217278, 1.7077568505]
    assert loss.item() == pytest.approx(sum(rows) / 5, abs=2e-9)
    loss.backward()
    gradient = method.encoder.table.grad[2].tolist()
    assert gradient == pytest.approx([0.0823802246, -0.1792754735, 0.2795923642, 0.1301267151], abs=2e-9)


def test_without_mixtures_or_before_their_time_it_is_moco_to_the_bit(digits, tmp_path):
    courses = []
    settings = {**TINY, **SMALL, "steps": 6, "progress": False}
    off = {"hardest": 6, "plain_epochs": 0.0, "pairs": 0, "with_query": 0}
    early, late = {**MIXED, "plain_epochs": 1.0}, {**MIXED, "plain_epochs": 9.0}
    runs = [("moco", {}), ("mochi", late), ("mochi", off), ("mochi", early)]
    for number, (name, own) in enumerate(runs):
        torch.manual_seed(0)
        likewise.train(name, digits[:24], out=tmp_path / str(number), **settings, **own)
        with (tmp_path / str(number) / "metrics.csv").open() as file:
            courses.append([float(row["loss"]) for row in csv.DictReader(file)])
    assert courses[0] == courses[1] == courses[2]
    assert courses[3][:3] == courses[0][:3]  # an epoch is three batches
    assert courses[3][3] > courses[0][3]


def test_more_negatives_never_lower_the_loss_and_the_hardest_are_the_row_s_own():
    values = table(5)
    plain = with_table(values)
    mixing = with_table(values, mochi, **MIXED)
    assert torch.equal(plain.queue.keys, mixing.queue.keys)
    seen = {}

    def remember(hardest, row_index):
        seen["hardest"], seen["mixture"] = hardest, draw(hardest, row_index)
        return seen["mixture"]

    draw, mixing.mixer.forward = mixing.mixer.forward, remember
    assert mixing(batch_of(5)).loss > plain(batch_of(5)).loss
    scores = F.normalize(torch.tensor(values[:5]), dim=1) @ plain.queue.keys.T
    assert torch.equal(seen["hardest"], scores.topk(6).indices)
    for i in range(5):
        assert set(seen["mixture"].first[i].tolist()) <= set(seen["hardest"][i].tolist())


def test_keys_of_the_own_picture_or_class_can_be_left_out():
    values, labels = table(4), torch.tensor([0, 1, 0, 1])
    for left_out, same in (("row", torch.eye(4).bool()), ("label", labels[:, None] == labels)):
        method = with_table(values, mochi, **{**MIXED, "pairs": 0, "with_query": 0}, queue_size=6, left_out=left_out)
        batch = batch_of(4, label=labels)
        for _ in range(2):
            output = method(batch)
            method.after_step()
        output = method(batch)
        query, key = output.contrast.query, output.contrast.key
        same_kind = torch.full((4, 6), False)
        for place, identity in enumerate(method.queue.column("identity").tolist()):
            numbers = torch.arange(4) if left_out == "row" else labels
            same_kind[:, place] = numbers == identity
        assert same_kind.sum() >= same.sum()
        logits = (query @ method.queue.keys.T / 0.3).masked_fill(same_kind, -torch.inf)
        positive = (query * key).sum(1) / 0.3
        expected = torch.cat([positive[:, None], logits], 1).logsumexp(1) - positive
        assert output.loss.item() == pytest.approx(expected.mean().item(), rel=1e-9)


def test_a_key_depends_on_its_own_picture_alone(digits):
    tower = load_image_encoder(ImageEncoderConfig(encoder="mlp-16", image_size=8, channels=1))
    method = moco.MoCo(moco.Config(**SMALL, batch_norm=True), tower).train()
    pictures = tower.read([row["image"] for row in digits[:8]])
    whole, _ = method.embed(Batch({"query": pictures, "key": pictures}, torch.arange(8)))
    keys = method._arriving[0]
    method.momentum_tower.follow = lambda online: None
    method.embed(Batch({"query": pictures[:3], "key": pictures[:3]}, torch.arange(3)))
    assert_close(method._arriving[0], keys[:3])
    assert not torch.allclose(method.embed(Batch({"query": pictures[:3], "key": pictures[:3]}, torch.arange(3)))[0],
                              whole[:3], atol=1e-3)  # fmt: skip


def test_both_towers_are_counted_as_passes_and_only_one_is_kept(digits, tmp_path):
    model = likewise.train(
        "mochi", digits[:24], out=tmp_path / "run", steps=2, progress=False, **TINY, **SMALL, **MIXED
    )
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["encoded"]) for row in rows] == [16, 32]
    assert 0 <= float(rows[-1]["beats_mixed"]) <= 1
    assert model.dim == 16


def test_what_is_doubtful_is_warned_of(digits, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        settings = {**TINY, **SMALL, **MIXED, "steps": 2, "progress": False}
        likewise.train("mochi", digits[:16], out=tmp_path / "a", **settings)
    assert "each meets older keys of its own" in caplog.text
    assert "use a shorter --queue-size, or --left-out row" in caplog.text
    assert "only 0 of the queue's are of pictures so far" in caplog.text
    assert caplog.text.count("are mixed of the 6 nearest") == 1


def test_a_queue_of_all_pictures_is_doubtful_without_mixtures_too(digits, tmp_path, caplog):
    likewise.train("moco", digits[:16], out=tmp_path / "a", steps=1, progress=False, **TINY, **SMALL)
    assert "there are 16 pictures" in caplog.text
    assert "--left-out" not in caplog.text


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        (moco, {"queue_size": 0}, "queue_size is 0"),
        (moco, {"momentum": 1.0}, "momentum is 1.0"),
        (mochi, {"hardest": 20, "queue_size": 10}, "hardest is 20, but the queue holds 10"),
        (mochi, {"hardest": 4, "plain_epochs": -1.0}, "plain_epochs is -1.0"),
        (mochi, {"hardest": 4, "query_share": 0.7}, "query_share is 0.7"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, settings, says):
    with pytest.raises(InputError, match=says):
        with_table(table(3), kind, **settings)


def test_a_temperature_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"temperature is 0\.0"):
        with_table(table(3), moco, temperature=0.0)(batch_of(3))
