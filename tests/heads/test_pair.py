"""The head of pairs: its features by hand, and its split first layer against the whole one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from likewise.heads import PairHead


def test_features_of_two_vectors_and_of_them_the_other_way_round():
    u, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    assert PairHead.features(u, v).tolist() == [[1, 2, 3, -1, 3, -2, 2, 3]]
    assert PairHead.features(v, u).tolist() == [[3, -1, 1, 2, 3, -2, 2, 3]]


def test_a_product_without_a_layer_is_the_score():
    head = PairHead(2, kind="dot", dims=())
    assert head.is_product
    assert head(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])).tolist() == [[1.0]]
    assert not list(head.parameters())


def test_layers_follow_the_features_with_relu_between_them():
    torch.manual_seed(0)
    head = PairHead(3, 2, dims=(5, 4)).double()
    u, v = torch.randn(2, 7, 3, dtype=torch.float64)
    first, second, third = head.layers
    expected = third(torch.relu(second(torch.relu(first(torch.cat([u, v, u * v, (u - v).abs()], 1))))))
    assert torch.equal(head(u, v), expected)
    dot = PairHead(3, 2, kind="dot", dims=(5,)).double()
    assert_close(dot(u, v), dot.layers[1](torch.relu(dot.layers[0]((u * v).sum(1, keepdim=True)))))


@given(
    size=st.integers(1, 6),
    dim=st.integers(1, 4),
    scores=st.integers(1, 3),
    dims=st.lists(st.integers(1, 5), max_size=2),
    kind=st.sampled_from(["concat", "dot"]),
    both=st.booleans(),
)
def test_one_query_among_prepared_candidates_scores_as_whole_pairs_do(size, dim, scores, dims, kind, both):
    torch.manual_seed(size)
    if kind == "dot" and not dims:
        scores = 1
    head = PairHead(dim, scores, kind=kind, dims=dims).double()
    query, candidates = torch.randn(dim, dtype=torch.float64), torch.randn(size, dim, dtype=torch.float64)
    whole = head(query.expand_as(candidates), candidates)
    if both:
        whole = (whole + head(candidates, query.expand_as(candidates))) / 2
    prepared = head.prepared(candidates, both_orders=both)
    assert_close(head.against(query, prepared), whole, rtol=1e-9, atol=1e-12)
    some = torch.tensor([size - 1, 0])
    assert_close(head.against(query, prepared.select(some)), whole[some], rtol=1e-9, atol=1e-12)


def test_the_split_layer_equals_the_whole_one_in_single_precision():
    torch.manual_seed(1)
    head = PairHead(96, 3, dims=(32,))
    query, candidates = torch.randn(96), torch.randn(40, 96)
    whole = head(query.expand_as(candidates), candidates)
    assert_close(head.against(query, head.prepared(candidates)), whole, rtol=1e-5, atol=1e-5)


def test_a_head_is_made_again_from_its_settings():
    head = PairHead(4, 2, dims=(3,))
    again = PairHead.of(head.settings)
    again.load_state_dict(head.state_dict())
    u, v = torch.randn(2, 5, 4)
    assert torch.equal(again(u, v), head(u, v))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"dim": 2, "kind": "sum"}, "kind is 'sum'; accepted are concat, dot"),
        ({"dim": 0}, "each is 1 or more"),
        ({"dim": 2, "dims": (3, 0)}, "each is 1 or more"),
        ({"dim": 2, "num_scores": 3, "kind": "dot", "dims": ()}, "a product is one score, but 3"),
    ],
)
def test_heads_that_cannot_be_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        PairHead(**arguments)
