"""Every refusal says what is wrong, what is accepted and what to do."""

import pytest
import torch

from likewise.pairwise import expectation, logsumexp, softmax_terms, sum

GOOD = torch.eye(3)


def spoiled(row: int, value: float, num_rows: int = 3) -> torch.Tensor:
    x = torch.ones(num_rows, 3)
    x[row, 1] = value
    return x


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("tile", [None, 1])
@pytest.mark.parametrize("options", [{}, {"score_mod": lambda score, row, column: score}])
def test_a_value_that_is_not_finite_is_found(value, tile, options):
    with pytest.raises(ValueError, match=r"query has an element that is not finite in row 1 \(1 of 3 rows have one\)"):
        logsumexp(spoiled(1, value), GOOD, tile=tile, **options)
    with pytest.raises(ValueError, match=r"key has an element that is not finite in row 2 .* Look for"):
        logsumexp(GOOD, spoiled(2, value), tile=tile, **options)
    with pytest.raises(ValueError, match="scale has a value that is not finite in row 0"):
        logsumexp(GOOD, GOOD, scale=torch.tensor([value, 1.0, 1.0]), tile=tile, **options)
    with pytest.raises(ValueError, match="not finite"):
        logsumexp(GOOD, GOOD, scale=value, tile=tile, **options)
    # It is looked for also where the mask would hide it.
    with pytest.raises(ValueError, match="key has an element"):
        logsumexp(GOOD, spoiled(2, value), tile=tile, mask_mod=lambda row, column: column.index != 2, **options)


def test_scores_that_overflow():
    with pytest.raises(ValueError, match=r"overflows torch.float32; .* Normalise"):
        logsumexp(GOOD * 1e20, GOOD * 1e20, tile=2)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_score_mod_that_goes_wrong_is_found(value):
    def mod(score, row, column):
        return torch.where((row.index == 2) & (column.index == 0), value, score)

    for call in (
        lambda: logsumexp(GOOD, GOOD, score_mod=mod, tile=1),
        lambda: sum(GOOD, GOOD, score_mod=mod, value=lambda score: score),
        lambda: expectation(GOOD, GOOD, score_mod=mod, value=lambda score: score),
    ):
        with pytest.raises(ValueError, match="gives a score that is not finite for row 2 of query"):
            call()
    with pytest.raises(ValueError, match="for row 0 of key"):
        logsumexp(GOOD, GOOD, score_mod=mod, over="queries")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: logsumexp(GOOD, torch.ones(3, 2)),
            ValueError,
            r"query is \[3, 3\] but key is \[3, 2\]; the last axes",
        ),
        (lambda: logsumexp(GOOD.long(), GOOD), TypeError, r"query is torch.int64 \[3, 3\]; it is a floating tensor"),
        (lambda: logsumexp(GOOD, GOOD[0]), TypeError, r"key is torch.float32 \[3\]; .* Flatten"),
        (lambda: logsumexp((GOOD, GOOD), (GOOD,)), ValueError, "query has 2 factors but key has 1"),
        (lambda: logsumexp((GOOD, GOOD), (GOOD, GOOD)), ValueError, "there is no score_mod"),
        (
            lambda: logsumexp((GOOD, GOOD[:2]), (GOOD, GOOD), score_mod=lambda score, row, column: score[0]),
            ValueError,
            "all factors have the same rows",
        ),
        (lambda: logsumexp(GOOD, GOOD, scale=torch.ones(2)), ValueError, r"scale is \[2\] for 3 rows of query"),
        (lambda: logsumexp(GOOD, GOOD, rows=(torch.ones(2),)), ValueError, r"rows\[0\] is \[2\] for 3 rows"),
        (
            lambda: logsumexp(GOOD, GOOD, columns=(torch.tensor(1.0),)),
            ValueError,
            r"columns\[0\] is \[\] for 3 columns",
        ),
        (lambda: logsumexp(GOOD, GOOD, over="rows"), ValueError, "over is 'rows'; accepted are 'keys', 'queries'"),
        (lambda: sum(GOOD, GOOD, value=torch.exp, over="rows"), ValueError, "sum: over is 'rows'"),
        (lambda: expectation(GOOD, GOOD, value=torch.exp, over="x"), ValueError, "expectation: over is 'x'"),
        (lambda: logsumexp(GOOD, GOOD, tile=0), ValueError, "tile is 0; rows and columns are >= 1"),
        (
            lambda: logsumexp(GOOD, GOOD, mask_mod=lambda row, column: (row.index == column.index).float()),
            TypeError,
            "mask_mod returned torch.float32; it returns bool",
        ),
        (
            lambda: logsumexp(GOOD, GOOD, score_mod=lambda score, row, column: score.sum(1)),
            ValueError,
            r"score_mod returned \[1\] for a tile of \[1, 1\]; it is elementwise",
        ),
        (lambda: softmax_terms(GOOD, GOOD, picked=torch.arange(2)), ValueError, r"picked is torch.int64 \[2\] for 3"),
        (lambda: softmax_terms(GOOD, GOOD, picked=torch.arange(3.0)), ValueError, "it is int64"),
        (lambda: softmax_terms(GOOD, GOOD, picked=torch.arange(1, 4)), ValueError, "columns from 1 to 3; columns go"),
    ],
)
def test_arguments_that_do_not_go_together(call, error, message):
    with pytest.raises(error, match=message):
        call()
