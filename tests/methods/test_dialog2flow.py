"""The checks of the paper's specification, on the method as it prepares and trains."""

import copy
import csv
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise.artefact import load_model
from likewise.data import Stages, open_table
from likewise.encoders import load_text_encoder
from likewise.errors import InputError
from likewise.methods.dialog.dialog2flow import Config, Dialog2Flow
from likewise.run_config import RunConfig
from likewise.training.optim import adamw
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

ANCHOR = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]
PARTNER = [[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]]
LABELS = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]

ACTIONS = {
    "request city": ["Which city ?", "In what city?", "what city do you want", "the name of the city ?"],
    "inform city": ["Boston.", "it 's Boston", "San José, please", "I live in Paris"],
    "good bye": ["bye", "Goodbye!", "see you"],
    "greet": ["hello"],
}


def rows(actions=ACTIONS):
    return [{"utterance": text, "label": label} for label, several in actions.items() for text in several]


def with_table(anchor=ANCHOR, partner=PARTNER, **config) -> tuple[Dialog2Flow, Batch]:
    """A method whose tower reads off the vectors of both sides, and whose head passes them on."""
    size = len(anchor)
    method = Dialog2Flow(Config(head_size=2, **config), TableEncoder(anchor + partner)).double()
    for head in method.heads.values():  # relu(x) of vectors that are not negative is x
        for layer in (head[0], head[2]):
            layer.weight.data = torch.eye(2, dtype=torch.float64)
    inputs = {"anchor": texts(*range(size)), "partner": texts(*range(size, 2 * size)), "label": torch.arange(size)}
    inputs["label_vector"] = torch.tensor(LABELS[:size], dtype=torch.float64)
    return method, Batch(inputs, torch.arange(size))


def prepared(tmp_path, data=None, method=None, said=None, **config) -> tuple[Dialog2Flow, list[dict]]:
    method = method or Dialog2Flow(Config(**config), TableEncoder([[1.0, 0.0]]))
    table = open_table(data or rows(), columns=Dialog2Flow.columns_for(method.config))
    made = method.prepare(table, Stages(tmp_path / "prepared", None if said is None else said.append))
    names = [made.extra(i)["name"] for i in range(len(made))]
    return method, [{**row, "name": name} for row, name in zip(made.stream(), names, strict=True)]


@pytest.mark.parametrize(("temperature", "expected"), [(0.5, 1.19163888), (0.05, 5.78410542)])
def test_three_pairs_worked_out_by_hand(temperature, expected):
    method, batch = with_table(temperature=temperature)
    output = method(batch)
    assert output.loss.item() == pytest.approx(expected, abs=1e-8)
    assert output.terms.keys() == {"contrast"}
    assert_close(output.contrast.query, torch.tensor(ANCHOR, dtype=torch.float64))
    assert float(output.contrast.temperature) == temperature


def test_hard_targets_worked_out_by_hand():
    method, batch = with_table(temperature=0.5, targets="hard")
    batch.inputs["label"] = torch.tensor([0, 0, 1])
    del batch.inputs["label_vector"]
    assert method(batch).loss.item() == pytest.approx(0.80186687, abs=1e-8)


def test_labels_receive_no_gradient_and_scores_one_that_adds_up_to_nothing():
    method, batch = with_table(temperature=0.5)
    batch.inputs["label_vector"].requires_grad_()
    method(batch).loss.backward()
    assert batch["label_vector"].grad is None
    assert method.encoder.table.grad.abs().max() > 0.01


def test_the_gradient_is_that_of_finite_differences():
    vectors = np.abs(np.random.default_rng(2).normal(size=(2, 3, 2))).tolist()
    method, batch = with_table(*vectors, temperature=0.4)

    def of_table(table):
        return torch.func.functional_call(method, {"encoder.table": table}, (batch,)).loss

    assert torch.autograd.gradcheck(of_table, (method.encoder.table.detach().clone().requires_grad_(),))


