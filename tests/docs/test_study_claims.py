"""What the pages of methods for pictures say shows is in the stored figures: a study that is run again has to agree."""

import json

import pytest
from benchmarks.stored import RESULTS, stored_arms

ONE_LABEL = "labels of a class: 1"


def over(name, arm, baseline, figure, part="results"):
    """How much an arm is over another in each seed."""
    arms = stored_arms(name, part)
    mine, theirs = arms[arm][figure], arms[baseline][figure]
    assert len(mine) >= 3
    return [a - b for a, b in zip(mine, theirs * len(mine) if len(theirs) == 1 else theirs, strict=True)]


def test_views_alone_help_where_there_are_few_labels_and_labels_more():
    assert min(over("simclr", "simclr", "untrained", ONE_LABEL)) > 0.05
    assert min(over("simclr", "supcon", "simclr", ONE_LABEL)) > 0.05
    assert min(over("mochi", "MoCo", "untrained", ONE_LABEL)) > 0.05


def test_evenness_and_tolerance_follow_the_temperature_and_hard_negatives_end_that():
    arms = stored_arms("contrastive-behaviour")
    soft = [arms[f"softmax, {temperature}"] for temperature in ("0.07", "0.3", "1", "3")]
    for seed in range(3):
        course = [one["uniformity"][seed] for one in soft]
        assert course == sorted(course)  # nearer to 0: less even
        assert soft[2]["tolerance"][seed] > soft[0]["tolerance"][seed] + 0.2
    moved = over("contrastive-behaviour", "softmax, 1", "softmax, 0.3", "uniformity")
    moved_hard = over("contrastive-behaviour", "hard softmax, 1", "hard softmax, 0.3", "uniformity")
    assert max(moved_hard) < 0.1 * min(moved)
    assert min(over("contrastive-behaviour", "hard simple", "simple", "neighbours of the projection")) > 0.05


def test_temperatures_of_rows_tell_frequent_classes_and_kept_averages_mend_small_batches():
    content = json.loads((RESULTS / "isogclr.json").read_text(encoding="utf-8"))
    assert all(one["spearman"] > 0.6 and one["head"] > one["tail"] for one in content["temperatures"])
    coldest = [one for one in content["estimator"] if one["temperature"] == 0.05]
    assert len(coldest) == 3
    assert all(one["global"] > one["batch"] + 0.1 for one in coldest)


def test_a_gate_lets_any_two_classes_be_positives():
    claim = stored_arms("hydra", "claim")
    for seed in range(3):
        losses = {arm: figures["loss"][seed] for arm, figures in claim.items()}
        cosines = {arm: figures["gated cosine of class means"][seed] for arm, figures in claim.items()}
        assert losses["arbitrary, gate"] < 0.05 * losses["arbitrary, open"]
        assert cosines["arbitrary, gate"] > 0.85
        assert cosines["arbitrary, open"] < 0.5
    assert min(over("hydra", "arbitrary, gate", "identical, open", ONE_LABEL)) > 0.02
    assert max(over("hydra", "arbitrary, open", "identical, open", ONE_LABEL)) < -0.05


def test_weights_of_negatives_do_nearly_all():
    assert min(over("cacr", "both weights", "without w-", "neighbours of the projection")) > 0.08
    assert min(over("cacr", "without w-", "no weights", "neighbours of the projection")) > 0.02


def test_the_head_loses_what_the_tower_keeps():
    arms = stored_arms("projection-head")
    before, behind = arms["mlp"]["digit, before the head"], arms["mlp"]["digit, behind it"]
    assert min(before) > max(behind) + 0.2
    assert min(over("projection-head", "mlp", "none", "digit, before the head")) > 0.05


def test_neighbours_in_the_memory_are_of_one_kind_and_alignment_helps_where_classes_are_even():
    content = json.loads((RESULTS / "beclr-parts.json").read_text(encoding="utf-8"))
    for one in content["results"]:
        assert one["memory"]["least distance"]["purity"] > one["memory"]["largest distance"]["purity"] + 0.3
    for figure, least in (("1 example", 3), ("5 examples", 1)):
        assert min(over("beclr-parts", "aligned", "means of examples", figure, "alignment")) > least
        assert max(over("beclr-parts", "aligned", "means of examples", f"{figure}, uneven", "alignment")) < 0


@pytest.mark.parametrize("leakage", ["0", "0.1", "1"])
def test_the_salient_code_tells_what_only_targets_have_and_is_silent_on_the_background(leakage):
    arms = stored_arms("sepclr")
    ours, theirs = arms[f"sepclr, leakage {leakage}"], arms["simclr"]
    pairs = zip(ours["digit by salient"], theirs["digit by salient"], strict=True)
    assert all(mine > 1.5 * other for mine, other in pairs)
    assert max(ours["background share"]) < 0.1


def test_two_branches_find_new_classes_better_than_one():
    arms = stored_arms("bacon")
    assert len(arms["bacon"]["All"]) >= 10
    for figure in ("All", "New"):
        gains = over("bacon", "bacon", "contrastive", figure)
        assert sum(gains) / len(gains) > 0
    assert max(arms["bacon"]["counts"]) < 0.15


def test_rates_make_new_classes_more_even_and_all_classes_less():
    bacon = stored_arms("bacon")["bacon"]
    new, every = (
        [kept - predicted for kept, predicted in zip(bacon[f"kept{of}"], bacon[f"predicted{of}"], strict=True)]
        for of in (", new", "")
    )
    assert sum(one > 0 for one in new) >= 0.9 * len(new)
    assert max(every) < 0
