import math

import numpy as np
import pytest
import torch

from likewise.methods.retrieval.pairs import Config, Pairs
from likewise.sampling import text_key
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts


def normalised(rows):
    return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in rows]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def lse(values):
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def made(query, positive, negative=(), ids=None, **config):
    method = Pairs(Config(**config), TableEncoder([*query, *positive, *negative]))
    size = len(query)
    names = ids or [f"text {i}" for i in range(size + len(negative))]
    numbers = torch.tensor([text_key(name) for name in names])
    inputs = {
        "query": texts(*range(size)),
        "positive": texts(*range(size, 2 * size)),
        "positive_id": numbers[:size],
    }
    if negative:
        inputs |= {"negative": texts(*range(2 * size, 2 * size + len(negative))), "negative_id": numbers[size:]}
    return method, Batch(inputs, torch.arange(size) * 3 + 1)


@pytest.fixture
def vectors():
    generator = np.random.default_rng(0)
    return [generator.normal(size=(n, 4)).tolist() for n in (5, 5, 7)]


def test_the_loss_equals_a_plain_loop(vectors):
    query, positive, _ = vectors
    method, batch = made(query, positive, temperature=0.1)
    q, p = normalised(query), normalised(positive)
    logits = [[dot(q[i], p[j]) / 0.1 for j in range(5)] for i in range(5)]
    expected = sum(lse(logits[i]) - logits[i][i] for i in range(5)) / 5
    assert method(batch).loss.item() == pytest.approx(expected, rel=1e-9)


def test_symmetric_is_the_mean_of_both_directions(vectors):
    query, positive, _ = vectors
    there, batch = made(query, positive)
    back, _ = made(positive, query)
    both, _ = made(query, positive, symmetric=True)
    mean = (there(batch).loss.item() + back(batch).loss.item()) / 2
    assert both(batch).loss.item() == pytest.approx(mean, rel=1e-9)


def test_every_hard_negative_is_a_negative_of_every_query(vectors):
    query, positive, negative = vectors
    method, batch = made(query, positive, negative, temperature=0.1)
    q, p, n = normalised(query), normalised(positive), normalised(negative)
    expected = 0.0
    for i in range(5):
        logits = [dot(q[i], p[j]) / 0.1 for j in range(5)] + [dot(q[i], n[k]) / 0.1 for k in range(7)]
        expected += (lse(logits) - logits[i]) / 5
    assert method(batch).loss.item() == pytest.approx(expected, rel=1e-9)


def test_a_hard_negative_that_is_the_rows_positive_text_is_masked_for_that_row_only(vectors):
    query, positive, negative = vectors
    ids = [f"p{i}" for i in range(5)] + ["P2 ", *(f"n{k}" for k in range(1, 7))]  # the first negative is row 2's answer
    method, batch = made(query, positive, negative, ids=ids, temperature=0.1)
    q, p, n = normalised(query), normalised(positive), normalised(negative)
    expected = 0.0
    for i in range(5):
        counted = range(1, 7) if i == 2 else range(7)
        logits = [dot(q[i], p[j]) / 0.1 for j in range(5)] + [dot(q[i], n[k]) / 0.1 for k in counted]
        expected += (lse(logits) - logits[i]) / 5
    assert method(batch).loss.item() == pytest.approx(expected, rel=1e-9)


def test_the_gradient_is_that_of_finite_differences(vectors):
    method, batch = made(*vectors, temperature=0.2)

    def of_table(table):
        return torch.func.functional_call(method, {"encoder.table": table}, (batch,)).loss

    assert torch.autograd.gradcheck(of_table, (method.encoder.table.detach().clone().requires_grad_(),))


def test_a_learned_temperature_is_trained_saved_and_logged(vectors):
    method, batch = made(*vectors[:2], learn_temperature=True, temperature=0.07)
    output = method(batch)
    output.loss.backward()
    trained = [name for name, p in method.named_parameters() if p.grad is not None and name != "encoder.table"]
    assert trained == ["loss.log_scale"]
    assert output.metrics["temperature"].item() == pytest.approx(0.07, rel=1e-6)
    assert "loss.log_scale" in method.state_dict()


def test_views_take_one_or_several_negatives_or_none(tiny_tower):
    views = Pairs(Config(), tiny_tower).views()
    rows = [
        {"query": "a", "positive": "b", "negative": ["c", "d"]},
        {"query": "e", "positive": "f", "negative": "g"},
        {"query": "h", "positive": "i", "negative": None},
    ]
    random = np.random.default_rng(0)
    batch = views.collate([views(row, random) for row in rows], [4, 5, 6])
    assert (len(batch["query"]), len(batch["positive"]), len(batch["negative"])) == (3, 3, 3)
    assert batch["negative_id"].tolist() == [text_key("c"), text_key("d"), text_key("g")]
    assert "negative" not in views.collate([views(rows[2], random)], [6])


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature"):
        Pairs(Config(temperature=temperature), TableEncoder([[1.0]]))
