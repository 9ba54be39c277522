"""Real processes, killed without warning, go on to the bit."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import commands
import small_minilm
from likewise.state import read_state
from likewise.training.checkpoint import Checkpoints
from likewise.training.log import TIMING

STEPS = 12


def command(out: Path, data: Path, *more: str) -> list[str]:
    return [
        "train", "pairs", "--data", str(data), "--out", str(out), "--encoder", str(small_minilm.folder()),
        "--encoder-layers", "1", "--steps", str(STEPS), "--batch-size", "6", "--checkpoint-every", "2", "--json",
        "--learn-temperature", "--micro-batch", "4", "--geometry-every", "3", "--geometry-rows", "10", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [{"query": f"what is number {i}", "positive": f"it is {i * i} {'and more ' * (i % 4)}"} for i in range(25)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def finish(words: list[str]) -> str:
    code, out, err = commands.finish(*words)
    assert code == 0, err
    return out


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(command(out, data))
    return out


def log(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMING} for row in csv.DictReader(file)]


def assert_same_run(out: Path, whole: Path) -> None:
    ours, theirs = load_file(out / "model.safetensors"), load_file(whole / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert log(out) == log(whole)
    assert [row["step"] for row in log(out)] == [str(step) for step in range(1, STEPS + 1)]
    assert (out / "geometry.csv").read_text() == (whole / "geometry.csv").read_text()
    assert len((out / "geometry.csv").read_text().splitlines()) == 1 + STEPS // 3


def kill(words: list[str], out: Path, after_step: int) -> None:
    """Start a run and kill it once it has logged that many steps."""
    run, metrics = commands.start(*words), out / "metrics.csv"

    def there() -> bool:
        if after_step == 0:
            return (out / "run.yaml").exists()
        return metrics.exists() and len(metrics.read_text().splitlines()) > after_step

    commands.wait_until(there, run)
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL, "the run ended before it was killed"


def in_a_python_of_its_own(words: list[str]) -> str:
    """As people do; the other commands are forks of a process that has imported everything."""
    program = [sys.executable, "-m", "likewise", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("after_step", "finished"), [(0, finish), (5, in_a_python_of_its_own)])
def test_a_run_killed_at_any_step_goes_on_to_the_bit(data, whole, tmp_path, after_step, finished):
    out = tmp_path / "run"
    kill(command(out, data), out, after_step)
    finished(command(out, data, "--resume"))
    assert_same_run(out, whole)


def test_the_masked_language_loss_goes_on_to_the_bit(data, tmp_path):
    def with_mlm(out: Path) -> list[str]:
        words = command(out, data, "--columns", "text=query")
        words[words.index("pairs") : words.index("pairs") + 1] = ["simcse", "--mlm-weight", "0.1"]
        words.remove("--learn-temperature")
        return words

    whole, out = tmp_path / "whole", tmp_path / "run"
    finish(with_mlm(whole))
    assert all(0 < float(row["mlm"]) < float(row["loss"]) for row in log(whole))
    kill(with_mlm(out), out, after_step=5)
    finish([*with_mlm(out), "--resume"])
    assert_same_run(out, whole)
    assert not [name for name in load_file(out / "model.safetensors") if "mlm" in name]
    last = read_state(Checkpoints(out / "checkpoints").path(STEPS), "method")
    assert [name for name in last if name.startswith("mlm.head.")]


def test_queue_momentum_tower_and_repetitions_go_on_to_the_bit(data, tmp_path):
    def esimcse(out: Path) -> list[str]:
        words = command(out, data, "--columns", "text=query", "--queue-size", "15")
        words[words.index("pairs") : words.index("pairs") + 1] = ["esimcse", "--repetition-rate", "0.9"]
        words.remove("--learn-temperature")
        return words

    whole, out = tmp_path / "whole", tmp_path / "run"
    finish(esimcse(whole))
    assert [float(row["queue_filled"]) for row in log(whole)] == [0, 6, 12, *[15] * 9]
    kill(esimcse(out), out, after_step=5)
    finish([*esimcse(out), "--resume"])
    assert_same_run(out, whole)
    ours, theirs = (read_state(Checkpoints(run / "checkpoints").path(STEPS), "method") for run in (out, whole))
    kept = [name for name in ours if name.startswith(("queue.", "momentum_tower."))]
    assert {"queue.stored", "queue.pointer", "queue.filled"} < {*kept}
    assert all(torch.equal(ours[name], theirs[name]) for name in kept)
    assert not [name for name in load_file(out / "model.safetensors") if "momentum" in name or "queue" in name]


def test_ctrl_c_writes_a_checkpoint_of_the_step_under_way_and_says_how_to_go_on(data, whole, tmp_path):
    out = tmp_path / "run"
    run = commands.start(*command(out, data, "--checkpoint-every", "1000"))
    commands.wait_until((out / "metrics.csv").exists, run)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate()
    assert run.returncode == 130
    assert "a checkpoint is written. Repeat the command with --resume" in err
    assert "Traceback" not in err
    (step,) = Checkpoints(out / "checkpoints").steps()
    assert 1 <= step < STEPS
    finish(command(out, data, "--checkpoint-every", "1000", "--resume"))
    assert_same_run(out, whole)


def test_changed_settings_and_changed_data_are_refused_by_name(data, tmp_path):
    out = tmp_path / "run"
    kill(command(out, data), out, after_step=0)
    code, _, err = commands.finish(*command(out, data, "--resume", "--lr", "0.5", "--temperature", "0.2"))
    assert code == 1
    assert "lr was 2e-05 and is now 0.5" in err
    assert "temperature was 0.05 and is now 0.2" in err
    original = data.read_text()
    try:
        data.write_text(original + "\n" + json.dumps({"query": "new", "positive": "row"}))
        code, _, err = commands.finish(*command(out, data, "--resume"))
    finally:
        data.write_text(original)
    assert code == 1
    assert "data_fingerprint was" in err


def test_a_finished_run_is_left_as_it_is(data, whole):
    before = (whole / "model.safetensors").stat().st_mtime_ns
    assert json.loads(finish(command(whole, data, "--resume")))["training"]["steps"] == STEPS
    assert (whole / "model.safetensors").stat().st_mtime_ns == before
