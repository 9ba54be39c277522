"""Partners are drawn anew in every epoch, from the row's own chance, and come with what belongs to them."""

import math
import pickle

import numpy as np
import pytest
import torch

from likewise.data import Column, Text, open_table
from likewise.sampling.inverse_propensity import CANDIDATE
from likewise.views import SampledPairs

TEXTS = [f"sentence number {word}" for word in ("one", "two", "three", "four", "five", "six")]


@pytest.fixture
def made(tmp_path, minilm):
    """Texts 0 to 3 have the positives 4 and 5 and all others as negatives; 4 and 5 have nothing."""
    candidates = np.zeros((6, 5), dtype=CANDIDATE)
    for i in range(6):
        candidates["row"][i] = [j for j in range(6) if j != i]
    candidates["surface"] = 0.25
    candidates["semantic"] = np.where(candidates["row"] >= 4, 0.9, 0.3)
    candidates["semantic"][4:] = 0.7
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    np.save(tmp_path / "candidates.npy", candidates)
    np.save(tmp_path / "vectors.npy", vectors)
    table = open_table([{"text": text} for text in TEXTS], columns=[Column("text", Text)])

    def views(copies=0.5, negatives=True, **rule):
        rule = {"positive_threshold": 0.8, "negative_threshold": 0.6, **rule}
        return SampledPairs(
            minilm.tokenizer, table, tmp_path / "candidates.npy", tmp_path / "vectors.npy", tuple(rule.items()),
            copies, negatives,
        )  # fmt: skip

    return views, torch.from_numpy(vectors), minilm.tokenizer


def batch_of(views, rows, epoch=0):
    examples = [views({"text": TEXTS[row]}, np.random.default_rng([0, epoch, row])) for row in rows]
    return views.collate(examples, rows)


def drawn_rows(tokens, tokenizer):
    """Which texts a batch holds."""
    known = {tuple(tokenizer([text]).ids.tolist()): row for row, text in enumerate(TEXTS)}
    return [known[tuple(part.tolist())] for part in tokens.ids.split(tokens.lengths.tolist())]


def test_partners_come_with_their_vectors_and_a_row_with_nothing_is_its_own_positive(made):
    views, vectors, tokenizer = made
    positives, negatives = set(), set()
    for epoch in range(30):
        batch = batch_of(views(copies=0.0), [0, 1, 4], epoch)
        positive, negative = (drawn_rows(batch[name], tokenizer) for name in ("positive", "negative"))
        assert drawn_rows(batch["text"], tokenizer) == [0, 1, 4]
        assert torch.equal(batch["text_vector"], vectors[[0, 1, 4]])
        assert torch.equal(batch["positive_vector"], vectors[positive])
        assert torch.equal(batch["negative_vector"], vectors[negative])
        assert positive[2] == 4
        assert len(negative) == 2
        assert batch["positive_surface"].tolist() == [0.25, 0.25, 1.0]
        assert batch["threshold"] == 0.8
        positives.update(positive[:2])
        negatives.update(negative)
    assert positives == {4, 5}
    assert negatives == {0, 1, 2, 3}


def test_copies_are_as_frequent_as_they_are_asked_for(made):
    views, _, tokenizer = made
    copied = sum(
        (batch_of(views(copies=0.3), [0, 1, 2, 3], epoch)["positive_surface"] == 1).sum() for epoch in range(100)
    )
    assert float(copied) / 400 == pytest.approx(0.3, abs=3 * math.sqrt(0.3 * 0.7 / 400))
    batch = batch_of(views(copies=1.0), [0, 1, 2, 3])
    assert drawn_rows(batch["positive"], tokenizer) == [0, 1, 2, 3]
    assert torch.equal(batch["positive"].ids, batch["text"].ids)


def test_a_row_draws_the_same_whatever_shares_its_batch(made):
    views, _, tokenizer = made
    together = drawn_rows(batch_of(views(), [0, 1, 2, 3])["positive"], tokenizer)
    alone = [drawn_rows(batch_of(views(), [row])["positive"], tokenizer)[0] for row in range(4)]
    assert together == alone


def test_without_negatives_none_are_in_the_batch(made):
    views, *_ = made
    for batch in (batch_of(views(negatives=False), [0, 1]), batch_of(views(), [4, 5])):
        assert not {"negative", "negative_vector", "negative_weight"} & set(batch.inputs)


def test_even_draws_bring_their_weights(made):
    views, *_ = made
    candidates = np.load(views().candidates)
    candidates["surface"][:, -1] = 0.9  # the last positive, text 5, is drawn less and weighs less
    np.save(views().candidates, candidates)
    seen = {}
    for epoch in range(20):
        batch = batch_of(views(copies=0.0, evenly=True), [0], epoch)
        seen[round(batch["positive_surface"].item(), 2)] = batch["positive_weight"].item()
        assert batch["negative_weight"].tolist() == pytest.approx([1.0])  # all negatives of text 0 are alike
    assert seen[0.25] + seen[0.9] == pytest.approx(2.0)
    assert seen[0.25] / seen[0.9] == pytest.approx(1.0 / 0.35, rel=1e-5)
    assert batch_of(views(copies=1.0, evenly=True), [0])["positive_weight"].tolist() == [1.0]


def test_they_go_to_a_worker_as_names_of_files(made):
    views = made[0]()
    views.table.column("text")
    sent = pickle.dumps(views)
    assert views.vectors.name.encode() in sent
    received = pickle.loads(sent)
    ours, theirs = batch_of(views, [0, 1, 2]), batch_of(received, [0, 1, 2])
    assert torch.equal(ours["positive"].ids, theirs["positive"].ids)
