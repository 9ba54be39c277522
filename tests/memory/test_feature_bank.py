"""A vector for each row: an average on the sphere, found by the number of the row."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from likewise.errors import InputError
from likewise.memory import FeatureBank

ROWS = torch.tensor([3, 0])


def vectors(seed, size=2, dim=4):
    return torch.randn(size, dim, generator=torch.Generator().manual_seed(seed))


def test_a_row_follows_on_the_sphere_and_others_stay():
    bank = FeatureBank(5, 4, momentum=0.75, seed=1)
    before = bank.vectors.clone()
    bank.update(ROWS, 7 * vectors(0))
    for row, new in zip(ROWS.tolist(), vectors(0), strict=True):
        mixed = 0.75 * before[row] + 0.25 * new / new.norm()
        assert_close(bank.vectors[row], mixed / mixed.norm())
    assert torch.equal(bank.vectors[[1, 2, 4]], before[[1, 2, 4]])


def test_rows_are_unit_vectors_from_the_start_and_after_any_number_of_updates():
    bank = FeatureBank(5, 4)
    for seed in range(20):
        assert_close(bank.vectors.norm(dim=1), torch.ones(5))
        bank.update(torch.tensor([seed % 5]), vectors(seed, size=1))


def test_without_momentum_a_row_is_its_last_vector_and_opposites_do_not_cancel_out():
    bank = FeatureBank(5, 4, momentum=0.0)
    bank.update(ROWS, vectors(0))
    assert_close(bank.read(ROWS), F.normalize(vectors(0), dim=1))
    half = FeatureBank(5, 4, momentum=0.5)
    old = half.read(ROWS)
    half.update(ROWS, -old)
    assert_close(half.read(ROWS), -old)


def test_the_first_vectors_are_those_of_the_seed():
    assert torch.equal(FeatureBank(5, 4, seed=3).vectors, FeatureBank(5, 4, seed=3).vectors)
    assert not torch.equal(FeatureBank(5, 4, seed=3).vectors, FeatureBank(5, 4, seed=4).vectors)


def test_reading_gives_a_copy_and_nothing_of_it_has_a_gradient():
    bank, new = FeatureBank(5, 4), vectors(0).requires_grad_()
    bank.read(ROWS).add_(1)
    bank.update(ROWS, new)
    assert_close(bank.vectors.norm(dim=1), torch.ones(5))
    assert not bank.vectors.requires_grad


def test_all_of_it_is_in_the_state_which_fits_no_other_table():
    bank, other = FeatureBank(5, 4, seed=0), FeatureBank(5, 4, seed=1)
    bank.update(ROWS, vectors(0))
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.vectors, bank.vectors)
    with pytest.raises(RuntimeError, match="size mismatch"):
        FeatureBank(6, 4).load_state_dict(bank.state_dict())


@pytest.mark.parametrize(
    ("rows", "new", "says"),
    [
        ([0, 5], vectors(0), "rows go from 0 to 5; the table has 5"),
        ([-1, 2], vectors(0), "rows go from -1 to 2"),
        ([2, 2], vectors(0), "FeatureBank: 1 rows are in the batch twice"),
        ([2, 3], vectors(0, size=3), r"vectors is \[3, 4\] for 2 rows; it is \[2, 4\]"),
        ([2, 3], vectors(0, dim=3), r"vectors is \[2, 3\]"),
    ],
)
def test_wrong_rows_and_vectors_are_refused_and_nothing_is_written(rows, new, says):
    bank = FeatureBank(5, 4)
    before = bank.vectors.clone()
    with pytest.raises(ValueError, match=says):
        bank.update(torch.tensor(rows), new)
    assert torch.equal(bank.vectors, before)


def test_what_a_bank_cannot_be_is_said():
    with pytest.raises(InputError, match=r"momentum of the bank is 1\.0"):
        FeatureBank(5, 4, momentum=1.0)
    with pytest.raises(ValueError, match="num_rows is -1"):
        FeatureBank(-1, 4)
    with pytest.raises(ValueError, match=r"rows is torch.float32 \[1\]"):
        FeatureBank(5, 4).read(torch.ones(1))
