"""moe-cocitation: its losses by the specification's numbers, its experts, its pairs of citations, its model in use."""

import csv
import json
import math

import numpy as np
import pytest
import torch

import likewise
from likewise.data import Stages
from likewise.encoders import experts_of
from likewise.errors import InputError
from likewise.losses import alike_targets, info_nce, load_balance, mutual_information, specified_expert
from likewise.methods.text.moe_cocitation import Config, MoECocitation
from likewise.sampling import cocited_pairs, pairs_never_cocited

SMALL = {"encoder_layers": 1, "max_tokens": 24, "batch_size": 6, "precision": "fp32", "lr": 1e-3, "warmup": 0.0}
EYE = torch.eye(2)
MIXED = torch.tensor([[0.8, 0.6], [0.6, 0.8]])
THINGS = ["dog", "cat", "house", "river", "train", "bread", "phone", "garden", "window", "tower", "boat", "lamp"]


def pairs(count=24):
    return [
        {"first": f"a {THINGS[i % 12]} of {i}", "second": f"the {THINGS[i % 12]} number {i}", "domain": "ab"[i % 2]}
        for i in range(count)
    ]


def method(**settings) -> MoECocitation:
    torch.manual_seed(0)
    config = Config(**{"domains": ("a", "b"), **settings})
    from likewise.encoders import TextEncoderConfig

    return MoECocitation.build(config, TextEncoderConfig(encoder_layers=2, max_tokens=24, dropout=0.0))


def batch_of(made: MoECocitation, rows, folder):
    table = made.prepare(likewise.open_table(rows, columns=MoECocitation.columns_for(made.config)), Stages(folder))
    views = made.views()
    examples = [views(table[i], np.random.default_rng([0, i])) for i in range(len(table))]
    return views.collate(examples, list(range(len(table))))


def losses(out):
    with (out / "metrics.csv").open(newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 0.598139), (20.0, 0.018150)])
def test_the_softmax_over_pairs_by_hand(scale, expected):
    value = info_nce(EYE, MIXED, temperature=1 / scale).mean()
    assert float(value) == pytest.approx(expected, abs=5e-7)


def test_official_targets_by_hand_and_their_agreement_for_unit_vectors():
    first = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    second = torch.eye(2, dtype=torch.float64)
    rows = alike_targets(first, second, official_targets=True)
    assert float(rows.mean()) == pytest.approx(1.795481, abs=5e-7)
    assert float(rows.mean()) == pytest.approx(0.5 * (2.180924 + 1.410038), abs=1e-6)
    assert float(alike_targets(2 * EYE, 2 * EYE, official_targets=True).mean()) == pytest.approx(0.018150, abs=5e-7)
    torch.manual_seed(0)
    one, other = (torch.nn.functional.normalize(torch.randn(7, 5, dtype=torch.float64)) for _ in range(2))
    for temperature in (0.05, 0.7):
        torch.testing.assert_close(
            alike_targets(one, other, temperature=temperature, official_targets=True).values.mean(),
            alike_targets(one, other, temperature=temperature).values.mean(),
            rtol=1e-9, atol=0.0,
        )  # fmt: skip


def test_both_losses_agree_with_loops():
    torch.manual_seed(1)
    first, second = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    tau = 0.7
    sides = 0.5 * tau * (first @ first.T + second @ second.T)
    soft = sides.softmax(dim=1)
    scores = first @ second.T / tau
    for official in (False, True):
        total = 0.0
        for i in range(6):
            row_target = int(soft[i].argmax()) if official else i
            column_target = int(soft[:, i].argmax()) if official else i
            total += float(torch.logsumexp(scores[i], 0) - scores[i, row_target])
            total += float(torch.logsumexp(scores[:, i], 0) - scores[column_target, i])
        got = alike_targets(first, second, temperature=tau, official_targets=official).mean()
        assert float(got) == pytest.approx(total / 12, rel=1e-9)


@pytest.mark.parametrize("official", [False, True])
def test_the_gradient_of_the_paired_loss_is_that_of_its_values(official):
    torch.manual_seed(2)
    first, second = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(
        lambda a, b: alike_targets(a, b, temperature=0.7, official_targets=official).values, (first, second)
    )


