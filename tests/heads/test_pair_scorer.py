"""Scores from vectors made once: the same as pair by pair, and the best of many exactly."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from likewise.encoders import CrossEncoder, load_text_encoder
from likewise.errors import InputError
from likewise.heads import PairHead, PairScorer, TopLayersPool, ranked
from likewise.losses import PairTask

CANDIDATES = ["a dog runs", "the river", "kennel", "bread and butter", "a cat sleeps", "the river"]
ONE = PairTask("regression")


@pytest.fixture(scope="module")
def tower():
    from likewise.encoders import TextEncoderConfig

    loaded = load_text_encoder(TextEncoderConfig(encoder_layers=2, max_tokens=32))
    return loaded.pooled_by(TopLayersPool(2, width=384)).served()


def scorer(tower, task=ONE, both_orders=False, **head) -> PairScorer:
    torch.manual_seed(3)
    return PairScorer(
        tower, PairHead(tower.dim, task.num_scores, **{"dims": (16,), **head}), task, both_orders=both_orders
    )


@pytest.mark.parametrize("both_orders", [False, True])
def test_embedding_once_and_scoring_is_the_forward_pass_of_the_pair(tower, both_orders):
    made = scorer(tower, both_orders=both_orders)
    pairs = [("a dog", "a cat"), ("a cat", "a dog"), ("a dog", "the river bends around the old town")]
    scores = made.score(pairs)
    assert made.passes == 3  # texts, not sides of pairs
    with torch.no_grad():
        for (a, b), score in zip(pairs, scores, strict=True):
            u, v = (tower.eval()(tower.tokenizer([text])) for text in (a, b))
            expected = (made.head(u, v) + made.head(v, u)) / 2 if both_orders else made.head(u, v)
            assert_close(score, expected[0], rtol=1e-4, atol=1e-5)
    assert (scores[0] - scores[1]).abs() > 1e-3 if not both_orders else torch.allclose(scores[0], scores[1], atol=1e-6)
    assert isinstance(made, CrossEncoder)


@pytest.mark.parametrize("block", [1, 4, 100])
@pytest.mark.parametrize("kind", ["concat", "dot"])
def test_the_best_candidates_are_those_of_all_pairs(tower, block, kind):
    made = scorer(tower, kind=kind)
    index = dataclasses.replace(made.index(CANDIDATES), block=block)
    scores = made.score([("an animal", text) for text in CANDIDATES])
    assert_close(index.scores("an animal"), scores, rtol=1e-4, atol=1e-5)
    found, places = index.topk("an animal", 4)
    expected, order = scores[:, 0].sort(descending=True, stable=True)
    assert places.tolist() == order[:4].tolist()
    assert_close(found, expected[:4], rtol=1e-4, atol=1e-5)
    assert index.topk("an animal", 100)[1].tolist() == order.tolist()


def test_equal_scores_rank_in_the_order_of_the_candidates(tower):
    _, places = scorer(tower).index(CANDIDATES).topk("a stream", 6)
    order = places.tolist()
    assert order.index(5) == order.index(1) + 1


def test_a_shortlist_scores_only_the_nearest_by_cosine(tower):
    made = scorer(tower)
    index = made.index(CANDIDATES)
    cosines = torch.nn.functional.normalize(made.embed(CANDIDATES), dim=1) @ torch.nn.functional.normalize(
        made.embed(["a pet"])[0], dim=0
    )
    least = cosines.unique().sort(descending=True).values[2]
    near = (cosines >= least - 1e-6).nonzero()[:, 0].tolist()
    assert len(near) < len(CANDIDATES)
    _, places = index.topk("a pet", 2, shortlist=3)
    scores = index.scores("a pet")[:, 0]
    assert places.tolist() == sorted(near, key=lambda place: (-float(scores[place]), place))[:2]
    assert index.topk("a pet", 2, shortlist=50)[1].tolist() == index.topk("a pet", 2)[1].tolist()


def test_of_several_scores_the_named_one_ranks_by_its_probability():
    task = PairTask("classes", ("no", "yes"))
    scores = torch.tensor([[5.0, 3.0], [0.0, 1.0], [0.0, 2.0]])
    values, places = ranked(task, scores, 2, "yes")
    assert places.tolist() == [2, 1]
    assert_close(values, scores.log_softmax(1)[[2, 1], 1])
    with pytest.raises(InputError, match="say with --by which"):
        ranked(task, scores, 2)
    with pytest.raises(InputError, match="unknown score 'yess': did you mean 'yes'"):
        ranked(task, scores, 2, "yess")


def test_the_fingerprint_is_that_of_encoder_head_and_order(tower):
    one = scorer(tower)
    assert one.fingerprint == scorer(tower).fingerprint
    assert (
        len({one.fingerprint, scorer(tower, both_orders=True).fingerprint, scorer(tower, dims=(8,)).fingerprint}) == 3
    )


def test_what_does_not_fit_is_refused(tower):
    with pytest.raises(ValueError, match="Give the head of this model"):
        PairScorer(tower, PairHead(3), ONE)
    with pytest.raises(InputError, match="no candidates are given"):
        scorer(tower).index([])
    index = scorer(tower).index(CANDIDATES)
    with pytest.raises(InputError, match="k is 0"):
        index.topk("a", 0)
    with pytest.raises(InputError, match="shortlist holds 2 candidates and 3"):
        index.topk("a", 3, shortlist=2)
    assert scorer(tower).score([]).shape == (0, 1)
