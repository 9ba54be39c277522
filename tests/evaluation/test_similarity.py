"""Similarity against scipy, by file, and on the real model."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from likewise.data import open_table
from likewise.errors import InputError
from likewise.evaluation import SIMILARITY_COLUMNS, similarity


def angle(text: str) -> list[float]:
    """A unit vector at as many degrees as the text says."""
    radians = math.radians(float(text.removeprefix("at ")))
    return [math.cos(radians), math.sin(radians)]


def pairs(*angles: tuple[float, float, float]) -> list[dict]:
    return [{"score": score, "sentence1": f"at {a}", "sentence2": f"at {b}"} for score, a, b in angles]


ROWS = pairs((5, 0, 10), (3, 0, 60), (4, 20, 50), (0, 0, 170), (1, 90, 180), (3, 10, 60))


def cosines(rows) -> list[float]:
    return [math.cos(math.radians(float(row["sentence1"][3:]) - float(row["sentence2"][3:]))) for row in rows]


def test_the_correlations_are_those_of_scipy(by_rule):
    embedder = by_rule(2, angle)
    result = similarity(embedder, ROWS)
    gold = [row["score"] for row in ROWS]
    assert result.metrics["spearman"] == pytest.approx(stats.spearmanr(gold, cosines(ROWS)).statistic, abs=1e-6)
    assert result.metrics["pearson"] == pytest.approx(stats.pearsonr(gold, cosines(ROWS)).statistic, abs=1e-6)
    assert result.num_items == 6
    assert result.items == "pairs"
    for name, (low, high) in result.intervals.items():
        assert -1 <= low <= result.metrics[name] <= high <= 1
    (role, texts) = embedder.asked[0]
    assert role is None
    assert len(texts) == len(set(texts)), "a text that occurs twice is encoded once"
    json.dumps(result.as_dict(), allow_nan=False)


def test_vectors_need_not_have_unit_norm_and_any_scale_of_scores_will_do(by_rule):
    long = by_rule(2, lambda text: [float(len(text)) * x for x in angle(text)])
    other_scale = [{**row, "score": row["score"] * 7 - 100} for row in ROWS]
    plain, changed = similarity(by_rule(2, angle), ROWS), similarity(long, other_scale)
    assert changed.metrics == pytest.approx(plain.metrics, abs=1e-6)


def test_several_files_give_one_figure_each_and_their_mean(by_rule, tmp_path):
    other = pairs((1, 0, 10), (2, 0, 60), (3, 20, 50), (4, 0, 170))
    for name, rows in {"first.tsv": ROWS, "second.tsv": other}.items():
        lines = [f"{row['score']}\t{row['sentence1']}\t{row['sentence2']}" for row in rows]
        (tmp_path / name).write_text("score\tsentence1\tsentence2\n" + "\n".join(lines) + "\n")
    embedder = by_rule(2, angle)
    result = similarity(embedder, tmp_path)
    assert list(result.parts) == ["first.tsv", "second.tsv"]
    assert [part.num_items for part in result.parts.values()] == [6, 4]
    for name in ("spearman", "pearson"):
        parts = [part.metrics[name] for part in result.parts.values()]
        assert result.metrics[name] == pytest.approx(np.mean(parts))
        low, high = result.intervals[name]
        assert low <= result.metrics[name] <= high
    assert result.parts["first.tsv"].metrics == pytest.approx(similarity(embedder, ROWS).metrics)
    assert (result.num_items, result.items) == (2, "files")
    by_name = similarity(embedder, {"first.tsv": tmp_path / "first.tsv", "second.tsv": tmp_path / "second.tsv"})
    assert by_name == result
    alone = similarity(embedder, tmp_path / "first.tsv")
    assert alone == result.parts["first.tsv"]
    assert alone.parts == {}


def test_a_file_with_other_names_is_renamed(by_rule, tmp_path):
    lines = [f"{row['score']}\t{row['sentence1']}\t{row['sentence2']}" for row in ROWS]
    path = tmp_path / "sts.tsv"
    path.write_text("label\ta\tb\n" + "\n".join(lines) + "\n")
    rename = {"score": "label", "sentence1": "a", "sentence2": "b"}
    assert similarity(by_rule(2, angle), path, rename=rename).metrics == similarity(by_rule(2, angle), ROWS).metrics


def test_the_seed_decides_the_intervals_and_zero_leaves_them_out(by_rule):
    embedder = by_rule(2, angle)
    assert similarity(embedder, ROWS, seed=3).intervals == similarity(embedder, ROWS, seed=3).intervals
    assert similarity(embedder, ROWS, seed=3).intervals != similarity(embedder, ROWS, seed=4).intervals
    assert similarity(embedder, ROWS, bootstrap=0).intervals == {}


def test_equal_data_have_equal_fingerprints(by_rule):
    embedder = by_rule(2, angle)
    table = open_table(ROWS, columns=SIMILARITY_COLUMNS)
    assert similarity(embedder, table).data_fingerprint == similarity(embedder, ROWS).data_fingerprint
    assert similarity(embedder, ROWS[:-1]).data_fingerprint != table.fingerprint


def test_the_real_model_agrees_with_people(minilm):
    rows = [
        {"score": 5, "sentence1": "A man is playing a guitar.", "sentence2": "A man plays the guitar."},
        {"score": 3.5, "sentence1": "A dog runs in the park.", "sentence2": "An animal is running outside."},
        {"score": 2, "sentence1": "A woman slices an onion.", "sentence2": "A woman washes a car."},
        {"score": 0, "sentence1": "The stock market fell today.", "sentence2": "A cat sleeps on the sofa."},
    ]
    assert similarity(minilm, rows).metrics["spearman"] > 0.99


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS[:2], "has 2 pairs; a correlation needs at least 3"),
        ([{**row, "score": 2.5} for row in ROWS], r"all 6 scores are equal \(2.5\)"),
        (pairs((1, 0, 10), (2, 20, 30), (3, 40, 50)), r"every pair the same cosine \(0.9848\)"),
        ([*ROWS, {"score": math.nan, "sentence1": "a", "sentence2": "b"}], "not finite"),
        ([{"score": 1, "sentence1": "a"}], "sentence2"),
        ({}, "no similarity set"),
    ],
)
def test_what_cannot_be_measured_is_said(by_rule, rows, words):
    with pytest.raises(InputError, match=words):
        similarity(by_rule(2, angle), rows)


def test_a_vector_without_a_direction_is_said(by_rule):
    def rule(text):
        return [0.0, 0.0] if text == "at 50" else angle(text)

    with pytest.raises(InputError, match="the vector of 'at 50' is zero or not finite"):
        similarity(by_rule(2, rule), ROWS)


def test_a_table_without_the_columns_is_said(by_rule):
    from likewise.data import Column, Text

    table = open_table([{"text": "a"}], columns=[Column("text", Text)])
    with pytest.raises(InputError, match="has no column 'score'"):
        similarity(by_rule(2, angle), table)


def drawn(num_items: int, replicates: int, *seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, num_items, num_items) for _ in range(replicates)]


def test_models_share_the_draws_so_that_the_difference_of_replicates_is_the_paired_bootstrap(by_rule):
    other = by_rule(2, lambda text: angle(f"at {float(text[3:]) ** 1.1}"))
    a, b = (similarity(model, ROWS, bootstrap=40, seed=2) for model in (by_rule(2, angle), other))
    gold = np.array([row["score"] for row in ROWS])
    cosine = np.array(cosines(ROWS))
    bent = np.array([math.cos(math.radians(float(r["sentence1"][3:]) ** 1.1 - float(r["sentence2"][3:]) ** 1.1))
                     for r in ROWS])  # fmt: skip
    for number, items in enumerate(drawn(len(ROWS), 40, 2, 0)):
        if np.ptp(gold[items]) == 0 or np.ptp(cosine[items]) < 1e-6:
            continue
        paired = (
            stats.pearsonr(gold[items], bent[items]).statistic - stats.pearsonr(gold[items], cosine[items]).statistic
        )
        assert b.replicates["pearson"][number] - a.replicates["pearson"][number] == pytest.approx(paired, abs=1e-5)
    assert similarity(other, ROWS, bootstrap=0).replicates == {}


def test_a_replicate_of_the_mean_over_files_is_the_mean_of_one_replicate_a_file(by_rule):
    parts = {"a": ROWS, "b": ROWS[:5]}
    result = similarity(by_rule(2, angle), parts, bootstrap=30)
    for name, replicates in result.replicates.items():
        expected = np.mean([part.replicates[name] for part in result.parts.values()], axis=0)
        np.testing.assert_allclose(replicates, expected, rtol=1e-12)