def test_negatives_count_unlike_in_the_first_version_of_the_official_code():
    """There, cosines of the pairs alone were the logits, with the numbers of the rows as weights."""
    wrong = float(-(torch.arange(2.0) * torch.tensor([0.8, 0.8]).log_softmax(0)).sum())
    assert wrong == pytest.approx(math.log(2), abs=1e-6)
    assert float(info_nce(EYE, MIXED, temperature=1.0).mean()) != pytest.approx(wrong, abs=0.05)
    same = torch.nn.functional.normalize(torch.ones(3, 2))
    assert float(info_nce(same, same, temperature=1.0).mean()) != pytest.approx(3 * math.log(3), abs=0.5)


def test_the_specified_expert_by_hand_and_balance_and_information_at_their_ends():
    logits = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])
    assert float(specified_expert(logits, torch.tensor([0, 1])).mean()) == pytest.approx(0.220095, abs=5e-7)
    even = torch.tensor([[[9.0, -9.0]], [[-9.0, 9.0]]])
    assert float(load_balance(even)) == pytest.approx(1.0, abs=1e-6)
    assert float(load_balance(even[[0, 0]])) == pytest.approx(2.0, abs=1e-6)
    told = float(mutual_information(even, torch.tensor([0, 1]), 2))
    untold = float(mutual_information(torch.zeros(2, 1, 2), torch.tensor([0, 1]), 2))
    assert told == pytest.approx(-math.log(2), abs=2e-3)
    assert untold == pytest.approx(0.0, abs=2e-3)
    free = torch.zeros(4, 2, 2, dtype=torch.float64).normal_(generator=torch.Generator().manual_seed(0))
    free.requires_grad_()
    domain = torch.tensor([0, 1, 1, 0])
    assert torch.autograd.gradcheck(lambda x: mutual_information(x, domain, 2), free)
    assert torch.autograd.gradcheck(lambda x: specified_expert(x, domain).values, free)


def test_what_is_cited_together_is_a_pair_and_what_is_outside_is_passed_over():
    graph = {"c": ["a", "b"], "d": ["b", "e", "d", "outside"], "a": [], "b": [], "e": []}
    found = {frozenset(pair) for pair in cocited_pairs(graph)}
    assert found == {frozenset("ab"), frozenset("be")}
    domains = {"a": "x", "b": "x", "c": "x", "d": "x", "e": "y"}
    assert {frozenset(pair) for pair in cocited_pairs(graph, domains)} == {frozenset("ab")}


@pytest.mark.parametrize("count", [3, 40])
def test_pairs_never_cited_together_are_drawn_once_each(count):
    names = [str(i) for i in range(20)]
    cited = [("0", "1"), ("3", "2")]
    drawn = pairs_never_cocited(names, cited, count, seed=1)
    assert len({frozenset(pair) for pair in drawn}) == count
    assert not {frozenset(pair) for pair in drawn} & {frozenset(pair) for pair in cited}
    assert all(one != other for one, other in drawn)
    everything = pairs_never_cocited(names[:4], [("0", "1")], 99, seed=0)
    assert len(everything) == 5


def test_before_training_the_model_computes_what_the_dense_one_does(tmp_path):
    with_experts, dense = method(head="none"), method(head="none", experts=False)
    batch = batch_of(with_experts, pairs(6), tmp_path)
    for one in (with_experts, dense):
        one.eval()
    torch.testing.assert_close(with_experts(batch).loss, dense(batch).loss, rtol=1e-5, atol=1e-6)
    words = with_experts.encoder.token_embedding
    first = int(with_experts.encoder.tokenizer([""]).ids[0])
    assert all(torch.equal(words[token], words[first]) for token in with_experts.domain_tokens.tolist())


def test_a_batch_of_one_domain_teaches_its_expert_alone(tmp_path):
    made = method()
    rows = [row for row in pairs(12) if row["domain"] == "b"]
    made(batch_of(made, rows, tmp_path)).loss.backward()
    for _, layer in experts_of(made.encoder.tower):
        assert all(parameter.grad is None or not parameter.grad.any() for parameter in layer.experts[0].parameters())
        assert all(parameter.grad.abs().sum() > 0 for parameter in layer.experts[1].parameters())


@pytest.mark.parametrize(
    "settings",
    [
        {"router": "topk_token", "top_k": 2, "num_experts": 4, "auxiliary": "balance"},
        {"router": "switch_sentence", "auxiliary": "specified"},
        {"router": "topk_sentence", "top_k": 1, "auxiliary": "mutual_information", "domain_token": False},
        {"loss": "mnr", "normalise": True, "temperature": 0.05, "head": "tanh", "learn_temperature": True},
        {"official_targets": True, "modulated": True, "expert_layers": 1},
    ],
)
def test_every_variant_of_the_paper_trains_and_its_model_is_used_again(settings, tmp_path):
    run = tmp_path / "run"
    model = likewise.train("moe-cocitation", pairs(), out=run, steps=4, progress=False, **{**SMALL, **settings})
    loaded = likewise.load(run)
    texts = ["a dog", "the river number 3"]
    if loaded.domains:
        model, loaded = model.for_domain("a"), loaded.for_domain("a")
    torch.testing.assert_close(
        loaded.encode(texts, precision="fp32"), model.encode(texts, precision="fp32"), rtol=1e-4, atol=1e-5
    )


