"""The mean over rows that count."""

import pytest
import torch

from likewise.losses import RowLosses


def test_mean_is_over_rows_that_count():
    values = torch.tensor([1.0, 5.0, torch.nan, 3.0], requires_grad=True)
    mean = RowLosses(values, torch.tensor([True, False, False, True])).mean()
    assert mean == 2.0
    mean.backward()
    assert values.grad.tolist() == [0.5, 0.0, 0.0, 0.5]


def test_mean_of_all_rows():
    values = torch.tensor([1.0, 5.0], requires_grad=True)
    mean = RowLosses(values, torch.tensor([True, True])).mean()
    mean.backward()
    assert mean == 3.0
    assert values.grad.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("num_rows", [0, 3])
def test_a_batch_in_which_no_row_counts_is_an_error(num_rows):
    rows = RowLosses(torch.zeros(num_rows), torch.zeros(num_rows, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"mean: none of the \d rows counts; .* Use larger batches"):
        rows.mean()
