"""Splits: which rows are drawn, that draws are nested and seeded, and what is written."""

import json
import math
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import likewise
from likewise.data import (
    Column,
    Image,
    Label,
    SplitPlan,
    StoredImage,
    Text,
    few_labels,
    hold_out,
    long_tailed,
    open_table,
    open_world,
    split,
)
from likewise.data.splits import drawn_order
from likewise.errors import InputError, RunError

labels_of_rows = st.lists(st.sampled_from(["a", "b", "10", "9"]), min_size=1, max_size=60)
seeds = st.integers(0, 3)


def rows_of(labels, chosen):
    return Counter(labels[i] for i in chosen.tolist())


@given(labels=labels_of_rows, share=st.floats(0.01, 0.99), seed=seeds)
def test_every_class_of_two_rows_is_on_both_sides(labels, share, seed):
    train, test = hold_out(labels, share, seed=seed)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(labels)))
    for name, count in Counter(labels).items():
        held = rows_of(labels, test)[name]
        assert held == (0 if count == 1 else min(max(round(share * count), 1), count - 1))
    again, _ = hold_out(labels, share, seed=seed)
    assert np.array_equal(train, again)
    assert not len(hold_out(labels, 0, seed=seed)[1])


@given(
    labels=labels_of_rows.filter(lambda labels: len(set(labels)) > 1),
    imbalance=st.floats(1, 1000),
    min_rows=st.integers(1, 5),
    head_rows=st.none() | st.integers(1, 30),
    seed=seeds,
)
def test_a_long_tail_falls_off_exponentially(labels, imbalance, min_rows, head_rows, seed):
    kept = long_tailed(labels, imbalance, min_rows=min_rows, head_rows=head_rows, seed=seed)
    counts = Counter(labels)
    classes = [name for name in ("9", "10", "a", "b") if name in counts]
    for place, name in enumerate(classes):
        wanted = (head_rows or max(counts.values())) / imbalance ** (place / (len(classes) - 1))
        assert rows_of(labels, kept)[name] == min(counts[name], max(math.floor(wanted + 1e-9), min_rows))
    assert kept.tolist() == sorted(set(kept.tolist()))


@given(labels=labels_of_rows.filter(lambda labels: len(set(labels)) > 1), seed=seeds)
def test_draws_are_nested(labels, seed):
    tails = [set(long_tailed(labels, imbalance, seed=seed).tolist()) for imbalance in (100, 10, 2)]
    assert tails[0] <= tails[1] <= tails[2]
    few = [set(few_labels(labels, per_class=number, seed=seed).tolist()) for number in (1, 2, 8)]
    assert few[0] <= few[1] <= few[2]
    share = few_labels(labels, share=0.5, seed=seed)
    assert rows_of(labels, share) == {n: max(round(c / 2), 1) for n, c in Counter(labels).items()}


@given(labels=labels_of_rows, number=st.integers(1, 4), seed=seeds)
def test_only_known_classes_keep_labels(labels, number, seed):
    classes = [name for name in ("9", "10", "a", "b") if name in labels]
    number = min(number, len(classes))
    shown = open_world(labels, number, per_class=2, seed=seed)
    assert rows_of(labels, shown) == {name: min(2, labels.count(name)) for name in classes[:number]}
    assert np.array_equal(shown, open_world(labels, classes[:number][::-1], per_class=2, seed=seed))


def test_the_classes_of_a_tail_are_in_the_order_that_is_asked_for():
    labels = [str(i % 4) for i in range(400)]

    def sizes(**how):
        counts = rows_of(labels, long_tailed(labels, 1000, **how))
        return [counts[str(one)] for one in range(4)]

    assert sizes() == [100, 10, 1, 1]
    assert sizes(order=["2", "0", "3", "1"]) == [10, 1, 100, 1]
    assert sizes(head_rows=1000, min_rows=3) == [100, 100, 10, 3]
    drawn = [sizes(order="drawn", seed=seed) for seed in range(6)]
    assert {tuple(sorted(one)) for one in drawn} == {(1, 1, 10, 100)}
    assert len(set(map(tuple, drawn))) > 2


