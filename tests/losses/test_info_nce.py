"""InfoNCE in all its forms, against loops over plain numbers written from its definition."""

from __future__ import annotations

import copy
import math
import pickle
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.losses import InfoNCE, RowLosses, info_nce

MODULE = sys.modules[info_nce.__module__]


def unit(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1).to(dtype)


def dot(x: list[float], y: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(x, y, strict=True))


def loop_direction(
    scores: list[list[float]], counts: list[list[bool]], weights: list[list[float]]
) -> list[float | None]:
    """Cross-entropy of each row against what counts, averaged over its positives by weight; None if it has none."""
    losses: list[float | None] = []
    for score, count, weight in zip(scores, counts, weights, strict=True):
        candidates = [s for s, c in zip(score, count, strict=True) if c]
        if not candidates or not any(weight):
            losses.append(None)
            continue
        highest = max(candidates)
        normaliser = highest + math.log(math.fsum(math.exp(s - highest) for s in candidates))
        target = math.fsum(w * s for w, s in zip(weight, score, strict=True)) / math.fsum(weight)
        losses.append(normaliser - target)
    return losses


def loop_info_nce(
    query, key, others, queue, *, temperature, weights, counts, mod, symmetric=False
) -> list[float | None]:
    """The definition: candidates are keys, negatives, queue; ``weights`` has a column for each of them."""
    candidates = key + others + queue
    scores = [
        [mod(dot(q, k) / t, i, j) for j, k in enumerate(candidates)]
        for i, (q, t) in enumerate(zip(query, temperature, strict=True))
    ]
    counted = [[counts(i, j) for j in range(len(candidates))] for i in range(len(query))]
    rows = loop_direction(scores, counted, weights)
    if not symmetric:
        return rows
    num_keys = range(len(key))
    columns = loop_direction(
        *([[table[i][j] for i in range(len(query))] for j in num_keys] for table in (scores, counted, weights))
    )
    both = [[x for x in pair if x is not None] for pair in zip(rows, columns, strict=True)]
    return [math.fsum(pair) / len(pair) if pair else None for pair in both]


def assert_equals_loop(rows: RowLosses, expected: list[float | None], rel: float = 1e-9) -> None:
    assert rows.counted.tolist() == [x is not None for x in expected]
    assert rows.values.tolist() == pytest.approx([x or 0.0 for x in expected], rel=rel, abs=1e-9)


def third(row, column):
    return (row.index == column.index) | ((row.index + column.index) % 3 > 0)


def bend(score, row, column):
    return 0.9 * score + row[0] - 0.3 * column[0] + 0.2 * (column.index == row.index + 1).to(score.dtype)


@st.composite
def problems(draw):
    """Draw everything there is, in all combinations that are allowed."""
    num_rows, dim, seed = draw(st.integers(1, 7)), draw(st.integers(2, 4)), draw(st.integers(0, 2**20))
    query, key = unit(num_rows, dim, seed=seed), unit(num_rows, dim, seed=seed + 1)
    num_negatives, num_queued = draw(st.sampled_from([0, 0, 3])), draw(st.sampled_from([0, 0, 4]))
    kind = draw(st.sampled_from(["own", "labels", "positives", "weights"]))
    one_set = kind != "own" and draw(st.booleans())
    symmetric = not one_set and draw(st.booleans())
    per_row = not symmetric and draw(st.booleans())
    temperature = torch.full((num_rows,), draw(st.sampled_from([0.05, 0.5, 2.0])), dtype=torch.float64)
    if per_row:
        temperature *= torch.linspace(0.5, 1.5, num_rows, dtype=torch.float64)
    options = {"temperature": temperature if per_row else float(temperature[0]), "symmetric": symmetric}
    num_candidates = num_rows + num_negatives + num_queued
    weights = torch.zeros(num_rows, num_candidates, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed + 2)
    if kind == "own":
        weights[:, :num_rows] = torch.eye(num_rows)
    elif kind == "labels":
        labels = torch.randint(-1, 3, (num_rows,), generator=generator)
        options["labels"] = labels
        weights[:, :num_rows] = labels[:, None] == labels
        if num_queued and draw(st.booleans()):
            options["queue_labels"] = torch.randint(-1, 3, (num_queued,), generator=generator)
            weights[:, num_rows + num_negatives :] = labels[:, None] == options["queue_labels"]
    else:
        given = torch.rand(num_rows, num_rows, generator=generator, dtype=torch.float64).sub(0.6).clamp(min=0)
        options[kind] = given > 0 if kind == "positives" else given
        weights[:, :num_rows] = options[kind]
    if one_set:
        weights[:, :num_rows].fill_diagonal_(0)
    if num_negatives:
        options["negatives"] = unit(num_negatives, dim, seed=seed + 3)
    if num_queued:
        options["queue"] = unit(num_queued, dim, seed=seed + 4)
    masked, bent = draw(st.booleans()), draw(st.booleans())
    if masked:
        options["mask_mod"] = third
    row, column = unit(num_rows, seed=seed + 5), unit(num_candidates, seed=seed + 6)
    if bent:
        options |= {"score_mod": bend, "rows": (row,), "columns": (column,)}

    def counts(i, j):
        return (not one_set or i != j) and (not masked or i == j or (i + j) % 3 > 0)

    def mod(score, i, j):
        return 0.9 * score + float(row[i]) - 0.3 * float(column[j]) + 0.2 * (j == i + 1) if bent else score

    expected = loop_info_nce(
        query.tolist(),
        (query if one_set else key).tolist(),
        options["negatives"].tolist() if num_negatives else [],
        options["queue"].tolist() if num_queued else [],
        temperature=temperature.tolist(),
        weights=weights.tolist(),
        counts=counts,
        mod=mod,
        symmetric=symmetric,
    )
    return query, None if one_set else key, options, expected


