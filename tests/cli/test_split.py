"""``likewise split`` on real words: what is written, what is said, and the command that split.json keeps."""

import json
import shlex
from collections import Counter

import pyarrow.parquet as pq


def test_a_split_is_made_and_made_again_by_the_command_it_keeps(likewise, tmp_path):
    done = likewise(
        "split", "demo:digits", "--out", "s", "--imbalance", "20", "--min-rows", "6", "--known", "0,1,2",
        "--per-class", "4", "--test-share", "0", "--order", "drawn", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    kept = json.loads((tmp_path / "s/split.json").read_text())
    assert done.json == {"out": "s", **kept}
    train = pq.read_table(tmp_path / "s/train.parquet")
    counts = Counter(train.column("true_label").to_pylist())
    assert (max(counts.values()), min(counts.values())) == (max(kept["classes"][one]["train"] for one in counts), 7)
    assert Counter(train.column("label").to_pylist()) == {"0": 4, "1": 4, "2": 4, None: counts.total() - 12}
    again = likewise(*shlex.split(kept["command"].replace("--out s", "--out t"))[1:])
    assert again.code == 0, again.err
    assert pq.read_table(tmp_path / "t/train.parquet").equals(train)
    assert "labelled" in again.out


def test_what_cannot_be_split_is_one_sentence(likewise):
    done = likewise("split", "demo:digits", "--out", "s", "--known", "nine")
    assert (done.code, done.err.startswith("likewise: unknown class in known 'nine'")) == (1, True)