def test_the_published_sizes_of_long_tailed_cifar_10():
    """img_num_list of the official code for 10 classes of 5,000, imbalance 100 (richardaecn/class-balanced-loss)."""
    labels = [str(i % 10) for i in range(50_000)]
    counts = rows_of(labels, long_tailed(labels, 100))
    assert [counts[str(one)] for one in range(10)] == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def test_a_linear_tail_falls_off_in_equal_steps():
    """CACR's imbalanced sets: class c of C keeps (c + 1) / C of its rows."""
    labels = [str(i % 10) for i in range(1000)]
    upwards = [str(one) for one in reversed(range(10))]
    counts = rows_of(labels, long_tailed(labels, 10, order=upwards, decline="linear"))
    assert [counts[str(one)] for one in range(10)] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


def test_an_order_is_the_same_for_ever():
    assert drawn_order(range(8), "seed") == [3, 0, 6, 2, 1, 7, 4, 5]
    assert hold_out(["x"] * 10, 0.3)[1].tolist() == [1, 3, 8]


@pytest.fixture
def rows():
    return [
        {
            "image": np.full((2, 2), i, dtype=np.uint8),
            "species": "cat" if i % 2 else "dog",
            "tags": [str(i)],
            "any": i or "zero",
        }
        for i in range(40)
    ]


def test_a_split_is_written_as_tables_that_are_read_again(rows, tmp_path):
    made = split(
        rows, out=tmp_path / "s", rename={"label": "species"}, test_share=0.25, imbalance=3, known=["dog"], seed=5
    )
    hidden = [Column("image", Image), Column("label", Label, required=False), Column("true_label", Label)]
    train = open_table(tmp_path / "s/train.parquet", columns=hidden)
    test = open_table(tmp_path / "s/test.parquet", columns=[Column("image", Image), Column("label", Label)])
    assert [row["label"] for row in train] == made.labels
    assert Counter(made.labels) == {None: 15, "dog": 5}
    assert Counter(row["true_label"] for row in train) == Counter(cat=15, dog=5)
    assert Counter(row["label"] for row in test) == Counter(cat=5, dog=5)
    for table, numbers in ((train, made.train), (test, made.test)):
        assert [row["image"].open().getpixel((0, 0)) for row in table] == numbers.tolist()
        assert [one["source_row"] for one in table.extras(range(len(table)))] == numbers.tolist()
        assert [one["tags"] for one in table.extras(range(len(table)))] == [f'["{i}"]' for i in numbers]
    how = json.loads((tmp_path / "s/split.json").read_text())
    assert how["settings"] == {"test_share": 0.25, "imbalance": 3, "known": ["dog"], "seed": 5}
    assert how["classes"] == {
        "cat": {"before": 20, "train": 15, "labelled": 0, "test": 5},
        "dog": {"before": 20, "train": 5, "labelled": 5, "test": 5},
    }
    assert how["rows"] == {"before": 40, "train": 20, "labelled": 5, "test": 10}
    assert (how["known"], how["command"], how["fingerprint"]) == (["dog"], None, made.table.fingerprint)
    assert {"numpy", "pyarrow", "likewise"} <= how["versions"].keys()


def test_pictures_in_files_stay_where_they_are(write, tmp_path):
    for i in range(4):
        write(f"pets/{'cat' if i % 2 else 'dog'}/{i}.png", StoredImage.of(np.full((2, 2), i, dtype=np.uint8)).data)
    made = likewise.split(tmp_path / "pets", out=tmp_path / "s", test_share=0)
    stored = pq.read_table(tmp_path / "s/train.parquet")
    assert [one["bytes"] for one in stored.column("image").to_pylist()] == [None] * 4
    assert stored.column("file").to_pylist() == ["cat/1.png", "cat/3.png", "dog/0.png", "dog/2.png"]
    assert not (tmp_path / "s/test.parquet").exists()
    assert made.how["command"] == f"likewise split {tmp_path}/pets --out {tmp_path}/s --test-share 0"


