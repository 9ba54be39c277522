import csv
import itertools
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from likewise.errors import NotFiniteError, RunError
from likewise.training import StepOutput, Trainable, TrainingConfig, fit
from likewise.training.checkpoint import Checkpoints
from likewise.training.log import TIMING
from likewise.views import Batch


class Regression(nn.Module, Trainable):
    """The smallest thing that trains: a line, with two named terms and a counter that only ``after_step`` moves."""

    def __init__(self, bad_step=None, how="term"):
        super().__init__()
        self.line = nn.Linear(3, 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.bad_step, self.how = bad_step, how

    def forward(self, batch):
        error = (self.line(batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean()
        size = self.line.weight.square().sum() * 0.01
        if self.bad_step is not None and int(self.steps) + 1 == self.bad_step:
            if self.how == "engine":
                raise NotFiniteError("logsumexp: query has an element that is not finite in row 2.")
            size = size * float("nan")
        return StepOutput({"error": error, "size": size}, {"bias": self.line.bias.detach()})

    def after_step(self):
        self.steps += 1


def source(start):
    step = start
    while True:
        generator = torch.Generator().manual_seed(step)
        yield step / 10, Batch({"x": torch.randn(4, 3, generator=generator)}, torch.arange(4))
        step += 1


def run(folder: Path, method: nn.Module, steps=10, batches=source, **settings):
    options = {key: settings.pop(key) for key in ("resume", "validation") if key in settings}
    config = TrainingConfig(lr=0.05, checkpoint_every=4, precision="fp32", **settings)
    return fit(method, batches, config, steps, folder, show_progress=False, **options)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_term_and_metric_is_a_column(tmp_path):
    torch.manual_seed(0)
    method = Regression()
    _, batch = next(source(99))
    before = method(batch).loss.item()
    result = run(tmp_path, method, warmup=0.2)
    assert method(batch).loss.item() < before
    log = rows(tmp_path / "metrics.csv")
    assert list(log[0]) == [
        "step", "epoch", "loss", "error", "size", "bias", "lr", "grad_norm", "encoded", "rows_per_s", "seconds",
        "wait_seconds",
    ]  # fmt: skip
    for row in log:
        assert float(row["loss"]) == pytest.approx(float(row["error"]) + float(row["size"]), rel=1e-5)
    assert [float(row["lr"]) for row in log[:4]] == pytest.approx([0, 0.025, 0.05, 0.05 * 7 / 8])
    assert (result.steps, int(method.steps)) == (10, 10)
    assert not method.training


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_each_schedule_warms_up_and_ends_where_it_says(tmp_path, schedule):
    run(tmp_path, Regression(), schedule=schedule, warmup=0.2)
    rates = [float(row["lr"]) for row in rows(tmp_path / "metrics.csv")]
    assert rates[0] == 0
    assert max(rates) == pytest.approx(0.05)
    assert (rates[-1] == pytest.approx(0.05)) == (schedule == "constant")


def test_long_gradients_are_cut_to_the_norm(tmp_path):
    before = Regression()
    with torch.no_grad():
        before.line.weight.fill_(100.0)
    run(tmp_path, before, steps=1, clip_norm=1e-3)
    assert float(rows(tmp_path / "metrics.csv")[0]["grad_norm"]) > 1  # what is logged is the norm before the cut


@pytest.mark.parametrize(("how", "says"), [("term", "the loss term 'size'"), ("engine", "query has an element")])
def test_a_loss_that_is_not_finite_ends_the_run_by_name_and_keeps_the_checkpoint(tmp_path, how, says):
    with pytest.raises(RunError, match=says) as error:
        run(tmp_path, Regression(bad_step=7, how=how))
    assert "not finite at step 7" in str(error.value)
    assert "the checkpoint of step 4 is kept" in str(error.value)
    assert Checkpoints(tmp_path / "checkpoints").steps() == [4]
    assert [row["step"] for row in rows(tmp_path / "metrics.csv")] == [str(step) for step in range(1, 7)]


def test_everything_goes_on_to_the_bit(tmp_path):
    torch.manual_seed(0)
    whole = Regression()
    run(tmp_path, whole)
    for stop in range(1, 10):
        folder = tmp_path / str(stop)
        folder.mkdir()
        torch.manual_seed(0)

        def until(start, stop=stop):
            for number, item in enumerate(source(start), start=start):
                if number == stop:
                    raise KeyboardInterrupt
                yield item

        with pytest.raises(KeyboardInterrupt):
            run(folder, Regression(), batches=until)
        again = Regression()
        if Checkpoints(folder / "checkpoints").steps() == []:
            torch.manual_seed(0)
            again = Regression()
        run(folder, again, resume=True)
        assert all(torch.equal(value, again.state_dict()[key]) for key, value in whole.state_dict().items())
        kept = [{k: v for k, v in row.items() if k not in TIMING} for row in
                rows(folder / "metrics.csv")]  # fmt: skip
        assert kept == [{k: v for k, v in row.items() if k not in TIMING} for row in
                        rows(tmp_path / "metrics.csv")]  # fmt: skip


def test_the_best_model_is_put_back_and_measuring_changes_nothing(tmp_path):
    figures = iter([0.1, 0.9, 0.3, 0.2])
    seen = []
    torch.manual_seed(0)
    method = Regression()

    def measure():
        seen.append(method.line.weight.detach().clone())
        torch.rand(5)  # a measurement may draw numbers; training must not notice
        return {"score": next(figures)}

    result = run(tmp_path, method, validation=measure, eval_every=3)
    assert (result.best_step, result.best) == (6, {"score": 0.9})
    assert torch.equal(method.line.weight, seen[1])
    torch.manual_seed(0)
    (tmp_path / "plain").mkdir()
    run(tmp_path / "plain", Regression())
    assert [row["loss"] for row in rows(tmp_path / "metrics.csv")] == [
        row["loss"] for row in rows(tmp_path / "plain" / "metrics.csv")
    ]


def run_out_of_disk(folder: Path) -> None:
    """Runs in a process of its own: from step 6 on no file may grow, which is what a full disk does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def filling(start):
        for number, item in enumerate(source(start), start=start):
            if number == 5:
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            yield item

    run(folder, Regression(), batches=filling, log_every=100)


def test_a_disk_that_takes_no_more_is_one_sentence_and_the_last_checkpoint_survives(tmp_path):
    script = (
        "import pathlib, sys\n"
        "from likewise.errors import RunError\n"
        "from training.test_loop import run_out_of_disk\n"
        "try: run_out_of_disk(pathlib.Path(sys.argv[1]))\n"
        "except RunError as error: sys.stderr.write(str(error))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE, text=True, check=True, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
    )  # fmt: skip
    message = ended.stderr
    assert "could not write the checkpoint" in message
    assert "The checkpoint of step 4 is whole" in message
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000004"]
    again = Regression()
    run(tmp_path, again, resume=True)
    assert int(again.steps) == 10


class InTurn(Regression):
    """Two objectives over one line; the second also trains a bias of its own, and learns faster."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(2))

    def learning_rates(self):
        return {"offset": 10.0}

    def objectives(self):
        return ("sum", "offset")

    def objective_of(self, batch):
        return batch.group

    def forward(self, batch):
        line = self.line(batch["x"])
        if batch.group == "sum":
            return StepOutput({"sum": (line - batch["x"].sum(1, keepdim=True)).square().mean()})
        return StepOutput({"offset": (line + self.offset - 1).square().mean()})


def in_turn(start):
    for step, (epoch, batch) in enumerate(source(start), start=start):
        batch.group = ("sum", "offset", "offset")[step % 3]
        yield epoch, batch


def test_each_objective_steps_with_an_optimiser_of_its_own(tmp_path):
    torch.manual_seed(0)
    method, by_hand = InTurn(), InTurn()
    by_hand.load_state_dict(method.state_dict())
    result = run(tmp_path, method, steps=9, batches=in_turn, schedule="constant", warmup=0.0, clip_norm=0.0)
    weight, bias = by_hand.line.weight, by_hand.line.bias
    groups = [{"params": [weight], "weight_decay": 0.01}, {"params": [bias]}]
    own = {"params": [by_hand.offset], "lr": 0.5}
    optimizers = {
        "sum": torch.optim.AdamW(groups, lr=0.05, weight_decay=0.0),
        "offset": torch.optim.AdamW([*groups, own], lr=0.05, weight_decay=0.0),
    }
    for _, batch in itertools.islice(in_turn(0), 9):
        optimizer = optimizers[batch.group]
        optimizer.zero_grad()
        by_hand(batch).loss.backward()
        optimizer.step()
    assert result.steps == 9
    for name, value in method.state_dict().items():
        if name != "steps":
            torch.testing.assert_close(value, by_hand.state_dict()[name], rtol=1e-5, atol=1e-6, msg=name)
    rates = [float(row["lr"]) for row in rows(tmp_path / "metrics.csv")]
    assert rates == pytest.approx([0.05] * 9)


def test_the_learning_rates_of_all_objectives_follow_the_run(tmp_path):
    run(tmp_path, InTurn(), steps=9, batches=in_turn, warmup=0.0)
    assert [float(row["lr"]) for row in rows(tmp_path / "metrics.csv")] == pytest.approx(
        [0.05 * (9 - step) / 9 for step in range(9)]
    )


def test_several_optimisers_go_on_to_the_bit(tmp_path):
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    torch.manual_seed(0)
    whole = InTurn()
    run(tmp_path / "whole", whole, batches=in_turn)

    def until(start):
        yield from itertools.islice(in_turn(start), 6)
        raise KeyboardInterrupt

    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", InTurn(), batches=until)
    again = InTurn()
    run(tmp_path / "stopped", again, batches=in_turn, resume=True)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in whole.state_dict().items())


def test_a_batch_of_no_objective_is_refused_by_name(tmp_path):
    def unknown(start):
        for epoch, batch in in_turn(start):
            batch.group = "acts"
            yield epoch, batch

    method = InTurn()
    method.forward = lambda batch: StepOutput({"sum": method.line(batch["x"]).mean()})
    with pytest.raises(ValueError, match=r"objective 'acts', not one of \['sum', 'offset'\]"):
        run(tmp_path, method, batches=unknown)