@settings(deadline=None, max_examples=250)
@given(problems(), st.sampled_from([None, 1, 3, (2, 5)]))
def test_equals_a_plain_loop(problem, tile):
    query, key, options, expected = problem
    assert_equals_loop(info_nce(query, key, tile=tile, **options), expected)


@pytest.mark.parametrize("tile", [None, 2])
def test_a_large_plain_problem_equals_a_small_one(monkeypatch, tile):
    """Small problems are computed whole; the engine gives the same, gradients included."""
    query, key = unit(9, 4, seed=0).requires_grad_(), unit(9, 4, seed=1).requires_grad_()
    results = []
    for small in (2**16, 0):
        monkeypatch.setattr(MODULE, "_SMALL", small)
        for temperature in (0.07, torch.linspace(0.05, 0.4, 9).double()):
            for symmetric in (False, isinstance(temperature, float)):
                rows = info_nce(query, key, temperature=temperature, symmetric=symmetric, tile=tile)
                assert rows.counted.all()
                results.append((rows.values, *torch.autograd.grad(rows.mean(), (query, key))))
    half = len(results) // 2
    for found, expected in zip(results[half:], results[:half], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(problems(), st.sampled_from([None, 2]))
def test_gradients_by_differences(problem, tile):
    query, key, options, expected = problem
    if all(x is None for x in expected):
        return
    leaves = {"query": query, "key": key, "temperature": torch.as_tensor(options.pop("temperature")).double()}
    leaves["negatives"] = options.pop("negatives", None)
    if "rows" in options:
        leaves["row"], leaves["column"] = options.pop("rows")[0], options.pop("columns")[0]
    leaves["temperature"] = leaves["temperature"].clamp(min=0.4)  # differences need some smoothness
    names = [name for name, x in leaves.items() if x is not None]

    def loss(*values):
        given = dict.fromkeys(leaves) | dict(zip(names, values, strict=True))
        if "row" in given:
            given["rows"], given["columns"] = (given.pop("row"),), (given.pop("column"),)
        return info_nce(given.pop("query"), given.pop("key"), tile=tile, **given, **options).mean()

    inputs = [leaves[name].clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(loss, inputs, rtol=1e-4, atol=1e-6)


# The numbers and limits below are those of the SimCSE specification.

FIRST = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
SECOND = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
THIRD = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)


def own_negative(log_weight: float):
    """Weigh the pair of a row with its own hard negative."""
    return lambda score, row, column: score + log_weight * (column.index == row.index + 2)


def test_by_hand():
    rows = info_nce(FIRST, SECOND, temperature=0.5)
    assert rows.values.tolist() == pytest.approx([0.37110067, 0.18390074], abs=1e-8)
    assert float(rows.mean()) == pytest.approx(0.27750070, abs=1e-8)
    assert float(info_nce(FIRST, SECOND, temperature=0.05).mean()) == pytest.approx(1.67759454e-4, rel=1e-8)


def test_hard_negatives_by_hand():
    rows = info_nce(FIRST, SECOND, temperature=0.5, negatives=THIRD)
    assert rows.values.tolist() == pytest.approx([0.94959561, 1.06319847], abs=1e-8)
    assert float(rows.mean()) == pytest.approx(1.00639704, abs=1e-8)
    weighed = info_nce(FIRST, SECOND, temperature=0.5, negatives=THIRD, score_mod=own_negative(math.log(2)))
    assert weighed.values.tolist() == pytest.approx([1.00063171, 1.13059994], abs=1e-8)
    assert float(weighed.mean()) == pytest.approx(1.06561582, abs=1e-8)
    same = info_nce(FIRST, SECOND, temperature=0.5, negatives=THIRD, score_mod=own_negative(0.0))
    torch.testing.assert_close(same.values, rows.values, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("tile", [None, 1])
def test_one_row_alone_has_nothing_to_lose(symmetric, tile):
    query, key = unit(1, 4, seed=0).requires_grad_(), unit(1, 4, seed=1).requires_grad_()
    for options in ({}, {"mask_mod": lambda row, column: row.index == column.index}):
        loss = info_nce(query, key, temperature=0.05, symmetric=symmetric, tile=tile, **options).mean()
        assert float(loss.detach()) == pytest.approx(0, abs=1e-14)
        for grad in torch.autograd.grad(loss, (query, key)):
            assert grad.abs().max() < 1e-13


def test_equal_vectors_leave_pure_chance():
    same = unit(1, 8, seed=0).expand(64, 8)
    assert float(info_nce(same, same.clone(), temperature=0.05).mean()) == pytest.approx(4.15888308, abs=1e-8)
    with_negatives = info_nce(same, same.clone(), temperature=0.05, negatives=same)
    assert float(with_negatives.mean()) == pytest.approx(math.log(128))
    assert float(info_nce(same, same.clone(), temperature=0.05, symmetric=True).mean()) == pytest.approx(math.log(64))


def test_length_does_not_matter_once_normalised():
    """The loss of normalised vectors does not feel their length, so its gradient is orthogonal to each of them."""
    first, second = unit(5, 4, seed=0).mul(3).requires_grad_(), unit(5, 4, seed=1).mul(0.2).requires_grad_()

    def loss(x, y):
        x, y = torch.nn.functional.normalize(x, dim=-1), torch.nn.functional.normalize(y, dim=-1)
        return info_nce(x, y, temperature=0.1).mean()

    value = loss(first, second)
    for x, grad in zip((first, second), torch.autograd.grad(value, (first, second)), strict=True):
        assert (x * grad).sum(1).abs().max() < 1e-12
    torch.testing.assert_close(loss(first * 7, second / 11), value, rtol=1e-12, atol=0)


def test_order_of_rows_moves_their_losses_only():
    query, key = unit(6, 4, seed=0), unit(6, 4, seed=1)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    rows = info_nce(query, key, temperature=0.1).values
    torch.testing.assert_close(info_nce(query[order], key[order], temperature=0.1).values, rows[order])


def test_one_direction_is_not_the_other():
    query, key = unit(6, 4, seed=0), unit(6, 4, seed=1)
    there, back = (info_nce(x, y, temperature=0.1).values for x, y in ((query, key), (key, query)))
    assert not torch.allclose(there, back)
    torch.testing.assert_close(info_nce(query, key, temperature=0.1, symmetric=True).values, (there + back) / 2)
    # A symmetric table of similarities has equal directions.
    torch.testing.assert_close(info_nce(query, query.clone(), temperature=0.1, symmetric=True).values, (
        info_nce(query, query.clone(), temperature=0.1).values
    ))  # fmt: skip


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("tile", [1, 7, 25])
def test_tiles_equal_dense_cross_entropy(monkeypatch, tile, dtype, tolerance):
    monkeypatch.setattr(MODULE, "_SMALL", 0)
    query, key, negatives = (unit(25, 8, seed=seed, dtype=dtype).requires_grad_() for seed in range(3))
    logits = torch.cat([query @ key.T, query @ negatives.T], 1) / 0.05
    dense = torch.nn.functional.cross_entropy(logits, torch.arange(25), reduction="none")
    tiled = info_nce(query, key, temperature=0.05, negatives=negatives, tile=tile)
    torch.testing.assert_close(tiled.values, dense, rtol=tolerance, atol=tolerance)
    leaves = (query, key, negatives)
    found, expected = torch.autograd.grad(tiled.mean(), leaves), torch.autograd.grad(dense.mean(), leaves)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("tile", "small"), [(None, 0), (3, 0), (None, 2**20)])
def test_a_learned_row_keeps_its_digits(monkeypatch, tile, small):
    """Where the positive has nearly all the weight, what is left of its gradient is still right."""
    monkeypatch.setattr(MODULE, "_SMALL", small)
    query = unit(6, 16, seed=0)
    single, double = query.float().requires_grad_(), query.float().double().requires_grad_()
    for temperature in (0.07, 0.05, 0.01):
        key = query + 0.1 * unit(6, 16, seed=1)
        loss = [info_nce(x, key.to(x.dtype), temperature=temperature, tile=tile).mean() for x in (single, double)]
        found, expected = (torch.autograd.grad(y, x)[0].double() for y, x in zip(loss, (single, double), strict=True))
        assert (found - expected).abs().max() < 2e-6 / temperature


def test_supcon_by_hand():
    """Rows 0 and 1 share a label, rows 2 and 3 another, row 4 has its own."""
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0], [0.8, 0.6]], dtype=torch.float64)
    rows = info_nce(x, None, temperature=1.0, labels=torch.tensor([5, 5, 2, 2, 9]))
    normaliser = math.log(math.exp(0.6) + 1 + math.exp(-1) + math.exp(0.8))
    assert float(rows.values[0]) == pytest.approx(normaliser - 0.6)
    assert rows.counted.tolist() == [True, True, True, True, False]


