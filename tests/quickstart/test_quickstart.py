"""The quickstart on a small piece of the real WordNet: everything it promises, but for the size."""

import json

import pytest

from likewise.cli import main
from likewise.data import demo
from likewise.data.wordnet import ReverseDictionary, reverse_dictionary
from likewise.quickstart import EXAMPLES, METRICS

KENNEL = {"kennel", "doghouse", "dog house"}


@pytest.fixture
def small_wordnet(monkeypatch, tmp_path):
    """Every fifteenth synset of WordNet, and the kennel."""
    whole = reverse_dictionary()
    kept = [s for i, s in enumerate(whole.synsets) if i % 15 == 0 or "kennel" in s.words]
    small = ReverseDictionary(kept, num_test=60, num_dev=30)
    monkeypatch.setenv("LIKEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "reverse_dictionary", lambda: small)
    return small


def run(capfd, *words):
    with pytest.raises(SystemExit) as end:
        main(["quickstart", *map(str, words)])
    captured = capfd.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


@pytest.mark.usefixtures("small_wordnet")
def test_the_first_five_minutes(capfd, tmp_path, monkeypatch, browse):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capfd, "--steps", 8, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert made.keys() >= {"before", "after", "seconds", "model", "index", "report"}
    assert made["before"].keys() == made["after"].keys() == set(METRICS)
    assert made["after"]["mrr@10"] > made["before"]["mrr@10"]
    assert made["queries"].keys() == set(EXAMPLES)
    assert KENNEL & {hit["text"] for hit in made["queries"][EXAMPLES[0]]}
    assert "before: mrr@10" in err or "before: recall@1" in err

    report = browse(tmp_path / made["report"])
    report.assert_sound()
    text = report.page.locator("body").inner_text()
    for piece in (
        "before",
        "after",
        f"{made['after']['mrr@10']:.3f}",
        "dog house",
        "effective rank",
        "likewise search",
    ):
        assert piece in text

    found = _search(capfd, made["index"], "an outbuilding where a dog sleeps")
    assert KENNEL & {hit["text"] for hit in found}

    code, out, err = run(capfd, "--out", "quickstart")
    assert code == 1
    assert "quickstart exists" in err


def _search(capfd, index, query):
    with pytest.raises(SystemExit):
        main(["search", index, query, "--json"])
    return json.loads(capfd.readouterr().out)
