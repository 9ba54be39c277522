"""Whatever is wrong is one clear sentence on stderr, a code that is not zero, and nothing lost."""

import gzip
import json

import pytest

TRAIN = ("train", "pairs", "--out", "run", "--steps", 2, "--encoder-layers", 1, "--batch-size", 4)


def refused(ran, *says: str, code: int = 1) -> None:
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    lines = [line for line in ran.err.strip().splitlines() if line.startswith("likewise: ")]
    assert len(lines) == 1
    for text in says:
        assert text in lines[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("serch",), "Did you mean 'search'?"),
        (("train", "simsce", "--out", "x"), "Did you mean 'simcse', 'esimcse', 'simclr'? See `likewise train --help`."),
        (("train", "simcse", "--out", "x", "--temprature", 1), "--temperature"),
        (("train", "simcse", "--data", "x.txt"), "--out"),
        (("train", "simcse", "--out", "x", "--batch-size", "many"), "--batch-size"),
        (("train", "simcse", "--out", "x", "--columns"), "--columns"),
        (("evaluate", "m", "--task", "retreival", "--data", "x"), "retrieval"),
        (("search", "idx"), "QUERY"),
    ],
)
def test_wrong_words_are_answered_with_the_right_ones(likewise, words, says):
    refused(likewise(*words), says, code=2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--temperature", 0), "temperature"),
        (("--batch-size", 1), "batch_size is 1"),
        (("--lr", -1), "lr is -1"),
        (("--encoder", "all-MiniLM-L6-v3"), "did you mean 'all-MiniLM-L6-v2'?"),
        (("--encoder-layers", 9), "keep 1 to 6"),
        (("--columns", "query"), "is not OURS=THEIRS"),
        (("--columns", "query=question", "positive=anwser"), "'answer'"),
        (("--config", "none.yaml"), "none.yaml does not exist"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(likewise, pairs_file, options, says):
    columns = () if "--columns" in options else ("--columns", "query=question", "positive=answer")
    refused(likewise(*TRAIN, "--data", pairs_file, *columns, *options), says)


def test_a_column_that_is_missing_names_the_nearest_and_the_way_out(likewise, pairs_file):
    refused(likewise(*TRAIN, "--data", pairs_file), "query", "--columns")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"query": "a", "positive": "b"}\n{"query": "c"}\n', "row 2"),
        ('{"query": "a", "positive": "b"}\n{"query": "c", "positive": " "}\n', "is empty"),
        ('{"query": "a", "positive": "b"}\n{"query": "c", "positive": 3}\n', "row 2"),
        ('{"query": "a", "positive": "b"}\n{"query": "c", \n', "row 2"),
        ("", "empty"),
    ],
)
def test_a_bad_row_is_named_with_file_row_and_reason(likewise, tmp_path, content, says):
    (tmp_path / "bad.jsonl").write_text(content)
    refused(likewise(*TRAIN, "--data", "bad.jsonl"), "bad.jsonl", says)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("how", [(), ("--streaming",)])
def test_triples_of_which_some_lack_the_third_are_refused_before_training(likewise, tmp_path, how):
    rows = [{"text": f"a {i}", "positive": f"b {i}", "negative": f"c {i}"} for i in range(8)]
    del rows[5]["negative"]
    (tmp_path / "nli.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("train", "simcse", "--supervised", "--data", "nli.jsonl", "--out", "run", "--steps", 2)
    refused(likewise(*words, *how), "nli.jsonl, row 6: column 'negative' is missing, but the rows before have it")
    assert not (tmp_path / "run").exists()


def test_invalid_utf8_is_named(likewise, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"good line\nbad \xff line\n")
    refused(likewise("train", "simcse", "--data", "bad.txt", "--out", "run"), "bad.txt", "row 2", "UTF-8")


def test_broken_files_are_named(likewise, tmp_path):
    whole = gzip.compress(b'{"query": "a", "positive": "b"}\n' * 5000)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    refused(likewise(*TRAIN, "--data", "cut.jsonl.gz"), "cut.jsonl.gz")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 nothing more")
    refused(likewise(*TRAIN, "--data", "cut.parquet"), "cut.parquet")
    (tmp_path / "data.xls").write_text("x")
    refused(likewise(*TRAIN, "--data", "data.xls"), "data.xls")
    refused(likewise(*TRAIN, "--data", "none.jsonl"), "none.jsonl")


def test_bad_rows_are_skipped_only_when_asked_and_written_down(likewise, tmp_path):
    rows = [{"query": f"q {i}", "positive": f"p {i}"} for i in range(8)] + [{"query": "", "positive": "x"}]
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = likewise(*TRAIN, "--data", "some.jsonl", "--bad-rows", "skip")
    assert done.code == 0, done.err
    (rejected,) = [json.loads(line) for line in (tmp_path / "run/rejected.jsonl").read_text().splitlines()]
    assert rejected["row"] == 9
    assert "empty" in rejected["reason"]


def test_evaluation_says_the_same_of_bad_rows_and_skips_them_when_asked(likewise, tmp_path):
    rows = ["score\tsentence1\tsentence2", "5\ta dog\ta dog", "0\ta dog\ta price", "3\ta cat\ta dog", "x\ta\tb"]
    (tmp_path / "sts.tsv").write_text("\n".join(rows))
    words = ("evaluate", "all-MiniLM-L6-v2", "--task", "similarity", "--data", "sts.tsv")
    refused(likewise(*words), "sts.tsv", "row 4", "--bad-rows skip")
    assert likewise(*words, "--bad-rows", "skip", "--json").json["num_items"] == 3


def test_what_is_there_is_not_written_over(likewise, pairs_file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    refused(likewise(*TRAIN, "--data", pairs_file), "run exists and is not empty")
    (tmp_path / "v.npy").write_text("mine")
    refused(likewise("encode", "all-MiniLM-L6-v2", "--data", pairs_file, "--out", "v.npy"), "v.npy exists")
    refused(likewise("encode", "all-MiniLM-L6-v2", "--data", pairs_file, "--out", "v.docx"), "must end in")
    refused(likewise("quickstart", "--out", "run"), "run exists")
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"


def test_a_folder_that_is_no_model_is_named(likewise, pairs_file, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(likewise("encode", "empty", "--data", pairs_file, "--columns", "text=answer", "--out", "v.npy"), "no")
    refused(
        likewise("encode", "nowhere", "--data", pairs_file, "--columns", "text=answer", "--out", "v.npy"), "nowhere"
    )


def test_an_unfinished_run_says_how_far_it_is(likewise, pairs_file, tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.yaml").write_text("method: pairs\n")
    refused(likewise("search", "half", "x"), "half")
    refused(
        likewise("evaluate", "half", "--task", "retrieval", "--data", pairs_file,
                 "--columns", "query=question", "positive=answer"),
        "a run that has not finished", "--resume",
    )  # fmt: skip


def test_an_index_is_searched_with_the_model_that_made_it(likewise, pairs_file, tmp_path):
    likewise("train", "pairs", "--out", "one", "--data", pairs_file, "--columns", "query=question", "positive=answer",
             "--steps", 1, "--encoder-layers", 1, "--batch-size", 4)  # fmt: skip
    likewise("index", "one", "--data", pairs_file, "--text-column", "answer", "--out", "idx")
    refused(likewise("search", "idx", "password", "--model", "all-MiniLM-L6-v2"), "one")


def test_debug_shows_the_traceback(likewise):
    shown = likewise("encode", "nowhere", "--data", "none.txt", "--out", "v.npy", "--debug")
    assert shown.code == 1
    assert "Traceback" in shown.err