def test_a_seed_gives_one_split_of_one_file_and_another_of_other_orders(rows):
    def held(given, seed):
        made = split(given, rename={"label": "species"}, seed=seed)
        return {made.table[i]["image"].open().getpixel((0, 0)) for i in made.test.tolist()}

    assert held(rows, 0) == held(rows, 0) != held(rows, 1)
    assert held(rows, 0) != held(rows[::-1], 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test_share": 1}, "test_share is 1; a share from 0 (no test) to below 1 is accepted, as 0.2."),
        ({"imbalance": 0.5}, "imbalance is 0.5; a number from 1 on is accepted (usual: 10, 50, 100)."),
        ({"imbalance": math.nan}, "imbalance is nan; a number from 1 on is accepted (usual: 10, 50, 100)."),
        ({"imbalance": 2, "min_rows": 0}, "min_rows is 0; a number from 1 on is accepted."),
        ({"imbalance": 2, "head_rows": -1}, "head_rows is -1; a number from 1 on is accepted."),
        (
            {"min_rows": 2},
            "head_rows, min_rows, order and decline say how a long tail falls off, and there is none; give",
        ),
        ({"decline": "linear"}, "head_rows, min_rows, order and decline say how a long tail falls off"),
        ({"imbalance": 2, "decline": "linaer"}, "unknown decline 'linaer': did you mean 'linear'?"),
        ({"imbalance": 2, "order": "size"}, "order is 'size'; 'sorted', 'drawn' or a list of all classes is accepted."),
        ({"imbalance": 2, "order": ["cat"]}, "order lacks 'dog'; each of the 2 classes is needed once."),
        ({"imbalance": 2, "order": ["cat", "dog", "cat"]}, "order names a class twice; each of the 2 classes"),
        ({"imbalance": 2, "order": ["cat", "dot"]}, "unknown class in order 'dot': did you mean 'dog'?"),
        ({"labelled_share": 0}, "labelled_share is 0; a share above 0 and up to 1 is accepted, as 0.1."),
        ({"per_class": 0}, "per_class is 0; a number from 1 on is accepted."),
        ({"per_class": 2, "labelled_share": 0.1}, "labelled_share 0.1 and per_class 2 both say how many labels stay"),
        ({"known": 3}, "known is 3; a number from 1 to 2 (all classes) is accepted."),
        ({"known": ["cow"]}, "unknown class in known 'cow'"),
        ({"known": []}, "known is empty; at least one class is needed."),
        ({"seed": -1}, "seed is -1; a number from 0 on is accepted."),
    ],
)
def test_settings_that_make_no_sense_are_one_sentence(rows, tmp_path, settings, message):
    with pytest.raises(InputError) as caught:
        split(rows, out=tmp_path / "s", rename={"label": "species"}, **settings)
    assert str(caught.value).startswith(message)
    assert not list(tmp_path.iterdir())


def test_one_class_has_no_tail(rows):
    with pytest.raises(InputError, match="all rows have the label 'cat'; a long tail needs at least 2 classes"):
        split(rows[1::2], rename={"label": "species"}, imbalance=10)
    with pytest.raises(TypeError, match="not both"):
        split(rows, plan=SplitPlan(), seed=1)


def test_a_folder_that_is_there_is_left_alone(rows, write, tmp_path):
    write("s/notes.txt", "mine")
    with pytest.raises(InputError, match=r"s exists; give another folder, or remove it first\."):
        split(rows, out=tmp_path / "s", rename={"label": "species"})
    assert [one.name for one in (tmp_path / "s").iterdir()] == ["notes.txt"]
    write("file", "x")
    with pytest.raises(RunError, match=r"cannot be written \(.*\); make room, or give another folder\."):
        split(rows, out=tmp_path / "file" / "s", rename={"label": "species"})


def test_a_stop_while_writing_leaves_nothing(rows, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("likewise.data.table.Table.arrow", stopped)
    with pytest.raises(KeyboardInterrupt):
        split(rows, out=tmp_path / "s", rename={"label": "species"})
    assert not list(tmp_path.iterdir())


def test_metadata_of_bytes_are_kept_as_they_are(tmp_path):
    made = open_table([{"text": "a", "mask": b"\x00\xff"}, {"text": "b"}], columns=[Column("text", Text)])
    assert [one["mask"] for one in made.extras([0, 1])] == [b"\x00\xff", None]
