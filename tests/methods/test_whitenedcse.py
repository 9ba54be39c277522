"""The checks of the paper's specification, on the method as it trains."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError
from likewise.methods.text.simcse import Config as SimCSEConfig
from likewise.methods.text.simcse import SimCSE
from likewise.methods.text.whitenedcse import Config, WhitenedCSE
from likewise.run_config import RunConfig
from likewise.views import Batch
from methods.table_encoder import TableEncoder, texts

SENTENCES = [f"sentence number {i} {'and more ' * (i % 3)}" for i in range(8)]


class SeveralViews(TableEncoder):
    """Each time that the texts come, they have the vectors of the next view: dropout, with masks that are given."""

    def encode_rows(self, inputs):
        size = len(inputs) and int(inputs.ids.max()) + 1
        view = torch.arange(len(inputs)) // size
        return self.table[inputs.ids + size * view]


def with_table(*views, **config) -> tuple[WhitenedCSE, Batch]:
    """A method whose tower reads off the vectors of the views."""
    settings = {"head": False, "whitening_eps": 0.0, "num_views": len(views), "groups": 1, **config}
    torch.manual_seed(0)
    method = WhitenedCSE(Config(**settings), SeveralViews([row for view in views for row in view])).double()
    return method, Batch({"text": texts(*range(len(views[0])))}, torch.arange(len(views[0])))


def vectors(views=3, rows=9, dim=4, seed=1):
    return np.random.default_rng(seed).normal(size=(views, rows, dim)).tolist()


def standardised(view):
    rows = torch.tensor(view, dtype=torch.float64)
    return ((rows - rows.mean(0)) / rows.std(0, correction=0)).tolist()


def cosine(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


@pytest.mark.parametrize("num_views", [2, 3, 5])
def test_the_loss_is_that_of_a_plain_loop(num_views):
    views, temperature = vectors(num_views), 0.3
    method, batch = with_table(*views, groups=4, temperature=temperature)
    white, total = [standardised(view) for view in views], 0.0  # a group a channel, so that no root is needed
    for positives in white[1:]:
        for i in range(9):
            logits = [cosine(white[0][i], other) / temperature for other in positives]
            total += -logits[i] + math.log(sum(math.exp(logit) for logit in logits))
    assert method(batch).loss.item() == pytest.approx(total / 9, rel=1e-9)


def test_every_view_has_statistics_and_a_permutation_of_its_own():
    moved = [(1, 0), (4, -1), (0.5, 3)]
    views = [[[scale * x + by for x in row] for row in vectors(1, dim=12)[0]] for scale, by in moved]
    same, batch = with_table(*views, groups=4, shuffle=False)
    assert same.whitening.drawn == 0
    contrast = same(batch).contrast
    assert_close(contrast.query, contrast.key, rtol=1e-9, atol=1e-12)
    shuffled, batch = with_table(*views, groups=4)
    contrast = shuffled(batch).contrast
    assert shuffled.whitening.drawn == 3
    assert (contrast.query - contrast.key).abs().max() > 0.1


def test_with_a_group_a_channel_and_equal_views_it_is_twice_simcse_on_standardised_features():
    view = vectors(1, rows=64, dim=6)[0]
    method, batch = with_table(view, view, view, groups=6, shuffle=False)
    plain = SimCSE(SimCSEConfig(head=False), TableEncoder(standardised(view))).double()
    assert method(batch).loss.item() == pytest.approx(2 * plain(batch).loss.item(), rel=1e-9)


@pytest.mark.parametrize("whitening", ["zca", "cholesky"])
def test_the_gradient_through_the_whitening_is_that_of_finite_differences(whitening):
    method, batch = with_table(
        *vectors(rows=6), groups=2, shuffle=False, detach_whitening=False, whitening=whitening, temperature=0.4
    )

    def of_table(table):
        return torch.func.functional_call(method, {"encoder.table": table}, (batch,)).loss

    assert torch.autograd.gradcheck(of_table, (method.encoder.table.detach().clone().requires_grad_(),))


def test_with_constant_matrices_the_gradient_is_another_and_the_loss_the_same():
    losses, gradients = [], []
    for detach in (True, False):
        method, batch = with_table(*vectors(), groups=2, detach_whitening=detach)
        loss = method(batch).loss
        loss.backward()
        losses.append(loss.detach())
        gradients.append(method.encoder.table.grad)
    assert torch.equal(*losses)
    assert (gradients[0] - gradients[1]).abs().max() > 1e-3


def trained(kind, settings, steps=3):
    """Losses, gradients of the last step and random state of some steps on the same texts."""
    torch.manual_seed(5)
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=1, max_tokens=32))
    method = kind(settings, tower).train()
    optimiser, losses = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1), []
    for step in range(steps):
        tokens = tower.tokenizer([f"{text} of step {step}" for text in SENTENCES])
        optimiser.zero_grad()
        output = method(Batch({"text": tokens}, torch.arange(len(SENTENCES))))
        output.loss.backward()
        optimiser.step()
        losses.append(output.loss.detach())
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return losses, gradients, torch.get_rng_state()


def test_two_views_without_whitening_are_simcse_to_the_bit():
    losses, gradients, state = trained(WhitenedCSE, Config(num_views=2, whitening="none"))
    expected, theirs, their_state = trained(SimCSE, SimCSEConfig())
    assert all(map(torch.equal, losses, expected))
    assert gradients.keys() == theirs.keys()
    assert all(torch.equal(gradients[name], theirs[name]) for name in theirs)
    assert torch.equal(state, their_state)


def test_whitening_draws_nothing_from_the_generator_of_dropout_once_it_is_made(tiny_tower):
    method = WhitenedCSE(Config(), tiny_tower)
    state = torch.get_rng_state()
    method.whitening(torch.randn(8, 384, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)


def test_neither_whitening_nor_head_is_kept(tiny_tower, sentences):
    method = WhitenedCSE(Config(), tiny_tower).eval()
    assert_close(method.embedder().encode(sentences), tiny_tower.encode(sentences))
    assert_close(method.embedder().encode(sentences[:1]), tiny_tower.encode(sentences)[:1], rtol=1e-4, atol=1e-5)
    assert method.start().fingerprint == method.embedder().fingerprint == tiny_tower.served().fingerprint


def test_the_loss_is_the_same_for_every_micro_batch(sentences):
    seen = []
    for micro_batch in (None, 3):
        torch.manual_seed(3)
        tower = load_text_encoder(TextEncoderConfig(encoder_layers=1, max_tokens=32, dropout=0.0))
        method = WhitenedCSE(Config(temperature=0.5), tower).train()
        tower.micro_batch = micro_batch
        output = method(Batch({"text": tower.tokenizer(sentences)}, torch.arange(len(sentences))))
        output.loss.backward()
        seen.append((output.loss.detach(), {n: p.grad for n, p in method.named_parameters() if p.grad is not None}))
    (whole, expected), (chunked, gradients) = seen
    assert_close(chunked, whole, rtol=1e-4, atol=1e-5)
    for name, gradient in expected.items():
        assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5)
    assert gradients["encoder.tower.0.model.encoder.layer.0.output.dense.weight"].abs().max() > 1e-3


def test_an_interrupted_run_goes_on_with_the_permutations_that_would_have_come(tmp_path):
    rows = [{"text": text} for text in SENTENCES]
    settings = {
        "steps": 4, "batch_size": 4, "encoder_layers": 1, "checkpoint_every": 2, "keep_checkpoints": 9,
        "precision": "fp32", "lr": 1e-3, "progress": False,
    }  # fmt: skip
    whole = likewise.train("whitenedcse", rows, out=tmp_path / "whole", **settings)
    stopped = tmp_path / "stopped"
    shutil.copytree(tmp_path / "whole", stopped)
    for later in (stopped / "likewise.json", stopped / "model.safetensors"):
        later.unlink()
    shutil.rmtree(stopped / "checkpoints" / "step-00000004")
    resumed = likewise.train("whitenedcse", rows, out=stopped, resume=True, **settings)
    assert resumed.fingerprint == whole.fingerprint

    def losses(folder):
        with (folder / "metrics.csv").open(newline="") as file:
            return [row["loss"] for row in csv.DictReader(file)]

    assert losses(stopped) == losses(tmp_path / "whole")
    assert len(losses(stopped)) == 4


def test_a_file_of_lines_becomes_a_model_that_sentence_transformers_opens_with_equal_vectors(tmp_path, capsys):
    from sentence_transformers import SentenceTransformer

    from likewise.cli import main

    notes = tmp_path / "notes.txt"
    notes.write_text("".join(f"{text}\n" for text in SENTENCES * 2))
    words = ["train", "whitenedcse", "--data", notes, "--out", tmp_path / "run", "--steps", "2", "--batch-size", "8",
             "--encoder-layers", "1", "--groups", "96", "--no-detach-whitening", "--whitening", "cholesky",
             "--json"]  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0
    training = json.loads(capsys.readouterr().out)["training"]
    assert (training["steps"], training["encoded"]) == (2, 2 * 3 * 8)
    ours = likewise.load(tmp_path / "run").encode(["a note", "another one"], precision="fp32")
    theirs = SentenceTransformer(str(tmp_path / "run"), device="cpu").encode(["a note", "another one"])
    assert_close(ours, torch.from_numpy(theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_views": 1}, "num_views is 1; an anchor needs a positive"),
        ({"groups": 0}, "groups is 0, but the 384 channels"),
        ({"groups": 100}, r"groups is 100, but the 384 channels .* a divisor of 384 .* The nearest are 64, 96, 128"),
        ({"whitening_eps": -1.0}, r"eps of the whitening is -1\.0"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(settings, says):
    config = RunConfig.resolve("whitenedcse", {"encoder_layers": 1, **settings})
    with pytest.raises(ValueError, match=says):
        WhitenedCSE.build(config.settings, config.encoder)


@pytest.mark.parametrize(("name", "value"), [("whitening", "pca"), ("statistics", "batch")])
def test_an_unknown_choice_is_refused(name, value):
    with pytest.raises(InputError, match=f"{name} is '{value}'"):
        RunConfig.resolve("whitenedcse", {name: value})


def test_a_batch_that_is_too_small_is_refused_where_there_is_no_eps(tmp_path):
    rows = [{"text": text} for text in SENTENCES]
    with pytest.raises(
        InputError, match=r"a batch of 8 rows is too small for groups of 8 channels.*more groups than 48"
    ):
        likewise.train(
            "whitenedcse", rows, out=tmp_path / "run", batch_size=8, groups=48, whitening_eps=0.0, encoder_layers=1,
            progress=False,
        )  # fmt: skip
