"""A queue in clusters: what enters and leaves, who is whose neighbour, and that nothing of it is lost."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from likewise.errors import InputError
from likewise.memory import ClusteredQueue, sinkhorn


def normal(count, dim=4, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, dim)))


def memory_of(rows=12, dim=4, prototypes=3, **settings) -> ClusteredQueue:
    torch.manual_seed(0)
    return ClusteredQueue(rows, dim, prototypes, **settings).double()


def full(**settings) -> ClusteredQueue:
    memory = memory_of(**settings)
    memory.push(normal(12))
    return memory


def labels(cost, epsilon):
    return sinkhorn(torch.tensor(cost, dtype=torch.float64), epsilon=epsilon).argmax(1).tolist()


def test_shares_at_the_least_distance_are_those_of_the_specification():
    cost = [[0.1, 1.5], [0.2, 1.4], [1.3, 0.3], [1.6, 0.2]]
    assert labels(cost, 0.1) == [0, 0, 1, 1]
    assert labels([[-x for x in row] for row in cost], 0.1) == [1, 1, 0, 0]
    plan = sinkhorn(torch.tensor(cost, dtype=torch.float64).T, epsilon=0.5, iterations=10, tolerance=0.0).T
    assert_close(plan[0] / plan[0].sum(), torch.tensor([0.93537, 0.06463]).double(), rtol=0, atol=1e-5)


def test_shares_are_equal_where_the_nearest_would_all_be_one():
    cost = [[0.1, 1.0], [0.2, 1.0], [0.3, 1.0], [0.35, 1.0]]
    assert labels(cost, 0.05) == [0, 0, 1, 1]
    plan = 4 * sinkhorn(torch.tensor(cost, dtype=torch.float64), epsilon=0.05)
    assert_close(plan.sum(0), torch.tensor([2.0, 2.0]).double(), rtol=1e-6, atol=0)
    assert_close(plan.sum(1), torch.ones(4).double(), rtol=0, atol=1e-3)


def test_it_fills_up_is_clustered_when_it_is_full_and_then_holds_the_last_rows_in_order():
    memory, pushed = memory_of(), normal(60)
    sizes, first = [5, 0, 4, 3, 5, 7, 1, 11, 12, 8], 0
    for size in sizes:
        memory.push(pushed[first : first + size])
        first += size
        held = pushed[max(0, first - 12) : first]
        order = torch.arange(len(held)) + (int(memory.queue.pointer) if len(held) == 12 else 0)
        assert torch.equal(memory.rows[order % 12], held)
        assert memory.ready == (first >= 12)
        if memory.ready:
            assert 0 <= int(memory.clusters.min()) <= int(memory.clusters.max()) < 3
        else:
            assert set(memory.clusters.tolist()) <= {-1}


def test_the_first_clusters_are_those_of_directions_and_prototypes_are_their_middles():
    memory = memory_of()
    truth = torch.arange(12) % 3
    memory.push((F.one_hot(truth, 4) + 0.1 * normal(12)) * torch.arange(1, 13)[:, None])
    for one in range(3):
        mine = memory.clusters[truth == one].unique()
        assert len(mine) == 1
        assert_close(memory.prototypes[mine[0]], F.normalize(memory.rows[truth == one]).mean(0))


def by_loops(rows, prototypes, epsilon, rounds=10, sign=1):
    kernel = torch.zeros(len(rows), len(prototypes), dtype=torch.float64)
    for i, row in enumerate(rows):
        for j, prototype in enumerate(prototypes):
            kernel[i, j] = (-sign * (row / row.norm() - prototype / prototype.norm()).norm() / epsilon).exp()
    for _ in range(rounds):
        for j in range(len(prototypes)):
            kernel[:, j] /= kernel[:, j].sum() * len(prototypes)
        for i in range(len(rows)):
            kernel[i] /= kernel[i].sum() * len(rows)
    return kernel.argmax(1)


@pytest.mark.parametrize("momentum", [0.0, 0.25])
@pytest.mark.parametrize("farthest", [False, True])
def test_rows_that_come_are_shared_out_and_prototypes_follow(momentum, farthest):
    memory = full(epsilon=0.1, momentum=momentum, farthest=farthest)
    for seed in range(1, 5):
        new, before = normal(5, seed=seed), memory.prototypes.clone()
        expected = by_loops(new, before, 0.1, sign=-1 if farthest else 1)
        places = (int(memory.queue.pointer) + torch.arange(5)) % 12
        memory.push(new)
        assert torch.equal(memory.rows[places], new)
        assert torch.equal(memory.clusters[places], expected)
        for one in range(3):
            own = memory.rows[memory.clusters == one]
            moved = momentum * before[one] + (1 - momentum) * own.mean(0) if len(own) else before[one]
            assert_close(memory.prototypes[one], moved)


def test_a_prototype_without_rows_stays():
    memory = full()
    memory.clusters[memory.clusters == 2] = 0
    memory.prototypes[2] = torch.tensor([1.0, 0, 0, 0])
    memory.prototypes[:2] = torch.tensor([[0.0, 1, 0, 0], [0, 0, 1, 0]])
    memory.push(torch.tensor([[0.0, 5, 0.1, 0], [0, 0.1, 4, 0]]))
    assert 2 not in memory.clusters
    assert memory.prototypes[2].tolist() == [1, 0, 0, 0]


def neighbours_by_loops(memory, row, k):
    cosine = F.normalize(memory.rows) @ (row / row.norm())
    own = (F.normalize(memory.prototypes) @ row).argmax()
    inside = [i for i in range(len(memory)) if memory.clusters[i] == own]
    among = inside if len(inside) > k else range(len(memory))
    return sorted(among, key=lambda i: -float(cosine[i]))[:k]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 12), pushes=st.integers(0, 3))
def test_neighbours_are_the_nearest_of_the_own_cluster_or_of_all_where_it_is_small(seed, k, pushes):
    memory = full()
    for push in range(pushes):
        memory.push(normal(5, seed=seed + push))
    rows = normal(6, seed=seed + 99)
    cosines, places = memory.nearest(rows, k)
    for i, row in enumerate(rows):
        assert places[i].tolist() == neighbours_by_loops(memory, row, k)
        assert_close(cosines[i], F.cosine_similarity(memory.rows[places[i]], row[None]))


def test_neighbours_do_not_depend_on_lengths_and_nothing_has_a_gradient():
    memory, rows = full(), normal(3, seed=7).requires_grad_()
    cosines, places = memory.nearest(rows, 4)
    assert not cosines.requires_grad
    assert torch.equal(memory.nearest(9 * rows, 4)[1], places)
    memory.push(rows)
    assert not memory.rows.requires_grad


def test_clustering_anew_changes_no_row_and_goes_on_from_the_state():
    memory = full()
    for seed in range(1, 4):
        memory.push(normal(5, seed=seed))
    copy = memory_of()
    copy.load_state_dict(memory.state_dict())
    rows = memory.rows.clone()
    assert memory.cluster()
    assert copy.cluster()
    assert torch.equal(memory.rows, rows)
    memory.push(normal(5, seed=9))
    copy.push(normal(5, seed=9))
    for name, value in memory.state_dict().items():
        assert torch.equal(copy.state_dict()[name], value), name


def test_rows_that_coincide_cannot_be_clustered_and_are_waited_for():
    memory = memory_of()
    memory.push(torch.ones(12, 4))
    assert not memory.ready
    memory.push(normal(12))
    assert memory.ready
    before = memory.state_dict()["prototypes"].clone()
    memory.queue.stored.fill_(1.0)
    assert not memory.cluster()  # and what was found before stays
    assert torch.equal(memory.prototypes, before)


OFFICIAL = {
    # stypoumic/BECLR at 8b33581, DyCE.get_top_kNN on CPU in float32, with NumPy's default_rng(seed).normal: a bank of
    # 12 rows of 4 (seed 10), labels 0 1 2 0 ..., 3 prototypes (seed 30), pointer 4, a batch of 6 (seed 3), epsilon
    # 0.05, 2 neighbours. Distances as that code gives them to its Sinkhorn (far), and with a minus (near).
    ("far", 0.0): ([0, 1, 2, 0, 1, 2, 0, 2, 1, 0, 1, 2], -0.5720367431640625, -0.6944414377212524, -8.833756446838379),
    ("far", 0.25): ([0, 1, 2, 0, 1, 2, 0, 2, 1, 0, 1, 2], -0.0353672802448, -0.42263859510421753, -8.833756446838379),
    ("near", 0.0): (
        [0, 1, 2, 0, 0, 1, 1, 0, 0, 2, 1, 2],
        0.15887673199176788,
        -0.8867537379264832,
        -10.994002342224121,
    ),
    ("near", 0.25): ([0, 1, 2, 0, 0, 1, 1, 0, 0, 2, 1, 2], 0.5128178596496582, -0.566872775554657, -7.071928024291992),
}


def at_official_start(seed, momentum, sign) -> ClusteredQueue:
    memory = memory_of(momentum=momentum, farthest=sign == "far")
    memory.queue.write(normal(12, seed=seed), cluster=torch.arange(12) % 3)
    memory.queue.pointer.fill_(4)
    memory.prototypes.copy_(normal(3, seed=seed + 20))
    memory.clusterings.fill_(1)
    return memory


@pytest.mark.parametrize(("sign", "momentum"), OFFICIAL)
def test_clusters_prototypes_and_neighbours_are_those_of_the_official_code(sign, momentum):
    clusters, first, last, total = OFFICIAL[sign, momentum]
    memory, rows = at_official_start(10, momentum, sign), normal(6, seed=3)
    memory.push(rows)
    assert memory.clusters.tolist() == clusters
    assert_close(memory.prototypes.flatten()[[0, -1]], torch.tensor([first, last]).double(), rtol=1e-5, atol=1e-6)
    places = memory.nearest(rows, 2)[1]  # there the batch has entered first
    # That code takes the place of a neighbour among the rows of its cluster for its place in the memory.
    mistaken = [[int((memory.clusters[:place] == memory.clusters[place]).sum()) for place in row] for row in places]
    found = F.normalize(rows).sum() + memory.rows[torch.tensor(mistaken)].sum()
    assert found.item() == pytest.approx(total, rel=1e-5)


def test_what_cannot_be_is_said():
    for (rows, prototypes), own, message in (
        ((4, 5), {}, "5 prototypes for 4 rows; from 1 to 4"),
        ((4, 0), {}, "0 prototypes"),
        ((4, 2), {"epsilon": 0.0}, "epsilon of the memory is 0"),
        ((4, 2), {"momentum": 1.0}, "momentum of the prototypes is 1"),
    ):
        with pytest.raises(InputError, match=message):
            ClusteredQueue(rows, 2, prototypes, **own)
    with pytest.raises(ValueError, match="2 neighbours are asked for among 0 rows, which are not clustered yet"):
        memory_of().nearest(normal(2), 2)
    with pytest.raises(ValueError, match="13 neighbours are asked for among 12 rows"):
        full().nearest(normal(2), 13)
    with pytest.raises(ValueError, match="rows is"):
        full().push(normal(2, dim=3))
    with pytest.raises(ValueError, match="finite"):
        full().push(torch.full((2, 4), torch.nan))
