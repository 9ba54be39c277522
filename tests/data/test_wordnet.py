"""The reverse dictionary: parsed as written, split so that nothing about a held-out word is trained on."""

import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest

from likewise.data import Column, Text, open_retrieval, open_table, wordnet
from likewise.data.demo import DEMOS, demo_retrieval
from likewise.data.wordnet import ReverseDictionary, Synset, parse_wordnet, reverse_dictionary, word_key
from likewise.errors import InputError

PAIRS = [Column("query", Text), Column("positive", Text)]


def literal(word):
    return f"<LITERAL>{word}<SENSE>0</SENSE><SR>ENG31-1-n<TYPE>DERIVATION_RELATED</TYPE></SR></LITERAL>"


def element(number, words, definition, part="n", instance=False):
    relation = "INSTANCE_HYPERNYM" if instance else "HYPERNYM"
    return (
        f"<SYNSET><ID>ENG31-{number:08}-{part}</ID><SYNONYM>{''.join(map(literal, words))}</SYNONYM><POS>{part}</POS>"
        f"<DEF>{definition}</DEF><SR>ENG31-00000000-n<TYPE>{relation}</TYPE></SR></SYNSET>\n"
    )


@pytest.fixture
def small_file(write):
    """120 synsets of one to three words; every seventh shares a word with another."""
    draw = np.random.default_rng(0)
    elements = []
    for i in range(120):
        words = [f"word {i}.{j}" for j in range(draw.integers(1, 4))]
        if i % 7 == 0:
            words.append(f"word {draw.integers(120)}.0")
        elements.append(element(i, dict.fromkeys(words), f"meaning number {i}", "nvab"[draw.integers(4)], i % 20 == 3))
    return write("wordnet.xml", "<SYNSETS>\n" + "".join(elements) + "</SYNSETS>\n")


@pytest.fixture
def small(small_file):
    return ReverseDictionary(parse_wordnet(small_file), num_test=10, num_dev=5)


def keys_of(synsets):
    return {word_key(word) for synset in synsets for word in synset.words}


def with_synonyms(dictionary, words):
    return keys_of([synset for synset in dictionary.synsets if keys_of([synset]) & words])


def assert_nothing_leaks(dictionary):
    test, dev, train = keys_of(dictionary.test), keys_of(dictionary.dev), keys_of(dictionary.train)
    assert not train & with_synonyms(dictionary, test)
    assert not train & with_synonyms(dictionary, dev)
    assert not dev & with_synonyms(dictionary, test)
    asked = {synset.definition for synset in (*dictionary.test, *dictionary.dev)}
    assert len(asked) == len(dictionary.test) + len(dictionary.dev)
    assert not asked & {synset.definition for synset in dictionary.train}


def test_synsets_are_read_as_they_are_written(write):
    lines = [
        element(1, ["dog house", "Kennel"], "outbuilding that serves as a shelter for a dog"),
        element(2, ["galore(ip)", "much(a)"], "in great &amp; good numbers", "a"),
        element(3, ["Texas"], "a state", instance=True),
    ]
    assert parse_wordnet(write("w.xml", "".join(lines))) == [
        Synset(
            "ENG31-00000001-n",
            ("dog house", "Kennel"),
            "noun",
            "outbuilding that serves as a shelter for a dog",
            False,
        ),
        Synset("ENG31-00000002-a", ("galore", "much"), "adjective", "in great & good numbers", False),
        Synset("ENG31-00000003-n", ("Texas",), "noun", "a state", True),
    ]


def test_a_file_without_synsets_is_refused(write):
    with pytest.raises(InputError, match=r"^w\.xml holds no synset"):
        parse_wordnet(write("w.xml", "<SYNSETS></SYNSETS>"))


def test_no_held_out_word_and_no_synonym_of_one_is_trained_on(small):
    assert (len(small.test), len(small.dev)) == (10, 5)
    assert 60 < len(small.train) < 105
    assert_nothing_leaks(small)


def test_single_persons_and_places_are_not_asked_for(small):
    assert not any(synset.is_instance for synset in (*small.test, *small.dev))
    assert any(synset.is_instance for synset in small.train)


def test_the_draw_depends_on_ids_and_seed_alone(small, small_file):
    synsets = parse_wordnet(small_file)
    again = ReverseDictionary(synsets[::-1], num_test=10, num_dev=5)
    assert {synset.id for synset in again.test} == {synset.id for synset in small.test}
    other = ReverseDictionary(synsets, num_test=10, num_dev=5, seed="another")
    assert {synset.id for synset in other.test} != {synset.id for synset in small.test}


def test_too_few_synsets_are_an_error(small_file):
    with pytest.raises(ValueError, match="too few for 100 to test and 50 dev"):
        ReverseDictionary(parse_wordnet(small_file), num_test=100, num_dev=50)


def test_every_word_is_a_candidate_once(small):
    assert small.words.keys() == keys_of(small.synsets)
    rows = list(small.rows("words"))
    assert [row["text"] for row in rows] == list(small.words.values())
    shared = next(row for row in rows if ";" in row["definitions"])
    assert len(shared["definitions"].split("; ")) > 1


