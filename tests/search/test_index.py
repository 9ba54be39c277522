"""The index on a real LanceDB: what is stored is found, by meaning, by words and by both."""

import json
import math

import numpy as np
import pytest
import torch

from evaluation.rule_embedder import RuleEmbedder, random_embedder, random_vector
from likewise.data import Column, Text, open_table
from likewise.errors import InputError
from likewise.search import Hit, Index


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def ids(hits):
    return [hit.id for hit in hits]


def test_by_meaning_finds_what_a_loop_over_all_rows_finds(index, embedder, rows):
    embedder.asked.clear()
    hits = index.search("what is asked", 3)
    assert embedder.asked == [("query", ["what is asked"])]
    query = random_vector("what is asked")
    expected = sorted(((cosine(query, random_vector(row["text"])), row) for row in rows), key=lambda pair: -pair[0])
    assert ids(hits) == [row["id"] for _, row in expected[:3]]
    for hit, (score, row) in zip(hits, expected, strict=False):
        assert hit.score == pytest.approx(score, abs=1e-6)
        assert hit.text == row["text"]
        assert hit.metadata == {"year": row["year"], "topic": row["topic"]}


def test_many_random_vectors_are_found_exactly(tmp_path):
    embedder = random_embedder(16)
    index = Index.create(tmp_path / "index", embedder, [{"text": f"text {i}"} for i in range(500)])
    vectors = embedder.encode([f"text {i}" for i in range(500)])
    queries = embedder.encode([f"query {i}" for i in range(20)])
    cosines = torch.nn.functional.normalize(queries, dim=1) @ torch.nn.functional.normalize(vectors, dim=1).T
    for i in range(20):
        best = cosines[i].topk(10)
        hits = index.search(queries[i], 10)
        assert ids(hits) == [str(one) for one in best.indices.tolist()]
        assert [hit.score for hit in hits] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_documents_are_encoded_as_documents_once(tmp_path, rows):
    embedder = random_embedder()
    Index.create(tmp_path / "index", embedder, rows)
    assert embedder.asked == [("document", [row["text"] for row in rows])]


def test_by_words_finds_stems_and_needs_no_model(index, tmp_path):
    index = Index.open(tmp_path / "index")
    assert ids(index.search("dog", mode="text")) == ["a2", "a1"] or ids(index.search("dog", mode="text")) == [
        "a1",
        "a2",
    ]
    hits = index.search("libraries lending", mode="text")
    assert ids(hits) == ["c1"]
    assert hits[0].score > 0
    assert index.search("zebra", mode="text") == []
    assert index.search("?!", mode="text") == []


def test_a_query_of_common_words_finds_something(index):
    assert ids(index.search("in the", mode="text"))[0] in ("b1", "b2")


def test_without_a_language_words_are_as_they_are_written(tmp_path, rows):
    index = Index.create(tmp_path / "index", random_embedder(), rows, language=None)
    assert ids(index.search("dogs", mode="text")) == ["a2"]
    assert ids(index.search("dog", mode="text")) == ["a1"]


def test_hybrid_is_the_fusion_of_both_rankings(index):
    query = "a dog in the library"
    places = {}
    for mode in ("vector", "text"):
        for rank, hit in enumerate(index.search(query, 5, mode=mode), 1):
            places[hit.id] = places.get(hit.id, 0) + 1 / (60 + rank)
    expected = sorted(places.items(), key=lambda pair: (-pair[1], pair[0]))
    hits = index.search(query, 5, mode="hybrid")
    assert [(hit.id, pytest.approx(hit.score)) for hit in hits] == expected


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_a_condition_holds_for_every_hit(index, mode):
    hits = index.search("the dogs in the house", 5, mode=mode, where="year >= 2005 AND topic = 'animals'")
    assert hits
    assert {hit.id for hit in hits} <= {"a2", "b2"}
    if mode == "vector":
        assert len(hits) == 2, "rows that do not fit are left out before the best are taken"
    assert index.search("dogs", 5, mode=mode, where="year > 3000") == []


def test_equal_vectors_are_in_the_order_of_ids_also_at_the_cut(tmp_path):
    rows = [{"text": f"t{i}"} for i in reversed(range(300))]
    index = Index.create(tmp_path / "index", RuleEmbedder(3, lambda text: [1.0, 2.0, 3.0]), rows)
    for k in (1, 7, 120):
        assert ids(index.search("x", k)) == [str(i) for i in range(k)]
    assert ids(index.search("x", 7)) == ids(index.search("x", 7))


def test_a_hit_is_what_json_can_hold(index):
    found = json.loads(json.dumps(index.search("x", 1)[0].as_dict()))
    assert list(found) == ["id", "text", "score", "year", "topic"]
    assert Hit("1", "t", 0.5, {"n": math.nan, "b": b"x", "l": [math.inf, {"a": 1}]}).as_dict() == {
        "id": "1", "text": "t", "score": 0.5, "n": None, "b": "eA==", "l": [None, {"a": 1}],
    }  # fmt: skip


