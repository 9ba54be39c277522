"""Retrieval against a loop over all documents, against trec_eval, and on the real model."""

import json
import math

import numpy as np
import pytest
import pytrec_eval
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.rule_embedder import random_embedder
from likewise.data import RetrievalData
from likewise.errors import InputError
from likewise.evaluation import DEFAULT_METRICS, RANKING_METRICS, retrieval, retrieval_subset
from likewise.evaluation.bootstrap import mean_replicates


class Fixed:
    """Hands out given vectors."""

    name, fingerprint = "fixed", "fixed"

    def __init__(self, vectors):
        self.vectors = vectors
        self.dim = len(next(iter(vectors.values())))

    def encode(self, inputs, *, role=None, batch_size=256, precision="auto", progress=False):
        return torch.tensor([self.vectors[text] for text in inputs])


@st.composite
def tasks(draw):
    """A small task with graded judgments, ties between documents, and queries that are themselves documents."""
    documents, queries = draw(st.integers(1, 9)), draw(st.integers(1, 6))
    shared = draw(st.integers(0, min(documents, queries)))
    names = [f"x{i}" if i < shared else f"d{i}" for i in range(documents)]
    corpus = {name: f"text of {name}" for name in names}
    asked = {f"x{i}" if i < shared else f"q{i}": f"query {i}" for i in range(queries)}
    grades = {
        query: draw(st.dictionaries(st.sampled_from(names), st.integers(1, 3), min_size=1, max_size=documents))
        for query in asked
    }
    numbers = st.tuples(*[st.sampled_from([-1.0, 0.5, 2.0])] * 2)  # few values: many equal cosines
    vectors = {text: draw(numbers) for text in [*corpus.values(), *asked.values()]}
    return RetrievalData(corpus, asked, {query: set(one) for query, one in grades.items()}, grades), vectors


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def ranking(data, vectors, query, ignore_same_id):
    """The whole corpus, best first; equal cosines (up to rounding) in the order of the corpus."""

    def place(item):
        number, (_, text) = item
        return -round(cosine(vectors[data.queries[query]], vectors[text]), 5), number

    ranked = [name for _, (name, _) in sorted(enumerate(data.corpus.items()), key=place)]
    own = ignore_same_id and query not in data.relevant[query]
    return [name for name in ranked if not (own and name == query)]


@given(tasks(), st.booleans(), st.integers(1, 11))
def test_retrieval_is_what_trec_eval_makes_of_the_whole_ranking(case, ignore_same_id, k):
    data, vectors = case
    result = retrieval(
        Fixed(vectors),
        data,
        metrics=(f"ndcg@{k}", f"map@{k}", f"recall@{k}"),
        ignore_same_id=ignore_same_id,
        bootstrap=0,
    )
    run = {
        query: {name: -float(rank) for rank, name in enumerate(ranking(data, vectors, query, ignore_same_id))}
        for query in data.queries
    }
    run = {query: found or {"none": 0.0} for query, found in run.items()}
    judge = pytrec_eval.RelevanceEvaluator(dict(data.grades), {f"ndcg_cut.{k}", f"map_cut.{k}", f"recall.{k}"})
    expected = judge.evaluate(run)
    for ours, theirs in (("ndcg", "ndcg_cut"), ("map", "map_cut"), ("recall", "recall")):
        values = [expected[query][f"{theirs}_{k}"] for query in data.queries]
        np.testing.assert_allclose(result.per_item[f"{ours}@{k}"], values, rtol=1e-6, err_msg=ours)
        assert result.metrics[f"{ours}@{k}"] == pytest.approx(np.mean(values), rel=1e-6)


def test_equal_cosines_rank_in_the_order_of_the_corpus():
    corpus = {f"d{i}": f"t{i}" for i in range(300)}
    vectors = {text: [1.0, 2.0] for text in corpus.values()} | {"q": [1.0, 0.0]}
    for place in (0, 1, 7, 299):
        data = RetrievalData(corpus, {"q": "q"}, {"q": {f"d{place}"}})
        result = retrieval(Fixed(vectors), data, metrics=["mrr@300"])
        assert result.metrics["mrr@300"] == pytest.approx(1 / (place + 1))


