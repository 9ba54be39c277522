"""What a training run asks for every few steps."""

import torch

from likewise.data import RetrievalData
from likewise.evaluation import Validation, retrieval, retrieval_subset, similarity


def task(count: int) -> RetrievalData:
    names = [str(i) for i in range(count)]
    return RetrievalData(
        {f"d{i}": f"document {i}" for i in names},
        {f"q{i}": f"query {i}" for i in names},
        {f"q{i}": {f"d{i}"} for i in names},
    )


def test_the_figure_that_decides_comes_first(random_embedder):
    validation = Validation.retrieval(task(5), metrics=["recall@1", "mrr@10"], best="mrr@10")
    figures = validation(random_embedder)
    assert list(figures) == ["mrr@10", "recall@1"]
    assert figures == dict(retrieval(random_embedder, task(5), metrics=["mrr@10", "recall@1"]).metrics)
    assert next(iter(Validation.retrieval(task(5), metrics=["recall@1"], best="ndcg@5")(random_embedder))) == "ndcg@5"


def test_a_large_task_is_cut_once(random_embedder):
    validation = Validation.retrieval(task(50), max_queries=10, max_documents=20, seed=3)
    first, second = validation(random_embedder), validation(random_embedder)
    assert first == second
    asked = {len(texts) for _, texts in random_embedder.asked}
    assert asked == {10, 20}
    subset = retrieval_subset(task(50), max_queries=10, max_documents=20, seed=3)
    assert first["ndcg@10"] == retrieval(random_embedder, subset).metrics["ndcg@10"]


def test_similarity_can_be_watched(random_embedder):
    rows = [{"score": i, "sentence1": f"a{i}", "sentence2": f"b{i}"} for i in range(6)]
    figures = Validation.similarity(rows)(random_embedder)
    assert list(figures) == ["spearman", "pearson"]
    assert figures == dict(similarity(random_embedder, rows).metrics)
    assert next(iter(Validation.similarity(rows, best="pearson")(random_embedder))) == "pearson"


def test_measuring_leaves_the_random_state_alone(random_embedder):
    validation = Validation.retrieval(task(30), max_queries=10)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    validation(random_embedder)
    assert torch.equal(torch.get_rng_state(), before)