def test_the_names_of_domains_come_from_the_data_and_stay_with_the_run(tmp_path):
    run = tmp_path / "run"
    settings = {**SMALL, "steps": 4, "checkpoint_every": 2}
    likewise.train("moe-cocitation", pairs(), out=run, progress=False, **settings)
    assert "- a\n  - b" in (run / "run.yaml").read_text()
    whole = losses(run)
    (run / "likewise.json").unlink()
    likewise.train("moe-cocitation", pairs(), out=run, resume=True, progress=False, **settings)
    assert losses(run) == whole
    model = likewise.load(run)
    with pytest.raises(InputError, match="say which with --domain"):
        model.encode(["a dog"])
    by_domain = [likewise.load(run, domain=name).encode(["a dog"]) for name in "ab"]
    assert not torch.allclose(*by_domain, atol=1e-4)


def test_texts_of_no_domain_may_have_a_default(tmp_path):
    run = tmp_path / "run"
    settings = {**SMALL, "steps": 2, "default_domain": "b"}
    model = likewise.train("moe-cocitation", pairs(), out=run, progress=False, **settings)
    torch.testing.assert_close(model.encode(["a dog"]), model.for_domain("b").encode(["a dog"]))
    torch.testing.assert_close(likewise.load(run).encode(["a dog"]), model.encode(["a dog"]), rtol=1e-4, atol=1e-5)


def test_papers_that_cite_each_other_become_pairs_and_held_out_ones_a_test(tmp_path):
    rows = [
        {"id": f"{domain}{i}", "text": f"{domain} paper on a {THINGS[i]}", "domain": domain,
         "cites": [f"{domain}{(i + k) % 12}" for k in (1, 2, 3)]}
        for domain in "ab" for i in range(12)
    ]  # fmt: skip
    run = tmp_path / "run"
    likewise.train("moe-cocitation", rows, out=run, pairs="cocitation", held_out=0.25, steps=2, progress=False, **SMALL)
    trained = [json.loads(line) for line in (run / "prepared" / "pairs.jsonl").read_text().splitlines()]
    held = [json.loads(line) for line in (run / "prepared" / "held_out.jsonl").read_text().splitlines()]
    assert len(trained) + sum(row["label"] for row in held) == 48
    assert sum(row["label"] for row in held) == sum(1 - row["label"] for row in held) == 12
    from likewise.evaluation import get_task

    task = get_task("pair_classification")
    result = task.measure(likewise.load(run), task.open(run / "prepared" / "held_out.jsonl"), bootstrap=0)
    assert set(result.parts) == {"a", "b"}


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        ([*pairs(6), {**pairs(1)[0], "domain": "c"}], {"domains": ("a", "b")}, "c"),
        ([*pairs(6), {"first": "a dog", "second": "a dog", "domain": "a"}], {}, "paired with itself"),
        (pairs(6), {"default_domain": "z"}, "z"),
        (pairs(6), {"temperature": 0.0}, "temperature is 0"),
        (pairs(6), {"router": "topk_token", "top_k": 3}, "top_k is 3"),
        (pairs(6), {"num_experts": 2}, "router that learns"),
        (pairs(6), {"router": "switch_sentence", "num_experts": 3}, "3 experts for 2 domains"),
        (pairs(6), {"domains": ("a", "a")}, "named once"),
        (pairs(6), {"expert_layers": 5}, "the encoder has 1 layers"),
        (pairs(6), {"held_out": 1.0}, "held_out is 1"),
        ([{"id": "1", "text": "x", "domain": "a", "cites": []}] * 2, {"pairs": "cocitation"}, "an id that another has"),
        ([{"id": str(i), "text": f"x{i}", "domain": "a", "cites": []} for i in range(3)], {"pairs": "cocitation"},
         "cited by a third"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(rows, settings, said, tmp_path):
    with pytest.raises(InputError, match=said):
        likewise.train("moe-cocitation", rows, out=tmp_path / "run", steps=1, progress=False, **{**SMALL, **settings})