def test_labels_positives_and_weights_say_the_same():
    query, key, labels = unit(8, 4, seed=0), unit(8, 4, seed=1), torch.tensor([0, 1, 0, 2, 2, 2, 1, 3])
    same = labels[:, None] == labels
    options = {"temperature": 0.3, "symmetric": True, "tile": 3}
    by_label = info_nce(query, key, labels=labels, **options)
    torch.testing.assert_close(info_nce(query, key, positives=same, **options).values, by_label.values)
    torch.testing.assert_close(info_nce(query, key, weights=same * 0.3, **options).values, by_label.values)
    everyone = info_nce(query, key, labels=torch.zeros(8, dtype=torch.int64), **options)
    torch.testing.assert_close(everyone.values, info_nce(query, key, weights=torch.ones(8, 8), **options).values)
    nobody_else = info_nce(query, key, labels=torch.arange(8), **options)
    torch.testing.assert_close(nobody_else.values, info_nce(query, key, **options).values)


def test_the_queue_is_constant_and_negatives_are_not():
    query, key, extra = (unit(4, 3, seed=seed).requires_grad_() for seed in range(3))
    as_negatives = info_nce(query, key, temperature=0.2, negatives=extra)
    as_queue = info_nce(query, key, temperature=0.2, queue=extra)
    torch.testing.assert_close(as_queue.values, as_negatives.values)
    as_negatives.mean().backward()
    assert extra.grad.abs().max() > 0
    extra.grad = None
    as_queue.mean().backward()
    assert extra.grad is None


