"""Retrieval tasks: from BEIR folders and from pairs; judgments that do not fit are refused."""

import gzip
import json
import shutil

import pytest

from likewise.data import RetrievalData, open_retrieval, open_table, read_beir, retrieval_from_pairs
from likewise.data.retrieval_data import PAIR_COLUMNS
from likewise.errors import InputError

CORPUS = [
    {"_id": "d1", "title": "Kennel", "text": "a shelter for a dog", "metadata": {"url": "x"}},
    {"_id": "d2", "title": "", "text": "a shelter for a horse"},
    {"_id": "d3", "text": "a shelter for a car"},
    {"_id": "d4", "title": "Hangar", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "dog house"}, {"_id": "q2", "text": "stable"}, {"_id": "q3", "text": "of training"}]
TEST = [("q1", "d1", 2), ("q1", "d2", 1), ("q1", "d3", 0), ("q2", "d2", 1)]


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def qrels(rows):
    return "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{d}\t{score}\n" for q, d, score in rows)


@pytest.fixture
def beir(write, tmp_path):
    """A folder in BEIR's layout; each part can be given differently."""

    def made(corpus=CORPUS, queries=QUERIES, test=TEST):
        write("tiny/corpus.jsonl", jsonl(corpus))
        write("tiny/queries.jsonl", jsonl(queries))
        write("tiny/qrels/test.tsv", qrels(test))
        write("tiny/qrels/train.tsv", qrels([("q3", "d3", 1)]))
        return tmp_path / "tiny"

    return made


def refusal(call, *arguments, **options):
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_a_beir_folder_is_read_as_beir_reads_it(beir):
    data = read_beir(beir())
    assert data.corpus == {
        "d1": "Kennel a shelter for a dog",
        "d2": "a shelter for a horse",
        "d3": "a shelter for a car",
        "d4": "Hangar",
    }
    assert data.queries == {"q1": "dog house", "q2": "stable"}
    assert data.relevant == {"q1": {"d1", "d2"}, "q2": {"d2"}}
    assert data.grades == {"q1": {"d1": 2}}
    assert data.name == "tiny/test"


def test_another_split_has_its_own_queries(beir):
    assert read_beir(beir(), "train").queries == {"q3": "of training"}


def test_a_compressed_corpus_is_found(beir):
    folder = beir()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress((folder / "corpus.jsonl").read_bytes()))
    (folder / "corpus.jsonl").unlink()
    assert len(read_beir(folder).corpus) == 4


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_is_named(beir, name):
    folder = beir()
    (folder / name).unlink()
    assert refusal(open_retrieval, folder) == refusal(read_beir, folder)
    sentence = f"'{folder}' has no {name}; a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv."
    assert refusal(read_beir, folder) == sentence


def test_missing_judgments_are_named(beir):
    folder = beir()
    assert refusal(read_beir, folder, "tst") == "unknown split of tiny 'tst': did you mean 'test'? Known: test, train."
    shutil.rmtree(folder / "qrels")
    sentence = f"'{folder}' has no qrels/test.tsv; a BEIR folder holds its judgments in qrels/SPLIT.tsv."
    assert refusal(read_beir, folder) == sentence


def test_a_judgment_of_a_document_that_does_not_exist(beir):
    folder = beir(test=[*TEST, ("q2", "d9", 1)])
    sentence = "tiny/test: the judgment of query 'q2' names document 'd9', which is not in the corpus."
    assert refusal(read_beir, folder) == sentence


def test_a_judgment_of_a_query_that_does_not_exist(beir):
    folder = beir(test=[*TEST, ("q9", "d1", 1)])
    assert refusal(read_beir, folder) == "tiny/test: the judgments name query 'q9', which is not among the queries."


def test_a_query_without_a_relevant_document(beir):
    folder = beir(test=[*TEST, ("q3", "d1", 0)])
    assert refusal(read_beir, folder) == (
        "tiny/test: query 'q3' has no relevant document; every query needs at least one. "
        "Add a judgment above 0 for it or leave the query out."
    )


def test_an_id_that_stands_twice(beir):
    folder = beir(corpus=[*CORPUS, {"_id": "d2", "text": "again"}])
    assert refusal(read_beir, folder) == "corpus.jsonl, row 5: the id 'd2' stands twice; every row needs its own."


def test_a_bad_row_is_named(beir):
    folder = beir(queries=[*QUERIES, {"_id": "q4", "text": ""}])
    assert refusal(read_beir, folder).startswith("queries.jsonl, row 4: column 'text' is empty")


def test_a_bad_score_is_named(beir):
    folder = beir(test=[("q1", "d1", "high")])
    assert refusal(read_beir, folder).startswith("test.tsv, row 1: column 'score' is a text ('high')")


def test_distinct_positives_of_pairs_are_the_corpus():
    rows = [
        {"query": "dog house", "positive": "kennel"},
        {"query": "stable", "positive": "horse house"},
        {"query": "dog house", "positive": ["dog hut", "kennel"]},
    ]
    data = retrieval_from_pairs(open_table(rows, columns=PAIR_COLUMNS))
    assert data.corpus == {"d0": "kennel", "d1": "horse house", "d2": "dog hut"}
    assert data.queries == {"q0": "dog house", "q1": "stable"}
    assert data.relevant == {"q0": {"d0", "d2"}, "q1": {"d1"}}


def test_open_retrieval_tells_a_beir_folder_from_pairs(beir, write, tmp_path):
    assert open_retrieval(beir()).name == "tiny/test"
    assert open_retrieval(beir(), split="train").name == "tiny/train"
    pairs = write("faq.csv", "question,answer\nhow,so\n,nothing\n")
    rename = {"query": "question", "positive": "answer"}
    data = open_retrieval(pairs, rename=rename, bad_rows="skip", rejected=tmp_path / "rejected.jsonl")
    assert (data.corpus, data.queries) == ({"d0": "so"}, {"q0": "how"})
    assert (tmp_path / "rejected.jsonl").exists()
    assert open_retrieval(open_table([{"query": "a", "positive": "b"}], columns=PAIR_COLUMNS)).corpus == {"d0": "b"}


def test_a_task_without_documents_or_queries_is_refused():
    assert refusal(RetrievalData, {}, {"q": "x"}, {"q": {"d"}}).startswith("retrieval has no document;")
    assert refusal(RetrievalData, {"d": "x"}, {}, {}).startswith("retrieval has no query;")


@pytest.mark.parametrize(
    "change",
    [
        {"corpus": {"d1": "kennel", "d2": "hut."}},
        {"corpus": {"d2": "hut", "d1": "kennel"}},
        {"queries": {"q1": "dog home"}},
        {"relevant": {"q1": {"d1", "d2"}}},
        {"grades": {"q1": {"d1": 2}}},
    ],
)
def test_the_fingerprint_differs_where_anything_does(change):
    known = {"corpus": {"d1": "kennel", "d2": "hut"}, "queries": {"q1": "dog house"}, "relevant": {"q1": {"d1"}}}
    assert RetrievalData(**known).fingerprint == RetrievalData(**known).fingerprint
    assert RetrievalData(**{**known, **change}).fingerprint != RetrievalData(**known).fingerprint


def test_rows_and_open_tasks_are_taken_too():
    opened = open_retrieval([{"query": "a young dog", "positive": "puppy"}, {"query": "a cat", "positive": "kitten"}])
    assert opened.relevant == {"q0": {"d0"}, "q1": {"d1"}}
    assert open_retrieval(opened) is opened