def test_roles_and_a_task_by_hand(by_rule):
    numbers = {"cat": [1, 0], "dog": [0, 1], "both": [2, 2], "a cat?": [3, 0.1], "a dog?": [0.1, 5]}
    embedder = by_rule(2, lambda text: numbers[text])
    data = RetrievalData(
        {"1": "cat", "2": "dog", "3": "both"},
        {"a": "a cat?", "b": "a dog?"},
        {"a": {"1"}, "b": {"1", "3"}},
        name="pets",
    )
    result = retrieval(embedder, data, bootstrap=100)
    assert embedder.asked == [("query", ["a cat?", "a dog?"]), ("document", ["cat", "dog", "both"])]
    # a: cat first. b: dog, both, cat: relevant at ranks 2 and 3.
    assert result.metrics["mrr@10"] == pytest.approx((1 + 1 / 2) / 2)
    assert result.metrics["recall@1"] == pytest.approx(1 / 2)
    assert result.metrics["hit@10"] == 1.0
    assert result.metrics["map@100"] == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    ideal = 1 + 1 / math.log2(3)
    assert result.metrics["ndcg@10"] == pytest.approx((1 + (1 / math.log2(3) + 1 / 2) / ideal) / 2)
    assert tuple(result.metrics) == DEFAULT_METRICS
    assert result.num_items == 2
    assert result.items == "queries"
    assert (result.model, result.model_fingerprint) == ("by rule", "0123abcd")
    assert (result.data, result.data_fingerprint) == ("pets", data.fingerprint)
    for name, (low, high) in result.intervals.items():
        assert low <= result.metrics[name] <= high
    assert json.loads(json.dumps(result.as_dict()))["metrics"]["hit@10"] == 1.0


def test_grades_make_a_document_worth_more():
    vectors = {"good": [1.0, 0.0], "best": [0.8, 0.6], "q": [1.0, 0.1]}
    data = RetrievalData({"g": "good", "b": "best"}, {"q": "q"}, {"q": {"g", "b"}}, {"q": {"b": 3}})
    result = retrieval(Fixed(vectors), data, metrics=["ndcg@10"])
    assert result.metrics["ndcg@10"] == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))


def test_the_query_itself_is_no_answer_unless_it_is_judged_to_be():
    vectors = {"a": [1.0, 0.0], "b": [0.9, 0.5], "c": [0.0, 1.0]}
    corpus = {"a": "a", "b": "b", "c": "c"}
    data = RetrievalData(corpus, {"a": "a"}, {"a": {"b"}})
    assert retrieval(Fixed(vectors), data, metrics=["recall@1"]).metrics["recall@1"] == 1.0
    assert retrieval(Fixed(vectors), data, metrics=["recall@1"], ignore_same_id=False).metrics["recall@1"] == 0.0
    judged = RetrievalData(corpus, {"a": "a"}, {"a": {"a"}})
    assert retrieval(Fixed(vectors), judged, metrics=["recall@1"]).metrics["recall@1"] == 1.0


def test_given_vectors_replace_encoding_and_give_the_same(random_embedder):
    data = RetrievalData({str(i): f"d{i}" for i in range(20)}, {"q": "query"}, {"q": {"3", "4"}})
    corpus = random_embedder.encode(list(data.corpus.values()))
    query = random_embedder.encode(list(data.queries.values()))
    whole = retrieval(random_embedder, data)
    random_embedder.asked.clear()
    given_both = retrieval(random_embedder, data, corpus_embeddings=corpus, query_embeddings=query)
    assert random_embedder.asked == []
    assert given_both.metrics == whole.metrics
    assert given_both == whole
    retrieval(random_embedder, data, corpus_embeddings=corpus)
    assert [role for role, _ in random_embedder.asked] == ["query"]


def test_the_seed_decides_the_intervals(random_embedder):
    data = RetrievalData(
        {str(i): f"d{i}" for i in range(20)},
        {f"q{i}": f"query {i}" for i in range(20)},
        {f"q{i}": {str(i)} for i in range(20)},
    )
    first = retrieval(random_embedder, data, seed=1)
    assert retrieval(random_embedder, data, seed=1).intervals == first.intervals
    assert retrieval(random_embedder, data, seed=2).intervals != first.intervals
    assert retrieval(random_embedder, data, bootstrap=0).intervals == {}


