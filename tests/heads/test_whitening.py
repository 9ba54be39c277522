"""Whitening of batches in shuffled groups, and of a corpus: their formulas, gradients, draws, limits and refusals."""

import copy
import logging
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from likewise.errors import InputError
from likewise.heads import ShuffledGroupWhitening, Whitening
from likewise.heads.whitening import whitening_matrix

X = [[1.0, 2.0, 0.0, 1.0], [3.0, 0.0, 1.0, 1.0], [2.0, 2.0, 4.0, 0.0], [0.0, 1.0, 1.0, 2.0]]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact(dim, groups, **settings):
    return ShuffledGroupWhitening(dim, groups, eps=0.0, seed=0, **settings)


def covariance(rows):
    centred = rows - rows.mean(dim=0)
    return centred.mT @ centred / len(rows)


@pytest.mark.parametrize(
    ("permutation", "first"),
    [
        ([0, 1, 2, 3], [-0.30099765, 0.85760560, -1.21267813, -0.72760688]),
        ([0, 2, 1, 3], [-0.28363657, 0.97180192, -0.97156602, 0.23579869]),
    ],
)
def test_four_rows_worked_out_by_hand(permutation, first):
    rows = torch.tensor(X, dtype=torch.float64)
    white = exact(4, 2).whiten(rows, torch.tensor(permutation))
    assert_close(white[0], torch.tensor(first, dtype=torch.float64), rtol=0, atol=1e-8)