def test_spellings_that_differ_in_case_are_one_candidate():
    synsets = [
        Synset("1", ("Turkey",), "noun", "a land", True),
        Synset("2", ("turkey",), "noun", "a bird", False),
        Synset("3", ("turkey",), "noun", "a flop", False),
    ]
    dictionary = ReverseDictionary(synsets, num_test=0, num_dev=0)
    assert dictionary.words == {"turkey": "turkey"}
    assert next(dictionary.rows("words"))["definitions"] == "a land; a bird; a flop"


def test_all_words_of_a_synset_are_right_answers(small):
    data = small.retrieval("dev")
    assert data.corpus == small.words
    assert data.queries == {synset.id: synset.definition for synset in small.dev}
    assert data.relevant == {synset.id: keys_of([synset]) for synset in small.dev}


@pytest.fixture
def small_demo(small_file, monkeypatch):
    """demo:wordnet made of the small file."""
    monkeypatch.setattr(wordnet, "fetch", lambda asset: small_file)
    monkeypatch.setattr(
        wordnet.ReverseDictionary.__init__, "__kwdefaults__", {"num_test": 10, "num_dev": 5, "seed": "s"}
    )


@pytest.mark.usefixtures("small_demo")
def test_the_demo_opens_as_a_table(cache):
    dictionary = reverse_dictionary()
    table = open_table("demo:wordnet", columns=PAIRS)
    assert [(row["query"], row["positive"]) for row in table] == [
        (synset.definition, word) for synset in dictionary.train for word in synset.words
    ]
    assert table.extra(0) == {
        "part_of_speech": dictionary.train[0].part_of_speech,
        "synset": dictionary.train[0].id,
    }
    assert len(open_table("demo:wordnet:words", columns=[Column("text", Text)])) == len(dictionary.words)
    test = open_table("demo:wordnet:test", columns=[Column("query", Text), Column("positive", Text, many=True)])
    assert [row["positive"] for row in test] == [list(synset.words) for synset in dictionary.test]
    assert open_table("demo:wordnet", columns=PAIRS, streaming=True).stream().__next__() == table[0]


@pytest.mark.usefixtures("small_demo")
def test_the_file_is_parsed_once(small_file):
    first = reverse_dictionary()
    small_file.unlink()
    assert reverse_dictionary().synsets == first.synsets


@pytest.mark.usefixtures("small_demo")
def test_the_demo_opens_as_a_retrieval():
    assert open_retrieval("demo:wordnet").name == "demo:wordnet:test"
    assert open_retrieval("demo:wordnet", split="dev").name == "demo:wordnet:dev"
    assert open_retrieval("demo:wordnet:dev", split="test").name == "demo:wordnet:dev"
    with pytest.raises(InputError, match="unknown held-out part of demo:wordnet 'words'"):
        demo_retrieval("demo:wordnet:words")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("demo:wordnett", r"unknown demo 'wordnett': did you mean 'wordnet'\?"),
        ("demo:wordnet:tset", r"unknown part of demo:wordnet 'tset': did you mean 'test'\?"),
    ],
)
def test_an_unknown_demo_or_part_is_answered_with_the_nearest(source, sentence):
    with pytest.raises(InputError, match=sentence):
        open_table(source, columns=PAIRS)


def test_every_demo_says_what_it_is():
    assert all(demo.about and demo.parts for demo in DEMOS.values())


def test_the_real_wordnet_is_split_as_written_down(real_wordnet):
    assert len(real_wordnet.synsets) == 98_507
    assert (len(real_wordnet.test), len(real_wordnet.dev), len(real_wordnet.train)) == (1000, 500, 81_666)
    assert sum(len(synset.words) for synset in real_wordnet.train) == 126_199
    assert len(real_wordnet.words) == 108_047
    ids = " ".join(synset.id for synset in (*real_wordnet.test, *real_wordnet.dev))
    assert hashlib.sha256(ids.encode()).hexdigest()[:16] == "a55a54c3c5b6f08a"
    assert_nothing_leaks(real_wordnet)


def test_the_real_wordnet_knows_a_kennel(real_wordnet):
    kennel = next(row for row in real_wordnet.rows("words") if row["text"] == "kennel")
    assert "outbuilding that serves as a shelter for a dog" in kennel["definitions"].split("; ")
    assert word_key("kennel") in real_wordnet.words


def test_the_parsed_file_is_stored_whole(real_wordnet, tmp_path):
    wordnet._store(real_wordnet.synsets[:50], tmp_path / "stored.parquet")
    assert pq.read_metadata(tmp_path / "stored.parquet").num_rows == 50


@pytest.mark.usefixtures("small_demo")
def test_the_demo_opens_as_a_dictionary_of_the_words_that_are_trained_on():
    dictionary = reverse_dictionary()
    columns = [Column("entry", Text), Column("definition", Text, many=True)]
    found = {row["entry"]: set(row["definition"]) for row in open_table("demo:wordnet:dictionary", columns=columns)}
    expected: dict = {}
    for synset in dictionary.train:
        for word in synset.words:
            expected.setdefault(word, set()).add(synset.definition)
    assert found == expected
    assert not found.keys() & {word for synset in dictionary.test for word in synset.words}