@settings(max_examples=30)
@given(tasks(), st.integers(1, 7), st.integers(1, 10), st.integers(0, 99))
def test_a_subset_keeps_the_answers_of_its_queries(case, max_queries, max_documents, seed):
    data, _ = case
    subset = retrieval_subset(data, max_queries=max_queries, max_documents=max_documents, seed=seed)
    assert len(subset.queries) == min(max_queries, len(data.queries))
    needed = set().union(*subset.relevant.values())
    assert needed <= set(subset.corpus)
    assert len(subset.corpus) == min(max(max_documents, len(needed)), len(data.corpus))
    assert list(subset.corpus) == [name for name in data.corpus if name in subset.corpus]
    for query in subset.queries:
        assert subset.relevant[query] == data.relevant[query]
        assert subset.grades.get(query) == data.grades.get(query)
    again = retrieval_subset(data, max_queries=max_queries, max_documents=max_documents, seed=seed)
    assert again.fingerprint == subset.fingerprint


def test_the_real_model_finds_the_word(minilm):
    words = ["kennel", "aquarium", "library", "orchard", "bakery", "lighthouse"]
    definitions = [
        "a small house for a dog",
        "a tank of water in which fish are kept",
        "a building that lends books",
        "a garden of fruit trees",
        "a shop where bread is made and sold",
        "a tower with a lamp that guides ships",
    ]
    data = RetrievalData(
        {f"w{i}": word for i, word in enumerate(words)},
        {f"q{i}": definition for i, definition in enumerate(definitions)},
        {f"q{i}": {f"w{i}"} for i in range(len(words))},
    )
    result = retrieval(minilm, data, metrics=["hit@1", "mrr@10"])
    assert result.metrics["hit@1"] >= 5 / 6
    assert result.metrics["mrr@10"] > 0.9
    assert result.model_fingerprint == minilm.fingerprint


def test_all_families_can_be_asked_for(random_embedder):
    data = RetrievalData({"a": "x", "b": "y"}, {"q": "z"}, {"q": {"a"}})
    names = [f"{family}@3" for family in RANKING_METRICS]
    assert list(retrieval(random_embedder, data, metrics=names).metrics) == names


DATA = RetrievalData({"a": "x", "b": "y"}, {"q": "z"}, {"q": {"a"}})


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"metrics": ["mmr@10"]}, InputError, "unknown metric 'mmr': did you mean 'mrr'"),
        ({"metrics": []}, InputError, "no metric was asked for"),
        (
            {"corpus_embeddings": torch.ones(3, 8)},
            ValueError,
            r"document embeddings have shape \[3, 8\] but there are 2",
        ),
        ({"corpus_embeddings": torch.ones(2, 4)}, ValueError, "queries have 8 dimensions but documents 4"),
        (
            {"corpus_embeddings": torch.tensor([[1.0] * 8, [torch.nan] * 8])},
            InputError,
            "the vector of document 'b' is not finite",
        ),
    ],
)
def test_what_cannot_be_measured_is_said(random_embedder, options, error, words):
    with pytest.raises(error, match=words):
        retrieval(random_embedder, DATA, **options)


@pytest.mark.parametrize("limits", [{"max_queries": 0}, {"max_queries": 1, "max_documents": 0}])
def test_a_subset_of_nothing_is_refused(limits):
    with pytest.raises(ValueError, match="at least 1 is accepted"):
        retrieval_subset(DATA, **limits)


def test_models_share_the_draws_so_that_the_difference_of_replicates_is_the_paired_bootstrap():
    data = RetrievalData(
        {str(i): f"d{i}" for i in range(20)},
        {f"q{i}": f"query {i}" for i in range(20)},
        {f"q{i}": {str(i)} for i in range(20)},
    )
    a = retrieval(random_embedder(8), data, metrics=["mrr@10"], bootstrap=200, seed=5)
    b = retrieval(random_embedder(3), data, metrics=["mrr@10"], bootstrap=200, seed=5)
    assert a.replicates["mrr@10"].shape == (200,)
    paired = mean_replicates((b.per_item["mrr@10"] - a.per_item["mrr@10"])[:, None], 200, 5)[:, 0]
    np.testing.assert_allclose(b.replicates["mrr@10"] - a.replicates["mrr@10"], paired, rtol=1e-9, atol=1e-12)
    assert retrieval(random_embedder(8), data, bootstrap=0).replicates == {}
    assert "replicates" not in a.as_dict()
