"""The mask by similarity, alone and inside InfoNCE, against loops over plain numbers."""

import math
import pickle

import pytest
import torch
from torch.nn.functional import normalize

from likewise import pairwise
from likewise.errors import InputError
from likewise.losses import SimilarityMask, info_nce

SIZE, NEGATIVES, TEMPERATURE = 5, 4, 0.3


def unit(*shape: int, seed: int) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return normalize(values, dim=-1)


def operands():
    query, key, negatives = unit(SIZE, 3, seed=1), unit(SIZE, 3, seed=2), unit(NEGATIVES, 3, seed=3)
    return query, key, negatives, unit(SIZE, 2, seed=4), unit(SIZE + NEGATIVES, 2, seed=5)


def odd(row, column):
    return (row.index == column.index) | (column.index % 2 == 1)


def loss(threshold, operands, **options):
    query, key, negatives, rows, columns = operands
    mask = SimilarityMask(threshold, also=options.pop("also", None))
    return info_nce(query, key, negatives=negatives, temperature=TEMPERATURE, mask_mod=mask, rows=(rows,),
                    columns=(columns,), **options)  # fmt: skip


@pytest.mark.parametrize("also", [None, odd])
@pytest.mark.parametrize("threshold", [-0.3, 0.2, 0.7])
@pytest.mark.parametrize("tile", [None, 2, (3, 1)])
def test_rows_equal_a_plain_loop(threshold, tile, also):
    query, key, negatives, judging_rows, judging_columns = operands()
    expected = []
    for i in range(SIZE):
        total = 0.0
        for j, candidate in enumerate([*key, *negatives]):
            alike = sum(a * b for a, b in zip(judging_rows[i].tolist(), judging_columns[j].tolist(), strict=True))
            if i == j or (alike <= threshold and (also is None or j % 2)):
                total += math.exp(float(query[i] @ candidate) / TEMPERATURE)
        expected.append(math.log(total) - float(query[i] @ key[i]) / TEMPERATURE)
    rows = loss(threshold, operands(), tile=tile, also=also)
    assert rows.counted.all()
    assert rows.values.tolist() == pytest.approx(expected, rel=1e-9)


def test_only_the_own_positive_is_left_at_the_lowest_threshold_and_nothing_is_masked_at_the_highest():
    assert loss(-1.0, operands()).values.tolist() == pytest.approx([0.0] * SIZE, abs=1e-12)
    query, key, negatives, *_ = operands()
    plain = info_nce(
        query, key, negatives=negatives, temperature=TEMPERATURE, mask_mod=lambda row, column: row.index >= 0
    )
    assert torch.equal(loss(1.0, operands()).values, plain.values)
    same = unit(1, 2, seed=6).float().expand(SIZE, 2)
    everything = SimilarityMask(1.0)(pairwise.Side(torch.arange(SIZE)[:, None], (same[:, None],)),
                                     pairwise.Side(torch.arange(SIZE)[None], (same[None],)))  # fmt: skip
    assert everything.all()  # although the product of a float32 vector with itself may be above 1


def test_a_masked_column_gets_no_gradient_from_the_row_that_masks_it():
    query, key, negatives, rows, columns = operands()
    negatives.requires_grad_()
    columns[SIZE] = rows[0]  # the first negative is the first row's double
    single = info_nce(query[:1], key[:1], negatives=negatives, temperature=TEMPERATURE,
                      mask_mod=SimilarityMask(0.999), rows=(rows[:1],),
                      columns=(torch.cat([columns[:1], columns[SIZE:]]),))  # fmt: skip
    single.values.sum().backward()
    assert negatives.grad[0].abs().sum() == 0
    assert (negatives.grad[1:].abs().sum(1) > 0).all()


def test_it_can_be_sent_to_another_process():
    mask = SimilarityMask(0.4, vectors=1, also=odd)
    assert pickle.loads(pickle.dumps(mask)) == mask


def test_judging_vectors_are_not_rounded_where_the_others_are():
    near = torch.tensor([[1.0, 0.0], [0.999, math.sqrt(1 - 0.999**2)]])
    with torch.autocast("cpu", torch.bfloat16):
        rows = info_nce(near, near, temperature=0.5, mask_mod=SimilarityMask(0.9995), rows=(near,), columns=(near,))
    assert (rows.values > 0.6).all()  # .999 in bfloat16 would be 1, and masked


@pytest.mark.parametrize("threshold", [-1.5, math.nan])
def test_a_threshold_that_is_no_cosine_is_refused(threshold):
    with pytest.raises(InputError, match="the threshold of the similarity mask is"):
        SimilarityMask(threshold)
