"""Our model inside the real mteb, on tasks of a few local rows."""

import sys

import datasets
import mteb
import numpy as np
import pytest
import torch
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata

from likewise.encoders import Embedder
from likewise.errors import InputError
from likewise.evaluation import get_task, mteb_task, retrieval, similarity
from likewise.evaluation.tasks.mteb_tasks import MtebData, MtebEncoder

ROWS = [
    (5.0, "a man plays a guitar", "the man is playing the guitar"),
    (3.5, "a dog runs in the park", "an animal is outside"),
    (1.0, "a woman slices an onion", "a woman washes a car"),
    (0.0, "the market fell today", "a cat sleeps on the sofa"),
]


def about(name, kind, score):
    return TaskMetadata(
        name=name, description="a few rows", reference=None, dataset={"path": "local", "revision": "1"}, type=kind,
        category="t2t", modalities=["text"], eval_splits=["test"], eval_langs=["eng-Latn"], main_score=score,
        date=None, domains=None, task_subtypes=None, license=None, annotations_creators=None, dialect=None,
        sample_creation=None, bibtex_citation=None,
    )  # fmt: skip


class TinySTS(AbsTaskSTS):
    metadata = about("TinySTS", "STS", "cosine_spearman")
    min_score, max_score = 0, 5

    def load_data(self, **_):
        columns = dict(zip(("score", "sentence1", "sentence2"), map(list, zip(*ROWS, strict=True)), strict=True))
        self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_dict(columns)})
        self.data_loaded = True


class TinyRetrieval(AbsTaskRetrieval):
    metadata = about("TinyRetrieval", "Retrieval", "ndcg_at_10")

    def load_data(self, **_):
        corpus = [{"id": f"d{i}", "title": "", "text": text} for i, (_, _, text) in enumerate(ROWS)]
        queries = [{"id": f"q{i}", "text": text} for i, (_, text, _) in enumerate(ROWS)]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": datasets.Dataset.from_list(corpus),
                    "queries": datasets.Dataset.from_list(queries),
                    "relevant_docs": {f"q{i}": {f"d{i}": 1} for i in range(len(ROWS))},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


@pytest.fixture
def no_network(monkeypatch):
    """Tasks by name are ours."""
    known = {"TinySTS": TinySTS, "TinyRetrieval": TinyRetrieval}
    monkeypatch.setattr(mteb, "get_task", lambda name: known[name]())
    monkeypatch.setattr(mteb, "get_tasks", lambda: [kind() for kind in known.values()])


def test_a_similarity_of_mteb_is_our_similarity(minilm, no_network):
    task = get_task("mteb:TinySTS")
    result = task.measure(minilm, task.open(), precision="fp32")
    ours = similarity(minilm, [dict(zip(("score", "sentence1", "sentence2"), row, strict=True)) for row in ROWS],
                      precision="fp32", bootstrap=0)  # fmt: skip
    assert next(iter(result.metrics)) == task.main_metric == "main_score"
    assert result.metrics["main_score"] == pytest.approx(ours.metrics["spearman"], abs=1e-9)
    assert result.metrics["cosine_pearson"] == pytest.approx(ours.metrics["pearson"], abs=1e-5)
    assert (result.task, result.data) == ("mteb:TinySTS", "TinySTS")
    assert result.model_fingerprint == minilm.fingerprint
    assert result.settings["main_score"] == "cosine_spearman"
    assert "mteb" in result.versions
    assert (result.intervals, result.parts) == ({}, {})


def test_prompt_types_of_mteb_are_our_roles(random_embedder, no_network):
    task = get_task("mteb:TinyRetrieval")
    result = task.measure(random_embedder, task.open())
    roles = dict(random_embedder.asked)
    assert set(roles) == {"query", "document"}
    assert sorted(roles["query"]) == sorted(text for _, text, _ in ROWS)
    from likewise.data import RetrievalData

    data = RetrievalData(
        {f"d{i}": text for i, (_, _, text) in enumerate(ROWS)},
        {f"q{i}": text for i, (_, text, _) in enumerate(ROWS)},
        {f"q{i}": {f"d{i}"} for i in range(len(ROWS))},
    )
    ours = retrieval(random_embedder, data, bootstrap=0)
    assert result.metrics["main_score"] == pytest.approx(ours.metrics["ndcg@10"], abs=1e-4)


def test_the_wrapper_is_an_encoder_of_mteb(random_embedder):
    wrapper = MtebEncoder(random_embedder, "fp32")
    assert isinstance(wrapper, mteb.EncoderProtocol)
    assert isinstance(random_embedder, Embedder)
    a, b = torch.randn(3, 8), torch.randn(2, 8)
    cosines = torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)
    torch.testing.assert_close(wrapper.similarity(a.numpy(), b), cosines)
    torch.testing.assert_close(wrapper.similarity_pairwise(a[:2], np.asarray(b)), cosines.diagonal())


def test_subsets_are_parts_and_the_figures_are_their_means(random_embedder):
    class Two(TinySTS):
        def load_data(self, **_):
            super().load_data()
            self.dataset["dev"] = self.dataset["test"].select([2, 0, 3, 1, 0, 2])
            self.metadata = self.metadata.model_copy(update={"eval_splits": ["test", "dev"]})

    task = Two()
    task.load_data()
    result = mteb_task(random_embedder, MtebData(task))
    assert list(result.parts) == ["default, test", "default, dev"]
    means = np.mean([part.metrics["main_score"] for part in result.parts.values()])
    assert result.metrics["main_score"] == pytest.approx(means)
    assert (result.num_items, result.items) == (2, "subsets")


def test_an_unknown_task_names_the_nearest(no_network):
    with pytest.raises(InputError, match="unknown task of mteb 'TinySST': did you mean 'TinySTS'"):
        get_task("mteb:TinySST").open()
    with pytest.raises(InputError, match="brings its own data; leave the data out"):
        get_task("mteb:TinySTS").open("file.csv")


def test_without_mteb_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(
        InputError,
        match=r"package mteb is not installed, which has the task 'STSBenchmark'; .*pip install 'likewise\[mteb\]'",
    ):
        get_task("mteb:STSBenchmark").open()


def test_a_task_of_mteb_is_not_repeated_while_training():
    from likewise.run_config import RunConfig

    with pytest.raises(InputError, match="not made to be repeated while training"):
        RunConfig.resolve("pairs", {"data": "x.jsonl", "eval_task": "mteb:STSBenchmark"})
