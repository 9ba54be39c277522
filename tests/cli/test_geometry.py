"""``likewise geometry``: from a file to figures, findings and one sentence where something cannot be used."""

import json

import pytest

from likewise.geometry import FIGURES

MODEL = "all-MiniLM-L6-v2"
THINGS = [
    "dog",
    "train",
    "loaf",
    "phone",
    "garden",
    "window",
    "tower",
    "boat",
    "lamp",
    "river",
    "museum",
    "pen",
    "bridge",
    "kitten",
    "invoice",
    "password",
    "ticket",
    "coat",
    "mountain",
    "song",
    "shoe",
    "doctor",
    "star",
    "letter",
]


@pytest.fixture
def faq(tmp_path):
    path = tmp_path / "faq.jsonl"
    rows = [{"question": f"where do I find a {x}", "answer": f"the {x} is in room {i}", "topic": i % 3}
            for i, x in enumerate(THINGS)]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


PAIRS = ("--columns", "query=question", "positive=answer")


def refused(ran, *says: str, code: int = 1) -> None:
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    (line,) = [line for line in ran.err.strip().splitlines() if line.startswith("likewise: ")]
    for text in says:
        assert text in line


def test_pairs_with_classes_are_one_json_document(likewise, faq):
    done = likewise("geometry", MODEL, "--data", faq, *PAIRS, "label=topic", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["columns"] == ["query", "positive"]
    assert found["figures"].keys() == FIGURES.keys()
    assert found["figures"]["rows"] == len(THINGS)
    assert found["figures"]["same_label_negatives"] == pytest.approx(3 * 8 * 7 / (24 * 23))
    assert found["figures"]["temperature"] == 0.05
    assert "names none" in found["temperature_from"]
    assert sum(found["histograms"]["positives"]["counts"]) == len(THINGS)
    assert found["findings"] == []
    assert len(found["spectrum"]) == len(THINGS)


def test_people_get_a_table_of_meanings_and_the_findings_at_the_end(likewise, faq, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = likewise("geometry", MODEL, "--data", faq, *PAIRS, "--temperature", 0.1)
    assert shown.code == 0, shown.err
    words = shown.out.split()
    assert {"effective_rank", "negatives_above_positive", "effective_negatives_share"} <= set(words)  # none is cut
    assert "temperature 0.1 (--temperature)" in " ".join(words)
    assert shown.out.strip().splitlines()[-1] == "nothing to warn of"
    (tmp_path / "same.txt").write_text("\n".join(["one text, again and again"] * 30))
    warned = likewise("geometry", MODEL, "--data", "same.txt")
    assert warned.code == 0, warned.err
    assert warned.out.strip().splitlines()[-1].startswith("warning: mean cosine 1.000 between any two rows")
    assert "alignment" not in warned.out


def test_the_temperature_is_that_of_the_models_run(likewise, faq):
    train = ("train", "pairs", "--data", faq, *PAIRS, "--encoder-layers", 1, "--steps", 2, "--batch-size", 8)
    likewise(*train, "--out", "fixed", "--temperature", 0.2)
    found = likewise("geometry", "fixed", "--data", faq, *PAIRS, "--json").json
    assert found["figures"]["temperature"] == 0.2
    assert found["temperature_from"] == "that of the model's run"
    likewise(*train, "--out", "learned", "--temperature", 0.2, "--learn-temperature", "--lr", 0.1, "--warmup", 0)
    learned = likewise("geometry", "learned", "--data", faq, *PAIRS, "--json").json["figures"]["temperature"]
    assert learned != 0.2
    assert learned == pytest.approx(0.2, rel=0.5)


def test_a_sample_is_drawn_by_the_seed(likewise, faq):
    def figures(seed):
        words = ("--columns", "text=answer", "--max-rows", 12, "--seed", seed, "--json")
        return likewise("geometry", MODEL, "--data", faq, *words).json["figures"]

    assert figures(0) == figures(0)
    assert figures(0)["rows"] == 12
    assert figures(0)["mean_cosine"] != figures(1)["mean_cosine"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--tempreature", 1), "--temperature"),
        (("--max-rows", "many"), "--max-rows"),
    ],
)
def test_a_typo_is_answered_with_the_right_word(likewise, faq, words, says):
    refused(likewise("geometry", MODEL, "--data", faq, *words), says, code=2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "columns question, answer, topic; a column text or image, or query and positive, is needed"),
        (("--columns", "query=question"), "is needed. Say which is which with --columns"),
        (("--columns", "text=anwser"), "'answer'"),
        (("--columns", "txt=answer"), "did you mean 'text'?"),
        ((*PAIRS, "--temperature", 0), "--temperature is 0"),
        ((*PAIRS, "--max-rows", 3), "--max-rows is 3"),
        ((*PAIRS, "label=question"), "class 'where do I find a dog' has one row (24 of 24 classes do)"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(likewise, faq, words, says):
    refused(likewise("geometry", MODEL, "--data", faq, *words), says)


def test_too_few_rows_and_broken_rows_are_named(likewise, faq, tmp_path):
    lines = faq.read_text().splitlines()
    (tmp_path / "few.jsonl").write_text("\n".join(lines[:9]))
    refused(likewise("geometry", MODEL, "--data", "few.jsonl", *PAIRS), "few.jsonl has 9 rows", "from 10 rows on")
    (tmp_path / "cut.jsonl").write_text("\n".join([*lines[:11], lines[11][:20], *lines[12:]]))
    refused(likewise("geometry", MODEL, "--data", "cut.jsonl", *PAIRS), "cut.jsonl", "row 12")
    done = likewise("geometry", MODEL, "--data", "cut.jsonl", *PAIRS, "--bad-rows", "skip", "--json")
    assert done.json["figures"]["rows"] == len(THINGS) - 1
    lacking = json.dumps({"question": "no answer", "topic": 1})
    (tmp_path / "lacking.jsonl").write_text("\n".join([*lines, lacking]))
    refused(
        likewise("geometry", MODEL, "--data", "lacking.jsonl", *PAIRS),
        "lacking.jsonl, row 25: column 'answer' is missing",
    )
    refused(likewise("geometry", "nowhere", "--data", faq, *PAIRS), "nowhere")