def test_metadata_comes_back_as_it_was(tmp_path):
    rows = [
        {"text": "a", "score": 1, "deep": {"x": [1, 2]}, "mixed": 1, "tags": ["p", "q"], "part": 0.5},
        {"text": "b", "score": 2, "deep": None, "mixed": "one", "tags": None, "part": None},
        {"text": "c", "mixed": [1]},
    ]
    index = Index.create(tmp_path / "index", random_embedder(), rows)
    hits = {hit.text: hit.metadata for hit in Index.open(tmp_path / "index").get(["0", 1, 2])}
    assert hits["a"] == {"score_": 1, "deep": {"x": [1, 2]}, "mixed": 1, "tags": ["p", "q"], "part": 0.5}
    assert hits["b"] == {"score_": 2, "deep": None, "mixed": "one", "tags": None, "part": None}
    assert hits["c"] == {"score_": None, "deep": None, "mixed": [1], "tags": None, "part": None}
    assert index.get(["nothing"]) == []


def test_names_with_spaces_are_quoted_in_conditions(tmp_path):
    rows = [{"text": "a", "in print": 1}, {"text": "b", "in print": 0}]
    index = Index.create(tmp_path / "index", random_embedder(), rows)
    assert [hit.text for hit in index.search("x", where="`in print` = 1")] == ["a"]


def test_files_tables_and_streams_make_the_same_index(tmp_path, rows):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = [Column("text", Text), Column("id", Text), Column("topic", Text)]
    sources = {
        "file": path,
        "table": open_table(rows, columns=[Column("text", Text)]),
        "stream": open_table(path, columns=columns, streaming=True),
    }
    expected = None
    for name, source in sources.items():
        index = Index.create(tmp_path / name, random_embedder(), source)
        hits = [(hit.id, hit.text, hit.score, hit.metadata["topic"]) for hit in index.search("x", 5)]
        expected = expected or hits
        assert hits == expected, name


def test_given_vectors_replace_encoding(tmp_path, rows, embedder):
    vectors = embedder.encode([row["text"] for row in rows])
    embedder.asked.clear()
    index = Index.create(tmp_path / "index", embedder, rows, vectors=vectors)
    assert embedder.asked == []
    again = Index.create(tmp_path / "again", embedder, rows)
    assert index.search("x", 5) == again.search("x", 5)
    assert ids(index.search(vectors[3], 1)) == ["b2"]
    assert ids(index.search(vectors[3].numpy().astype(np.float64), 1)) == ["b2"]


def test_rows_are_numbered_where_there_is_no_id(tmp_path, rows):
    plain = [{"text": row["text"]} for row in rows]
    index = Index.create(tmp_path / "plain", random_embedder(), plain)
    assert sorted(ids(index.search("x", 9))) == ["0", "1", "2", "3", "4"]
    index.delete([4])
    assert index.add([{"text": "new"}]) == 1
    assert sorted(ids(index.search("x", 9))) == ["0", "1", "2", "3", "5"], "no number is given twice"
    assert ids(Index.open(tmp_path / "plain").search("new", mode="text")) == ["5"]
    numbered = Index.create(tmp_path / "numbered", random_embedder(), rows, numbered=True)
    assert {hit.id: hit.metadata["id_"] for hit in numbered.search("x", 9)} == {
        "0": "a1", "1": "a2", "2": "b1", "3": "b2", "4": "c1",
    }  # fmt: skip


def test_ids_come_from_the_column_that_is_named(tmp_path, rows):
    index = Index.create(tmp_path / "index", random_embedder(), rows, id_column="year")
    assert ids(index.search("dog", mode="text", where="id_ = 'a1'")) == ["1990"]
    texts = Index.create(tmp_path / "topics", random_embedder(), rows, text_column="topic")
    assert ids(texts.search("books", mode="text")) == ["c1"]
    assert texts.get(["c1"])[0].metadata["text_"] == "the library lends books"


def test_added_rows_are_found_every_way(index, tmp_path):
    assert index.add([{"id": "d1", "text": "a zebra runs", "year": 2024}]) == 1
    for opened in (index, Index.open(tmp_path / "index", random_embedder())):
        assert len(opened) == 6
        assert ids(opened.search("zebra", mode="text")) == ["d1"]
        assert ids(opened.search("a zebra runs", 1)) == ["d1"]
        assert opened.search("a zebra runs", 1)[0].metadata == {"year": 2024, "topic": None}


def test_an_id_that_exists_is_an_error_or_replaced(index):
    fresh = [{"id": "d1", "text": "new"}, {"id": "b1", "text": "cake is eaten"}]
    with pytest.raises(
        InputError, match=r"rows\[1\]: the index has a row with id 'b1' already; leave the row out, or ask"
    ):
        index.add(fresh)
    assert len(index) == 5
    assert index.add(fresh, replace=True) == 2
    assert len(index) == 6
    assert index.get(["b1"])[0].text == "cake is eaten"
    assert index.search("bread", mode="text") == []
    assert ids(index.search("cake", mode="text")) == ["b1"]