def test_rows_become_pairs_of_one_label_without_single_utterances(tmp_path):
    said: list[str] = []
    _, pairs = prepared(tmp_path, said=said)
    assert {name: sum(pair["name"] == name for pair in pairs) for name in ACTIONS} == {
        "request city": 3, "inform city": 3, "good bye": 2, "greet": 0,
    }  # fmt: skip
    assert all(pair["anchor"] != pair["partner"] for pair in pairs)
    assert {pair["label"] for pair in pairs} == {0.0, 1.0, 2.0}
    assert said[0] == "left out 1 actions with one utterance, such as 'greet'"
    assert said[1] == "8 pairs of 12 utterances with 3 labels"
    plain = {pair["anchor"] for pair in pairs} | {pair["partner"] for pair in pairs}
    assert {"which city?", "it's boston", "san josé please", "goodbye"} <= plain
    assert sorted(path.name for path in (tmp_path / "prepared").glob("*[!n]")) == ["label_vectors.npy", "pairs.jsonl"]


def test_utterances_may_stay_as_they_are(tmp_path):
    _, pairs = prepared(tmp_path, normalise=False)
    assert {"Which city ?", "Goodbye!"} <= {pair["anchor"] for pair in pairs} | {pair["partner"] for pair in pairs}


@pytest.mark.parametrize(("balance", "numbers"), [("extend", [4, 4, 4]), ("reduce", [3, 3, 2]), ("none", [3, 3, 2])])
def test_balance_says_how_many_pairs_a_label_has(tmp_path, balance, numbers):
    _, pairs = prepared(tmp_path, balance=balance)
    assert [sum(pair["name"] == name for pair in pairs) for name in list(ACTIONS)[:3]] == numbers


def test_rare_labels_are_left_out(tmp_path):
    _, pairs = prepared(tmp_path, min_utterances=4)
    assert {pair["name"] for pair in pairs} == {"request city", "inform city"}


def test_pairs_are_a_function_of_their_seed_and_are_found_again(tmp_path):
    one, again, other = (prepared(tmp_path / str(i), pair_seed=seed)[1] for i, seed in enumerate((0, 0, 1)))
    assert one == again
    assert one != other
    before = (tmp_path / "0" / "prepared" / "pairs.jsonl").stat().st_mtime_ns
    prepared(tmp_path / "0", pair_seed=0)
    assert (tmp_path / "0" / "prepared" / "pairs.jsonl").stat().st_mtime_ns == before


def test_a_batch_brings_what_its_labels_mean(tmp_path, tiny_tower):
    method = Dialog2Flow(Config(), tiny_tower)
    _, pairs = prepared(tmp_path, method=method)
    views = method.views()
    batch = views.collate([views(pair, np.random.default_rng(0)) for pair in pairs[:4]], list(range(4)))
    expected = load_text_encoder("all-MiniLM-L6-v2").encode([pair["name"] for pair in pairs[:4]], precision="fp32")
    assert_close(batch["label_vector"], torch.nn.functional.normalize(expected, dim=1), rtol=1e-4, atol=1e-5)
    assert batch["label"].tolist() == [int(pair["label"]) for pair in pairs[:4]]
    hard = Dialog2Flow(Config(targets="hard"), tiny_tower)
    prepared(tmp_path / "hard", method=hard)
    assert "label_vector" not in hard.views().collate([views(pairs[0], np.random.default_rng(0))], [0])


def test_numbers_as_labels_mean_nothing_and_make_targets_hard(tmp_path, tiny_tower):
    said: list[str] = []
    data = [{"utterance": f"words {i}", "label": i % 3} for i in range(12)]
    method, _ = prepared(tmp_path, data, method=Dialog2Flow(Config(), tiny_tower), said=said)
    assert said[-1] == "all labels are numbers, which mean nothing as texts: targets are hard"
    assert method.views().table is None


JOINT = [
    {"utterance": f"{act} {slot} {i}", "acts": [act], "slots": [slot] if slot else []}
    for i in range(4)
    for act, slot in (("request", "city"), ("inform", "city"), ("inform", "date"), ("inform", "date"), ("bye", ""))
]


def test_joint_mode_has_pairs_of_acts_and_of_slots(tmp_path):
    _, pairs = prepared(tmp_path, JOINT, mode="joint")
    acts, slots = ([pair for pair in pairs if pair["objective"] == one] for one in ("acts", "slots"))
    assert {name: sum(pair["name"] == name for pair in acts) for name in ("request", "inform", "bye")} == dict.fromkeys(
        ("request", "inform", "bye"), 12
    )  # extended to the largest
    assert {name: sum(pair["name"] == name for pair in slots) for name in ("city", "date")} == {"city": 7, "date": 7}
    assert [pair["objective"] for pair in pairs] == ["acts"] * len(acts) + ["slots"] * len(slots)