def test_positives_outside_the_softmax():
    """A mask that leaves positives out gives the decoupled loss, and a row alone is then counted out."""
    query, key = unit(4, 3, seed=0), unit(4, 3, seed=1)
    other = lambda row, column: row.index != column.index  # noqa: E731 (reads as it is used)
    rows = info_nce(query, key, temperature=0.2, mask_mod=other)
    score = query @ key.T / 0.2
    expected = score.masked_fill(torch.eye(4, dtype=torch.bool), -torch.inf).logsumexp(1) - score.diagonal()
    torch.testing.assert_close(rows.values, expected)
    alone = info_nce(query[:1].requires_grad_(), key[:1], temperature=0.2, mask_mod=other)
    assert alone.counted.tolist() == [False]
    assert alone.values.tolist() == [0.0]
    alone.values.sum().backward()


@pytest.mark.parametrize("symmetric", [False, True])
def test_rows_that_do_not_count_have_no_gradient(symmetric):
    query, key = unit(5, 3, seed=0).requires_grad_(), unit(5, 3, seed=1).requires_grad_()
    weights = torch.rand(5, 5, generator=torch.Generator().manual_seed(0)).double()
    weights[2] = 0
    weights[:, 2] = 0
    rows = info_nce(query, key, temperature=0.2, weights=weights, symmetric=symmetric)
    assert rows.counted.tolist() == [True, True, False, True, True]
    assert rows.values[2] == 0
    grads = torch.autograd.grad(rows.values[2], (query, key), retain_graph=True)
    assert all((grad == 0).all() for grad in grads)
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(rows.mean(), (query, key)))