def test_the_matrices_worked_out_by_hand():
    covariances = torch.tensor([[[1.25, -0.375], [-0.375, 0.6875]], [[2.25, -0.75], [-0.75, 0.5]]])
    expected = [
        [[0.95008884, 0.23206236], [0.23206236, 1.29818138]],
        [[0.80845208, 0.48507125], [0.48507125, 1.940285]],
    ]
    assert_close(whitening_matrix(covariances, eps=0.0), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_a_group_a_channel_standardises_and_the_permutation_does_not_matter():
    rows = torch.tensor(X, dtype=torch.float64)
    found = exact(4, 4)
    first = torch.tensor([-0.44721360, 0.90453403, -1.0, 0.0], dtype=torch.float64)
    for permutation in ([0, 1, 2, 3], [3, 1, 0, 2]):
        white = found.whiten(rows, torch.tensor(permutation))
        assert_close(white[0], first, rtol=0, atol=1e-8)
        assert_close(white, (rows - rows.mean(0)) / rows.std(0, correction=0), rtol=1e-9, atol=1e-12)


def test_one_group_is_the_same_under_every_permutation():
    rows = drawn(40, 6)
    found = exact(6, 1)
    assert_close(found(rows), found(rows), rtol=1e-6, atol=1e-6)
    assert int(found.drawn) == 2


@pytest.mark.parametrize("engine", ["zca", "cholesky"])
@settings(deadline=None, max_examples=50)  # the first root of a process loads LAPACK
@given(groups=st.sampled_from([1, 2, 3, 4, 6, 12]), rows=st.integers(13, 40), seed=st.integers(0, 5))
def test_in_each_group_the_mean_is_nought_and_the_covariance_the_identity(engine, groups, rows, seed):
    found = ShuffledGroupWhitening(12, groups, eps=0.0, engine=engine, seed=seed)
    place = found.draw()
    rows_ = drawn(rows, 12, seed=seed) @ drawn(12, 12, seed=9) + 3
    white = found.whiten(rows_, place)
    assert_close(white.mean(dim=0), torch.zeros(12, dtype=torch.float64), rtol=0, atol=1e-6)
    whole = covariance(white)[place][:, place]
    blocks = torch.block_diag(*[torch.ones(12 // groups, 12 // groups)] * groups).bool()
    assert_close(whole[blocks], torch.eye(12, dtype=torch.float64)[blocks], rtol=0, atol=1e-4)
    if groups > 1:
        assert whole[~blocks].abs().max() > 0.01  # between groups it is not


def test_rows_equal_a_plain_loop():
    rows, place, channels = drawn(9, 6), [4, 0, 5, 2, 1, 3], 2
    expected = [[0.0] * 6 for _ in rows]
    for start in range(0, 6, channels):
        a, b = place[start : start + channels]
        pairs = [(row[a].item(), row[b].item()) for row in rows]
        middle = [sum(pair[k] for pair in pairs) / 9 for k in (0, 1)]
        pairs = [(x - middle[0], y - middle[1]) for x, y in pairs]
        p, q, r = (
            sum(f(x, y) for x, y in pairs) / 9 for f in (lambda x, _: x * x, lambda x, y: x * y, lambda _, y: y * y)
        )
        # The root of a 2 x 2 matrix C is (C + s I) / t with s = sqrt(det C), t = sqrt(trace C + 2 s); inverted by hand.
        s = math.sqrt(p * r - q * q)
        t = math.sqrt(p + r + 2 * s)
        for number, (x, y) in enumerate(pairs):
            expected[number][a] = ((r + s) * x - q * y) / (s * t)
            expected[number][b] = ((p + s) * y - q * x) / (s * t)
    found = exact(6, 3).whiten(rows, torch.tensor(place))
    assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


OFFICIAL_ROWS = [
    [1.0, 1.75, 1.25, -0.25, -0.5, -1.5], [0.0, -1.75, -0.25, -0.5, -2.25, 1.25], [-1.0, 0.0, -0.75, -2.25, -1.5, -1.5],
    [1.75, 0.0, 1.0, -2.25, 1.75, -1.25], [2.0, 1.25, 1.0, 1.0, -1.0, -0.25], [1.5, 0.25, 0.0, -2.0, 1.75, 0.0],
    [-1.0, -0.25, 2.0, 2.0, 0.0, 1.5], [-2.0, 2.0, -0.25, -0.75, 2.25, -0.25], [-0.5, -0.5, -1.5, 2.25, 1.75, -0.75],
    [0.5, 0.25, 0.75, 2.25, 0.5, -1.0], [1.0, 2.25, 0.0, -2.25, 2.0, 1.25], [-0.25, 1.5, 1.75, 0.0, 1.5, 1.25],
]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "permutation", "number", "expected"),
    [
        (lambda x: x, [4, 0, 3, 2, 1, 5], 1, [-0.227739, -2.006943, -0.656661, -0.113132, -1.88221, 1.196848]),
        (lambda x: x.roll(1, 0) ** 2 / 4, [4, 2, 3, 5, 0, 1], 11,
         [-0.415323, 1.986897, -0.727808, 0.958844, 0.756421, 0.354357]),
    ],
)  # fmt: skip
def test_rows_are_those_of_the_official_layer(rows, permutation, number, expected):
    # One chunk each of SupstarZh/WhitenedCSE, whitenedcse/shuffled_group_whitening.py at commit 65fe70a, run with three
    # groups in training mode; torch.symeig, which PyTorch no longer has, replaced by torch.linalg.eigh.
    white = exact(6, 3).whiten(rows(torch.tensor(OFFICIAL_ROWS)), torch.tensor(permutation))
    assert_close(white[number], torch.tensor(expected), rtol=1e-5, atol=2e-6)  # given to six digits


def test_scale_and_place_of_the_rows_do_not_matter():
    rows, place = drawn(30, 8), torch.tensor([3, 1, 7, 0, 2, 5, 4, 6])
    for groups in (2, 4):
        found = exact(8, groups)
        assert_close(found.whiten(rows * 10 + 7, place), found.whiten(rows, place), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("groups", "differs"), [(1, False), (2, True), (4, True), (8, False)])
def test_two_permutations_give_two_pictures_of_equal_rows_where_groups_are_groups(groups, differs):
    found = exact(8, groups)
    one, other = found(drawn(30, 8)), found(drawn(30, 8))
    assert ((one - other).abs().max() > 0.1) == differs


def test_permutations_are_drawn_anew_from_the_seed_alone():
    torch.manual_seed(4)
    one, twin = (ShuffledGroupWhitening(50, 5, seed=3) for _ in range(2))
    draws = [one.draw().tolist() for _ in range(4)]
    assert all(sorted(draw) == list(range(50)) for draw in draws)
    assert len(set(map(tuple, draws))) == 4
    torch.rand(3)
    assert [twin.draw().tolist() for _ in range(4)] == draws
    assert ShuffledGroupWhitening(50, 5, seed=4).draw().tolist() != draws[0]
    still = ShuffledGroupWhitening(50, 5, shuffle=False)
    assert still.draw().tolist() == still.draw().tolist() == list(range(50))


def test_without_a_seed_it_is_torchs():
    seeds = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        seeds.append(int(ShuffledGroupWhitening(4, 2).seed))
    assert seeds[0] == seeds[1] != seeds[2]


def test_the_draws_go_on_from_the_state_and_in_a_copy():
    found = ShuffledGroupWhitening(12, 3, seed=8)
    for _ in range(3):
        found.draw()
    resumed, copied = ShuffledGroupWhitening(12, 3), copy.deepcopy(found)
    resumed.load_state_dict(found.state_dict())
    expected = [found.draw().tolist() for _ in range(3)]
    assert [resumed.draw().tolist() for _ in range(3)] == expected
    assert [copied.draw().tolist() for _ in range(3)] == expected


def test_with_a_constant_matrix_the_gradient_is_the_weights_turned_back_and_centred():
    rows, weights = drawn(7, 4).requires_grad_(), drawn(7, 4, seed=1)
    place = torch.tensor([2, 0, 3, 1])
    (exact(4, 2).whiten(rows, place) * weights).sum().backward()
    expected = torch.zeros(7, 4, dtype=torch.float64)
    for group in ([2, 0], [3, 1]):
        matrix = whitening_matrix(covariance(rows.detach()[:, group]), eps=0.0)
        turned = weights[:, group] @ matrix.T
        expected[:, group] = turned - turned.mean(dim=0)
    assert_close(rows.grad, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("engine", ["zca", "cholesky"])
@pytest.mark.parametrize("eps", [0.0, 0.1])
def test_the_gradient_through_the_matrix_is_that_of_finite_differences(engine, eps):
    found = ShuffledGroupWhitening(6, 2, eps=eps, engine=engine, detach=False, seed=0)
    place = found.draw()
    assert torch.autograd.gradcheck(lambda rows: found.whiten(rows, place), (drawn(9, 6).requires_grad_(),))


def test_the_gradient_of_the_root_exists_where_eigenvalues_are_equal():
    def symmetric(matrix):
        return whitening_matrix((matrix + matrix.mT) / 2, eps=0.0)

    assert torch.autograd.gradcheck(symmetric, (2 * torch.eye(3, dtype=torch.float64).requires_grad_(),))


def test_the_gradient_through_the_matrix_is_another_one():
    gradients = []
    for detach in (True, False):
        rows = drawn(20, 4).requires_grad_()
        (ShuffledGroupWhitening(4, 1, detach=detach)(rows) ** 3).sum().backward()
        gradients.append(rows.grad)
    assert (gradients[0] - gradients[1]).abs().max() > 0.1
    assert (
        abs((gradients[1] * drawn(20, 4)).sum()) < 1e-3
    )  # along the rows themselves nothing changes: scale is no matter


def test_eps_is_a_share_of_the_mean_variance():
    rows = torch.tensor([[1.0, 2.0], [-1.0, -2.0]], dtype=torch.float64).repeat_interleave(3, 0)  # variances 1 and 4
    white = ShuffledGroupWhitening(2, 2, eps=0.4)(rows)
    assert_close(white[0], torch.tensor([1 / math.sqrt(2), 2 / math.sqrt(5)], dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_constant_channel_stays_at_nought(groups):
    rows = drawn(30, 4).float()
    rows[:, 2] = 5.0
    white = ShuffledGroupWhitening(4, groups, seed=0)(rows)
    assert white[:, 2].abs().max() < 1e-3
    assert white[:, 0].std() > 0.9


def test_equal_rows_become_nought_with_a_finite_gradient():
    rows = torch.full((5, 4), 3.0, requires_grad=True)
    for engine in ("zca", "cholesky"):
        white = ShuffledGroupWhitening(4, 2, engine=engine, detach=False)(rows)
        assert not white.any()
        (gradient,) = torch.autograd.grad((white * drawn(5, 4).float()).sum(), rows)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened_first(dtype):
    rows = drawn(40, 6).to(dtype)
    found = exact(6, 2)
    place = found.draw()
    white = found.whiten(rows, place)
    assert white.dtype == torch.float32
    assert torch.equal(white, found.whiten(rows.float(), place))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(white, found.whiten(rows, place))


@pytest.mark.parametrize(
    ("rows", "settings", "says"),
    [
        (3, {"groups": 2}, r"a batch of 3 rows is too small for groups of 4 channels.*more groups than 2"),
        (4, {"groups": 2}, r"a batch of 4 rows is too small"),
        (20, {"groups": 3}, r"groups is 3, but the 8 channels cannot .* The nearest are 1, 2, 4\.$"),
        (20, {"groups": 0}, r"groups is 0"),
        (20, {"groups": 16}, r"groups is 16"),
        (20, {"groups": 4, "eps": -0.1}, r"eps of the whitening is -0\.1"),
    ],
)
def test_what_cannot_be_whitened_is_refused(rows, settings, says):
    with pytest.raises(InputError, match=says):
        ShuffledGroupWhitening(8, **{"eps": 0.0, **settings})(drawn(rows, 8))


@pytest.mark.parametrize("engine", ["zca", "cholesky"])
def test_a_constant_channel_without_eps_is_refused(engine):
    rows = drawn(20, 4)
    rows[:, 1] = 2.0
    with pytest.raises(InputError, match="a channel is constant, or a sum of others"):
        exact(4, 2, engine=engine)(rows)


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"features is \[5, 3\]; it is \[rows, 4\]"):
        exact(4, 2)(drawn(5, 3))


def test_a_first_batch_that_is_too_small_is_warned_of_once_and_a_later_one_is_not(caplog):
    caplog.set_level(logging.WARNING)
    found = ShuffledGroupWhitening(8, 2)
    for rows in (20, 3):
        assert found(drawn(rows, 8)).isfinite().all()
    assert caplog.messages == []
    found = ShuffledGroupWhitening(8, 2)
    for _ in range(2):
        found(drawn(3, 8))
    assert len(caplog.messages) == 1
    assert "a batch of 3 rows is too small for groups of 4 channels" in caplog.messages[0]


@pytest.mark.parametrize("engine", ["zca", "cholesky"])
def test_a_fitted_corpus_is_white_and_others_are_mapped_alike(engine):
    vectors = drawn(20_000, 5) @ drawn(5, 5, seed=1) + 2
    found = Whitening(5, engine=engine, eps=0.0).fit(vectors)
    white = found.transform(vectors)
    assert_close(white.mean(dim=0), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-9)
    assert_close(covariance(white), torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-9)
    assert_close(found(vectors[:3]), white[:3])
    assert int(found.rows) == 20_000


def test_a_corpus_is_whitened_as_one_batch_in_one_group_is():
    vectors = drawn(50, 6)
    assert_close(
        Whitening(6).fit(vectors).transform(vectors), ShuffledGroupWhitening(6, 1)(vectors), rtol=1e-9, atol=1e-9
    )


def test_it_has_the_cosines_of_whitening_along_principal_axes():
    from sklearn.decomposition import PCA

    vectors = drawn(60, 5) @ drawn(5, 5, seed=1)
    ours = torch.nn.functional.normalize(Whitening(5, eps=0.0).fit(vectors).transform(vectors), dim=1)
    theirs = torch.from_numpy(PCA(whiten=True).fit_transform(vectors.numpy()))
    theirs = torch.nn.functional.normalize(theirs, dim=1)
    assert_close(ours @ ours.T, theirs @ theirs.T, rtol=1e-9, atol=1e-9)


def test_the_linear_layer_is_the_map():
    vectors = drawn(60, 5).float() + 4
    found = Whitening(5).fit(vectors)
    assert_close(found.as_linear()(vectors), found.transform(vectors), rtol=1e-5, atol=1e-5)


def test_what_was_fitted_is_in_the_state():
    vectors = drawn(60, 5).float()
    found, other = Whitening(5).fit(vectors), Whitening(5)
    other.load_state_dict(found.state_dict())
    assert torch.equal(other.transform(vectors), found.transform(vectors))


def test_fewer_vectors_than_channels_will_do_with_an_eps():
    vectors = drawn(4, 6)
    assert Whitening(6).fit(vectors).transform(vectors).isfinite().all()
    with pytest.raises(InputError, match="a covariance is singular with eps 0"):
        Whitening(6, eps=0.0).fit(vectors)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (drawn(1, 4), "1 vector given; a covariance needs at least 2"),
        (drawn(5, 3), r"vectors is torch.float64 \[5, 3\]; it is floating \[vectors, 4\]"),
        (torch.ones(5, 4, dtype=torch.int64), "vectors is torch.int64"),
        (torch.tensor([[0.0] * 4] * 3 + [[0.0, math.nan, 0.0, 0.0]]), "vector 3 holds a value that is not finite"),
    ],
)
def test_vectors_that_cannot_be_fitted_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        Whitening(4).fit(given)


def test_before_it_is_fitted_nothing_is_mapped():
    for use in (lambda found: found.transform(drawn(2, 4)), lambda found: found.as_linear()):
        with pytest.raises(ValueError, match="has no statistics yet; fit it"):
            use(Whitening(4))