def test_several_names_in_one_field_of_a_file_are_separate_labels(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("utterance,acts,slots\n" + "".join(f'u {i},"inform, request","a, b"\n' for i in range(3)))
    _, pairs = prepared(tmp_path, file, mode="joint")
    assert {pair["name"] for pair in pairs} == {"inform", "request", "a", "b"}


def steps_of(out: Path):
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_joint_mode_takes_turns_with_a_head_and_an_optimiser_each(tmp_path, monkeypatch):
    seen, original = [], Dialog2Flow.training_step

    def training_step(self, batch):
        seen.append((batch.group, {name: head[2].weight.detach().clone() for name, head in self.heads.items()}))
        return original(self, batch)

    monkeypatch.setattr(Dialog2Flow, "training_step", training_step)
    settings = {"mode": "joint", "encoder_layers": 1, "batch_size": 4, "precision": "fp32", "lr": 1e-3}
    likewise.train("dialog2flow", JOINT, out=tmp_path / "run", steps=6, progress=False, **settings)
    assert [group for group, _ in seen] == ["acts", "slots"] * 3
    for (group, before), (_, after) in itertools.pairwise(seen):
        assert [name for name in before if not torch.equal(before[name], after[name])] == [group]
    config = RunConfig.resolve("dialog2flow", settings)
    method = Dialog2Flow.build(config.settings, config.encoder)
    assert method.objectives() == ("acts", "slots") == tuple(method.heads)
    rates = {group["lr"] for group in adamw(method, config.training, method.learning_rates()).param_groups}
    assert sorted(rates) == pytest.approx([1e-3, 0.1])


def test_a_killed_joint_run_goes_on_to_the_bit(tmp_path, monkeypatch):
    settings = {"mode": "joint", "encoder_layers": 1, "batch_size": 4, "precision": "fp32", "checkpoint_every": 3}

    def train(name, **more):
        likewise.train("dialog2flow", JOINT, out=tmp_path / name, steps=6, progress=False, **settings, **more)

    train("whole")
    steps = []

    def killed(self):
        steps.append(1)
        if len(steps) == 5:
            raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(Dialog2Flow, "after_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            train("cut")
    train("cut", resume=True)
    whole, cut = (load_model(tmp_path / name) for name in ("whole", "cut"))
    assert whole.embedder.fingerprint == cut.embedder.fingerprint
    assert all(torch.equal(centre, cut.kept["actions"][name]) for name, centre in whole.kept["actions"].items())
    assert [row["loss"] for row in steps_of(tmp_path / "whole")] == [row["loss"] for row in steps_of(tmp_path / "cut")]


def test_the_head_is_dropped_and_the_actions_are_kept(tmp_path, tiny_tower):
    method = Dialog2Flow(Config(), tiny_tower).eval()
    assert_close(method.embedder().encode(["hello"]), tiny_tower.served().encode(["hello"]))
    assert method.kept() == {}  # nothing is known of actions before rows were seen
    prepared(tmp_path, method=method)
    kept = method.kept()
    assert list(kept["actions"]) == list(ACTIONS)
    expected = tiny_tower.served().encode(["bye", "goodbye", "see you"]).mean(dim=0)
    assert_close(kept["actions"]["good bye"], expected, rtol=1e-4, atol=1e-5)
    assert kept["normalise"] is True


def test_the_loss_is_the_same_for_every_micro_batch(tmp_path):
    outputs = []
    for micro_batch in (None, 3):
        torch.manual_seed(3)
        config = RunConfig.resolve("dialog2flow", {"encoder_layers": 1, "dropout": 0.0})
        method = Dialog2Flow.build(config.settings, config.encoder).train()
        method.encoder.micro_batch = micro_batch
        _, pairs = prepared(tmp_path, method=method)
        views = method.views()
        batch = views.collate([views(pair, np.random.default_rng(0)) for pair in pairs], list(range(len(pairs))))
        output = method(batch)
        output.loss.backward()
        outputs.append((output.loss.detach(), {n: p.grad for n, p in method.named_parameters()}))
    (whole, expected), (chunked, gradients) = outputs
    assert_close(chunked, whole, rtol=1e-5, atol=1e-6)
    for name, gradient in expected.items():
        assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5)


def test_a_copy_goes_on_alike():
    method, batch = with_table()
    assert torch.equal(method(batch).loss, copy.deepcopy(method)(batch).loss)


def test_soft_targets_near_a_likeness_leave_less_to_separate():
    """With names that mean the same, two actions lose less by lying together than with hard targets."""
    together = [[1.0, 0.0], [1.0, 0.0]]
    soft, batch = with_table(together, together, temperature=0.5)
    batch.inputs["label_vector"] = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert soft(batch).loss.item() == pytest.approx(math.log(2))  # the entropy of the targets: nothing to gain
    gradients = torch.autograd.grad(soft(batch).loss, soft.encoder.table)[0]
    assert gradients.abs().max() < 1e-12


def test_a_file_becomes_a_model_that_names_actions_and_extracts_flows(tmp_path, capsys):
    from likewise.cli import main

    file = tmp_path / "turns.csv"
    file.write_text("utterance,label\n" + "".join(f'"{row["utterance"]}",{row["label"]}\n' for row in rows()))
    talk = tmp_path / "talk.txt"
    talk.write_text("\n\n".join("Agent: Which city?\nCustomer: Boston.\nAgent: Bye!" for _ in range(3)))

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        assert end.value.code == 0
        return json.loads(capsys.readouterr().out)

    out = tmp_path / "run"
    made = run("train", "dialog2flow", "--data", file, "--out", out, "--steps", 3, "--batch-size", 4,
               "--encoder-layers", 1, "--json")  # fmt: skip
    assert made["training"]["steps"] == 3
    named = run("use", out, "action", "Which city?", "--k", 2, "--json")["rows"]
    assert named[0]["action"] == "request city"
    assert 0.5 < named[0]["cosine"] <= 1.0
    listed = {row["product"] for row in run("use", out, "--json")}
    assert {"flow", "action"} <= listed
    flow = run("use", out, "flow", talk, "--out", tmp_path / "flow", "--names", "action", "--threshold", 0.2, "--json")
    assert (flow["figures"]["dialogs"], flow["figures"]["nodes"]) == (3, 5)
    actions = json.loads((tmp_path / "flow" / "actions.json").read_text())
    assert {one["name"] for one in actions} >= {"request city", "good bye"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"label_temperature": 0.0}, "label_temperature is 0.0; it must be greater than 0"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"head_lr_factor": 0.0}, "head_lr_factor is 0.0"),
        ({"min_utterances": 1}, "min_utterances is 1; it must be at least 2"),
        ({"head_size": 0}, "head_size is 0"),
        ({"balance": "extent"}, "balance is 'extent'"),
        ({"targets": "softly"}, "targets is 'softly'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        RunConfig.resolve("dialog2flow", settings)


@pytest.mark.parametrize(
    ("data", "config", "says"),
    [
        ([*rows(), {"utterance": "...", "label": "greet"}], {}, r"rows\[12\]: of the utterance '\.\.\.' no word"),
        (rows({"a": ["x", "y"], "b": ["z"]}), {}, "of 2 labels 1 have 2 utterances or more, and 2 are needed"),
        (rows({"request city": ["x", "y"], "Request_city": ["z", "w"]}), {},
         "the labels 'Request_city' and 'request city' differ only in case, spaces or punctuation"),
        ([{"utterance": "x", "acts": ["a"], "slots": ["b"]}] * 3, {"mode": "joint"}, "of 1 acts 1 have"),
        ([{"utterance": f"x {i}", "acts": [f"a{i % 2}"]} for i in range(8)], {"mode": "joint"},
         "no row has a value in column 'slots'; joint mode learns from acts and slots"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_used_are_refused(tmp_path, data, config, says):
    with pytest.raises(InputError, match=says):
        prepared(tmp_path, data, **config)


def test_a_label_encoder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no-such-encoder"):
        prepared(tmp_path, label_encoder="./no-such-encoder")