@pytest.mark.parametrize("temperature", [1e-4, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_temperature(temperature, dtype):
    query, key = (unit(40, 4, seed=seed, dtype=dtype).requires_grad_() for seed in (0, 1))
    rows = info_nce(query, key, temperature=temperature, symmetric=True, tile=16)
    dense = query.double() @ key.double().T / temperature
    expected = (dense.logsumexp(0) + dense.logsumexp(1)) / 2 - dense.diagonal()
    torch.testing.assert_close(rows.values.double(), expected, rtol=1e-5, atol=1e-5)
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(rows.mean(), (query, key)))


def test_bfloat16_under_autocast(monkeypatch):
    query, key = (unit(30, 64, seed=seed, dtype=torch.float32).requires_grad_() for seed in (0, 1))
    labels = torch.arange(30) % 7
    for options in ({}, {"labels": labels}, {"weights": (labels[:, None] == labels).float()}):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = info_nce(query, key, temperature=0.05, symmetric=True, **options)
            found = torch.autograd.grad(rows.mean(), (query, key))
        assert rows.values.dtype == torch.float32
        rounded = [x.detach().bfloat16().double().requires_grad_() for x in (query, key)]
        same = {name: x.double() if x.is_floating_point() else x for name, x in options.items()}
        expected = info_nce(*rounded, temperature=0.05, symmetric=True, **same)
        torch.testing.assert_close(rows.values.double(), expected.values, rtol=1e-3, atol=1e-3)
        for x, y in zip(found, torch.autograd.grad(expected.mean(), rounded), strict=True):
            assert torch.linalg.vector_norm(x - y) < 1e-2 * torch.linalg.vector_norm(y)


class TestModule:
    def test_a_learnable_temperature_moves_and_is_saved(self):
        loss = InfoNCE(0.1, learnable=True)
        assert float(loss.temperature.detach()) == pytest.approx(0.1)
        query, key = unit(6, 4, seed=0, dtype=torch.float32), unit(6, 4, seed=1, dtype=torch.float32)
        optimiser = torch.optim.SGD(loss.parameters(), lr=0.1)
        before = loss(query, key).mean()
        before.backward()
        optimiser.step()
        assert loss(query, key).mean() < before
        other = InfoNCE(0.5, learnable=True)
        other.load_state_dict(loss.state_dict())
        assert torch.equal(other(query, key).values, loss(query, key).values)

    def test_a_fixed_temperature_is_no_state(self):
        loss = InfoNCE(0.1)
        assert loss.temperature == 0.1
        assert not loss.state_dict()
        assert not list(loss.parameters())

    def test_its_options_are_those_of_the_function(self):
        query, key, queue = (unit(4, 3, seed=seed) for seed in range(3))
        loss = InfoNCE(0.2, symmetric=True)
        expected = info_nce(query, key, temperature=0.2, symmetric=True, queue=queue)
        assert torch.equal(loss(query, key, queue=queue).values, expected.values)

    def test_it_can_be_copied_pickled_and_printed(self):
        loss = InfoNCE(0.07, learnable=True, symmetric=True)
        query, key = unit(4, 3, seed=0), unit(4, 3, seed=1)
        for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
            assert torch.equal(other(query, key).values, loss(query, key).values)
        assert repr(loss) == "InfoNCE(temperature=0.07, learnable=True, symmetric=True)"

    def test_its_default_is_that_of_simcse(self):
        assert InfoNCE().temperature == 0.05


TWO, THREE = torch.ones(2, 3), torch.ones(3, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: info_nce(TWO, TWO, temperature=0.0), ValueError, "temperature is 0.0; it must be > 0 and finite"),
        (lambda: info_nce(TWO, TWO, temperature=-1), ValueError, "temperature is -1"),
        (lambda: info_nce(TWO, TWO, temperature=math.nan), ValueError, "temperature is nan"),
        (lambda: InfoNCE(0.0), ValueError, "temperature is 0.0"),
        (lambda: info_nce(TWO, TWO, temperature=torch.tensor(-0.5)), ValueError, "temperature is -0.5 at least"),
        (lambda: info_nce(TWO, TWO, temperature=torch.ones(3)), ValueError, r"temperature is \[3\] for 2 rows"),
        (lambda: info_nce(TWO, TWO, temperature=torch.ones(2), symmetric=True), ValueError, "but symmetric is set"),
        (
            lambda: info_nce(TWO, TWO[:, :2], temperature=1.0),
            ValueError,
            r"query is \[2, 3\] but key is \[2, 2\]; the last",
        ),
        (lambda: info_nce(TWO, THREE, temperature=1.0), ValueError, "every row of query has its own key"),
        (lambda: info_nce(TWO.long(), TWO, temperature=1.0), TypeError, "query is torch.int64"),
        (lambda: info_nce(TWO, TWO[0], temperature=1.0), TypeError, r"key is torch.float32 \[3\]"),
        (lambda: info_nce(TWO, TWO, temperature=1.0, queue=torch.ones(4, 2)), ValueError, r"queue is \[4, 2\]"),
        (lambda: info_nce(TWO, TWO, temperature=1.0, negatives=torch.ones(3)), TypeError, "negatives is"),
        (lambda: info_nce(TWO, None, temperature=1.0), ValueError, "need to be told their positives"),
        (
            lambda: info_nce(TWO, None, temperature=1.0, labels=torch.zeros(2).long(), symmetric=True),
            ValueError,
            "one set of rows has one direction",
        ),
        (
            lambda: info_nce(TWO, TWO, temperature=1.0, labels=torch.zeros(2).long()),
            ValueError,
            "query and key are the same tensor",
        ),
        (
            lambda: info_nce(TWO, TWO + 0, temperature=1.0, labels=torch.zeros(3).long()),
            ValueError,
            r"labels is \[3\] for 2 rows of query",
        ),
        (lambda: info_nce(TWO, TWO + 0, temperature=1.0, labels=torch.zeros(2)), TypeError, "labels are integers"),
        (
            lambda: info_nce(TWO, TWO, temperature=1.0, queue=THREE, queue_labels=torch.zeros(3).long()),
            ValueError,
            "queue_labels is given but labels is not",
        ),
        (
            lambda: info_nce(
                TWO,
                None,
                temperature=1.0,
                labels=torch.zeros(2).long(),
                queue=THREE,
                queue_labels=torch.zeros(2).long(),
            ),
            ValueError,
            r"queue_labels is \[2\] for 3 of queue",
        ),
        (
            lambda: info_nce(TWO, None, temperature=1.0, labels=torch.zeros(2).long(), weights=torch.ones(2, 2)),
            ValueError,
            "labels and weights are given",
        ),
        (
            lambda: info_nce(TWO, TWO + 0, temperature=1.0, positives=torch.ones(2, 2)),
            ValueError,
            r"positives is torch.float32 \[2, 2\]; it is bool \[2, 2\]",
        ),
        (
            lambda: info_nce(TWO, TWO + 0, temperature=1.0, weights=torch.ones(2, 3)),
            ValueError,
            r"weights is torch.float32 \[2, 3\]; it is floating \[2, 2\]",
        ),
        (
            lambda: info_nce(TWO, TWO + 0, temperature=1.0, weights=torch.tensor([[1.0, -1.0], [0.0, 1.0]])),
            ValueError,
            "negative or not finite",
        ),
        (
            lambda: info_nce(TWO, TWO, temperature=1.0, queue=THREE, columns=(torch.ones(2),)),
            ValueError,
            r"columns\[0\] is \[2\] for 5 candidates",
        ),
        (
            lambda: info_nce(TWO, torch.full((2, 3), torch.nan), temperature=1.0),
            ValueError,
            "key has an element that is not finite in row 0",
        ),
        (
            lambda: info_nce(TWO, TWO + 0, temperature=1.0, queue=torch.tensor([[0.0, torch.inf, 0.0]])),
            ValueError,
            "key has an element that is not finite in row 0",
        ),
    ],
)
def test_bad_input_is_told_in_three_parts(call, error, message):
    with pytest.raises(error, match=message):
        call()