def test_deleted_rows_are_gone_every_way(index, tmp_path):
    assert index.delete(["a1", "nothing", "a1", "it's"]) == 1
    for opened in (index, Index.open(tmp_path / "index", random_embedder())):
        assert len(opened) == 4
        assert "a1" not in ids(opened.search("a small house for a dog", 5))
        assert ids(opened.search("dog", mode="text")) == ["a2"]
    assert index.delete([]) == 0
    assert index.delete(["a2", "b1", "b2", "c1"]) == 4
    assert index.search("x") == []


def test_an_index_that_was_emptied_takes_rows_again(index, rows):
    index.delete([row["id"] for row in rows])
    index.add(rows)
    assert len(index.search("x", 9)) == 5


def test_the_approximate_index_is_built_on_request_and_scores_exactly(tmp_path):
    rows = [{"text": f"text {i}"} for i in range(600)]
    index = Index.create(tmp_path / "index", random_embedder(16), rows, approximate=True)
    assert index.is_approximate
    found = 0
    for i in range(8):
        exact, approximate = index.search(f"query {i}", 600, exact=True), index.search(f"query {i}", 10)
        assert approximate == index.search(f"query {i}", 10, exact=False)
        scores = {hit.id: hit.score for hit in exact}
        for hit in approximate:
            assert hit.score == pytest.approx(scores[hit.id], abs=1e-5)
        found += len(set(ids(exact[:10])) & set(ids(approximate)))
    assert found / 80 > 0.95
    index.add([{"text": "brand new"}])
    assert [hit.text for hit in index.search("brand new", 1)] == ["brand new"]
    index.build_approximate()
    assert [hit.text for hit in index.search("brand new", 1)] == ["brand new"]


def test_a_small_index_is_exact_unless_asked(index):
    assert not index.is_approximate
    with pytest.raises(InputError, match="has no approximate index"):
        index.search("x", exact=False)
    index.build_approximate()
    assert index.is_approximate
    assert index.search("x", 5, exact=False) == index.search("x", 5, exact=True)


def test_two_open_indexes_do_not_disturb_each_other(index, tmp_path):
    reader = Index.open(tmp_path / "index", random_embedder())
    index.add([{"id": "d1", "text": "zebra"}])
    index.delete(["a1"])
    assert sorted(ids(reader.search("x", 9))) == ["a1", "a2", "b1", "b2", "c1"], "as it was when it was opened"
    reader.add([{"id": "e1", "text": "yak"}])
    assert sorted(ids(reader.search("x", 9))) == ["a2", "b1", "b2", "c1", "d1", "e1"]


def test_info_is_what_json_can_hold(index):
    info = json.loads(json.dumps(index.info()))
    assert info["rows"] == 5
    assert info["dim"] == 8
    assert info["model"] == "by rule"
    assert info["model_fingerprint"] == "0123abcd"
    assert info["metadata"] == {"year": "int64", "topic": "string"}
    assert (info["text_column"], info["id_column"], info["approximate"]) == ("text", "id", False)
    assert info["bytes"] > 1000
    assert "lancedb" in info["versions"]
    assert "5 rows" in repr(index)


def test_progress_is_told_after_each_block(tmp_path, monkeypatch):
    monkeypatch.setattr("likewise.search.rows.BLOCK_ROWS", 40)
    told = []
    rows = [{"text": f"text {i}"} for i in range(100)]
    index = Index.create(tmp_path / "index", random_embedder(), rows, progress=lambda *one: told.append(one))
    assert told == [(40, 100), (80, 100), (100, 100)]
    assert [hit.id for hit in index.get(range(100))] == [str(i) for i in range(100)]


def test_the_real_model_finds_by_meaning(tmp_path, minilm, rows):
    index = Index.create(tmp_path / "index", minilm, rows)
    assert index.search("kennel", 1)[0].id == "a1"
    assert index.search("where can I borrow something to read?", 1)[0].id == "c1"
    again = Index.open(tmp_path / "index")  # loads the model by the name it knows
    assert again.search("kennel", 1) == index.search("kennel", 1)
    assert again.embedder.fingerprint == minilm.fingerprint


def test_the_model_is_found_when_its_folder_moved_with_the_index(tmp_path, minilm, rows):
    (tmp_path / "here").mkdir()
    minilm.save(tmp_path / "here" / "model")
    index = Index.create(tmp_path / "here" / "index", minilm, rows, model=tmp_path / "here" / "model")
    hits = index.search("kennel", 1)
    (tmp_path / "here").rename(tmp_path / "there")
    assert Index.open(tmp_path / "there" / "index").search("kennel", 1) == hits
