"""Recommendation against a plain loop over all items."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.rule_embedder import random_embedder, random_vector
from likewise.data import open_interactions
from likewise.errors import InputError
from likewise.evaluation import ranking

logs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8), st.integers(0, 3)), min_size=4, max_size=40)


def ranks_in_a_loop(rows, exclude_seen):
    """Best and worst rank of the last item of each user with at least two: items at equal cosine may come either way,

    since a mean of two vectors is equally near to both and rounding decides."""
    users, items = {}, []
    for row in rows:
        users.setdefault(row["user"], []).append((row["time"], row["item"]))
        if row["item"] not in items:
            items.append(row["item"])
    unit = {item: np.array(random_vector(item)) / np.linalg.norm(random_vector(item)) for item in items}
    ranks = []
    for several in users.values():
        if len(several) < 2:
            continue
        *before, last = [item for _, item in sorted(several, key=lambda one: one[0])]
        mean = np.mean([unit[item] for item in before], axis=0)
        scores = {item: mean @ unit[item] for item in items if item == last or not (exclude_seen and item in before)}
        scores = {item: score / np.linalg.norm(mean) for item, score in scores.items()}
        ranks.append(tuple(sum(score > scores[last] - slack for score in scores.values()) for slack in (-1e-5, 1e-5)))
        ranks[-1] = (ranks[-1][0] + 1, ranks[-1][1])
    return ranks


@settings(max_examples=40, deadline=None)
@given(logs, st.booleans(), st.integers(1, 10))
def test_all_items_are_ranked_as_in_a_loop(log, exclude_seen, k):
    rows = [{"user": user, "item": f"item {item}", "time": time} for user, item, time in log]
    ranks = ranks_in_a_loop(rows, exclude_seen)
    if not ranks:
        with pytest.raises(InputError, match="has more than one interaction"):
            open_interactions(rows)
        return
    names = (f"hit@{k}", f"ndcg@{k}", "mrr@99")
    result = ranking(random_embedder(), open_interactions(rows), metrics=names, exclude_seen=exclude_seen, bootstrap=0)
    found = np.round(1 / result.per_item["mrr@99"])
    assert all(best <= rank <= worst for rank, (best, worst) in zip(found, ranks, strict=True))
    np.testing.assert_allclose(result.per_item[names[0]], [float(rank <= k) for rank in found])
    np.testing.assert_allclose(
        result.per_item[names[1]], [1 / math.log2(rank + 1) if rank <= k else 0.0 for rank in found]
    )
    assert result.settings["users_left_out"] == len({user for user, _, _ in log}) - len(ranks)


def test_time_decides_which_is_the_last_and_ids_may_have_texts(by_rule):
    rows = [
        {"user": 7, "item": 1, "time": 3, "item_text": "lamp"},
        {"user": 7, "item": 2, "time": 1, "item_text": "desk"},
        {"user": 7, "item": 3, "time": 2, "item_text": "chair"},
        {"user": 8, "item": 3, "time": 2, "item_text": "chair"},
    ]
    embedder = by_rule(2, lambda text: [float(len(text)), 1.0])
    opened = open_interactions(rows)
    assert opened.histories == {"7": ["2", "3"]}
    assert opened.held_out == {"7": "1"}
    result = ranking(embedder, opened)
    assert embedder.asked == [("document", ["lamp", "desk", "chair"])]
    assert result.metrics["hit@10"] == 1.0
    assert list(result.metrics) == ["ndcg@10", "hit@10", "ndcg@20", "hit@20"]
    assert (result.num_items, result.items, result.settings["users_left_out"]) == (1, "users", 1)


def test_users_of_long_and_short_histories_do_not_disturb_each_other():
    rows = [{"user": "much", "item": f"i{i}"} for i in range(60)]
    rows += [{"user": f"u{i}", "item": f"i{j}"} for i in range(5) for j in (i, i + 7, i + 20)]
    both = ranking(random_embedder(), open_interactions(rows), metrics=["mrr@100"], bootstrap=0)
    assert both.per_item["mrr@100"][0] == 1.0  # all others were seen
    expected = ranks_in_a_loop([{**row, "time": 0} for row in rows], True)
    assert all(best == worst for best, worst in expected)
    np.testing.assert_allclose(both.per_item["mrr@100"], [1 / best for best, _ in expected])


def test_vectors_of_users_may_be_given():
    rows = [{"user": user, "item": item} for user in "ab" for item in ("x", "y", "z")]
    opened = open_interactions(rows)
    own = torch.tensor([random_vector("z"), [-x for x in random_vector("z")]])
    result = ranking(random_embedder(), opened, user_embeddings=own, metrics=["hit@1"], exclude_seen=False)
    assert result.per_item["hit@1"].tolist() == [1.0, 0.0]
    assert result.settings["user_vectors"] == "given"
    with pytest.raises(ValueError, match=r"user embeddings have shape \[1, 8\] but there are 2"):
        ranking(random_embedder(), opened, user_embeddings=own[:1])
    with pytest.raises(ValueError, match="users have 8 dimensions but items 3"):
        ranking(random_embedder(3), opened, user_embeddings=own)
    with pytest.raises(InputError, match="unknown metric 'hits'"):
        ranking(random_embedder(), opened, metrics=["hits@10"])
