"""Looks at the space while it is trained: what they log, what they say, and that nothing trained changes by them."""

import csv
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import likewise
from likewise import geometry
from likewise.errors import InputError, RunError
from likewise.losses import info_nce
from likewise.training import Contrast, StepOutput, Trainable, TrainingConfig, fit
from likewise.training.checkpoint import Checkpoints
from likewise.training.log import TIMING
from likewise.views import Batch

ROWS = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))


class Contrastive(nn.Module, Trainable):
    """A line with dropout under a contrastive loss and a second term."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(5, 4)

    def forward(self, batch):
        first, second = (nn.functional.normalize(self.line(nn.functional.dropout(batch["x"], 0.3)), dim=1)
                         for _ in range(2))  # fmt: skip
        terms = {"info_nce": info_nce(first, second, temperature=0.1).mean(), "size": self.line.weight.square().sum()}
        return StepOutput(terms, contrast=Contrast(first.detach(), second.detach(), 0.1))

    def after_step(self):
        pass


class Space:
    """Describes the rows as the module sees them, and draws random numbers while it does."""

    def __init__(self, module, change=lambda x: x):
        self.module, self.change, self.seen = module, change, []

    def __call__(self, temperature):
        torch.rand(3)
        self.module.eval()
        with torch.no_grad():
            vectors = self.change(self.module.line(ROWS))
        self.seen.append(temperature)
        return geometry.describe(vectors, temperature=temperature)


def source(start):
    while True:
        yield start / 10, Batch({"x": ROWS[torch.randperm(24, generator=torch.Generator().manual_seed(start))[:8]]},
                                torch.arange(8))  # fmt: skip
        start += 1


def run(folder: Path, module: nn.Module, *, batches=source, resume=False, space=None, show=False, **settings):
    folder.mkdir(exist_ok=True)
    config = TrainingConfig(lr=0.05, checkpoint_every=2, precision="fp32", **settings)
    return fit(module, batches, config, 10, folder, resume=resume, space=space, show_progress=show)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMING} for row in csv.DictReader(file)]


def test_a_look_logs_the_space_the_batch_and_the_gradients(tmp_path):
    module = Contrastive()
    space = Space(module)
    result = run(tmp_path, module, space=space, geometry_every=3)
    looks = table(tmp_path / "geometry.csv")
    assert [row["step"] for row in looks] == ["3", "6", "9", "10"]
    assert space.seen == [0.1] * 4
    expected = space(0.1)
    assert float(looks[-1]["uniformity"]) == pytest.approx(expected.figures["uniformity"], rel=1e-6)
    for row in looks:
        assert float(row["gradient_share_info_nce"]) + float(row["gradient_share_size"]) == pytest.approx(1)
        assert 1 <= float(row["batch_effective_negatives"]) <= 7
        assert float(row["batch_alignment"]) == pytest.approx(2 - 2 * float(row["batch_positive_cosine"]), abs=1e-5)
    document = json.loads((tmp_path / "geometry.json").read_text())
    assert document["step"] == 10
    assert document["figures"]["hubness"] == pytest.approx(float(looks[-1]["hubness"]), abs=1e-8)
    assert document.keys() >= {"spectrum", "histograms", "findings"}
    assert result.geometry == f"after step 10, {geometry.one_line(expected.figures)}"


def test_what_is_trained_is_the_same_to_the_bit_with_and_without_looks(tmp_path):
    plain, looked = Contrastive(), Contrastive()
    run(tmp_path / "plain", plain)
    run(tmp_path / "looked", looked, space=Space(looked), geometry_every=1)
    assert all(torch.equal(value, looked.state_dict()[name]) for name, value in plain.state_dict().items())
    assert table(tmp_path / "plain" / "metrics.csv") == table(tmp_path / "looked" / "metrics.csv")
    assert not (tmp_path / "plain" / "geometry.csv").exists()
    assert len(table(tmp_path / "looked" / "geometry.csv")) == 10


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_looks_go_on_where_a_run_was_stopped_and_nothing_is_said_twice(tmp_path, capfd, stop):
    def collapsed(x):
        return x.mean(0) + 0.001 * x

    module = Contrastive()
    run(tmp_path / "whole", module, space=Space(module, collapsed), geometry_every=2, show=True)
    assert capfd.readouterr().err.count("warning at step 2: mean cosine") == 1

    def until(start):
        for number, item in enumerate(source(start), start=start):
            if number == stop:
                raise KeyboardInterrupt
            yield item

    module = Contrastive()
    options = {"geometry_every": 2, "show": True}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", module, batches=until, space=Space(module, collapsed), **options)
    first = capfd.readouterr().err.count("warning")
    module = Contrastive()
    run(tmp_path / "cut", module, space=Space(module, collapsed), resume=True, **options)
    assert first + capfd.readouterr().err.count("warning") == 1
    for name in ("geometry.csv", "metrics.csv"):
        assert table(tmp_path / "cut" / name) == table(tmp_path / "whole" / name)
    ours, theirs = (json.loads((tmp_path / run / "geometry.json").read_text()) for run in ("cut", "whole"))
    assert ours == theirs
    assert ours["said"] == {"constant": 2}


def test_a_space_that_cannot_be_described_does_not_stop_the_run(tmp_path, capfd):
    module = Contrastive()
    result = run(tmp_path, module, space=Space(module, lambda x: x * 0), geometry_every=5, show=True)
    assert result.steps == 10
    assert "geometry at step 5: describe: row 0 is all zeros" in capfd.readouterr().err
    assert not (tmp_path / "geometry.csv").exists()


def test_a_look_that_cannot_be_written_is_said_in_one_sentence(tmp_path):
    module = Contrastive()
    (tmp_path / ".geometry.json.writing").mkdir()
    with pytest.raises(RunError, match=r"could not write the geometry: .*checkpoint of step 4 is whole; make room"):
        run(tmp_path, module, space=Space(module), geometry_every=5)


def test_tensorboard_has_the_figures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    module = Contrastive()
    run(tmp_path, module, space=Space(module), geometry_every=5, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"geometry/uniformity", "geometry/batch_alignment", "geometry/gradient_share_size"} <= set(
        events.Tags()["scalars"]
    )
    assert [event.step for event in events.Scalars("geometry/uniformity")] == [5, 10]


def test_settings_are_checked():
    with pytest.raises(InputError, match="geometry_every is -1"):
        TrainingConfig(geometry_every=-1)
    with pytest.raises(InputError, match="geometry_rows is 1"):
        TrainingConfig(geometry_rows=1)


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_a_text_method_is_looked_at_without_a_trace(tmp_path, micro_batch):
    """SimCSE with its second term, dropout and chunks: two terms, so that gradients are taken one by one."""
    rows = [{"text": f"{'very ' * (i % 5)}short text number {i}"} for i in range(30)]
    options = {"steps": 3, "batch_size": 8, "encoder_layers": 1, "max_tokens": 16, "mlm_weight": 0.1, "lr": 1e-3,
               "progress": False, "micro_batch": micro_batch, "precision": "fp32"}  # fmt: skip
    plain = likewise.train("simcse", rows, out=tmp_path / "plain", **options)
    looked = likewise.train("simcse", rows, out=tmp_path / "looked", geometry_every=2, geometry_rows=20, **options)
    assert plain.fingerprint == looked.fingerprint
    assert table(tmp_path / "plain" / "metrics.csv") == table(tmp_path / "looked" / "metrics.csv")
    looks = table(tmp_path / "looked" / "geometry.csv")
    assert [row["step"] for row in looks] == ["2", "3"]
    assert {row["rows"] for row in looks} == {"20"}
    assert 0 < float(looks[0]["gradient_share_mlm"]) < 1
    card = (tmp_path / "looked" / "README.md").read_text()
    assert "- geometry of the space after step 3, 20 vectors in 384 dimensions: " in card
    assert "geometry" not in (tmp_path / "plain" / "README.md").read_text()
    assert Checkpoints(tmp_path / "looked" / "checkpoints").steps() == [3]
