import math

import pytest
import torch

from likewise.losses import info_nce, other_texts


def test_a_hard_negative_that_is_a_rows_positive_is_left_out_for_that_row_alone():
    random = torch.Generator().manual_seed(0)
    query, key, negatives = (torch.randn(n, 4, generator=random, dtype=torch.float64) for n in (3, 3, 2))
    positive_id, negative_id = torch.tensor([5, 6, 7]), torch.tensor([6, 9])
    options = other_texts(torch.tensor([10, 11, 12]), positive_id, negative_id)
    found = info_nce(query, key, negatives=negatives, temperature=0.5, **options).values
    for i in range(3):
        candidates = [*key, *(n for n, known in zip(negatives, negative_id, strict=True) if known != positive_id[i])]
        scores = [float(query[i] @ candidate) / 0.5 for candidate in candidates]
        assert found[i].item() == pytest.approx(math.log(sum(map(math.exp, scores))) - scores[i], rel=1e-9)


def test_a_second_copy_of_a_positive_in_another_row_is_left_out_and_the_own_one_stays():
    query = torch.eye(2, dtype=torch.float64)
    options = other_texts(torch.tensor([0, 1]), torch.tensor([3, 3]), torch.tensor([], dtype=torch.int64))
    found = info_nce(query, query, negatives=query[:0], temperature=1.0, **options).values
    assert found.tolist() == [0.0, 0.0]  # each row has its own positive left, and nothing to be told from
