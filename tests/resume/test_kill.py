"""Real processes, killed without warning, go on to the bit."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from likewise.state import read_state
from likewise.training.checkpoint import Checkpoints
from likewise.training.log import TIMING

STEPS = 12


def command(out: Path, data: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "likewise", "train", "pairs", "--data", str(data), "--out", str(out),
        "--encoder-layers", "1", "--steps", str(STEPS), "--batch-size", "6", "--checkpoint-every", "2", "--json",
        "--learn-temperature", "--micro-batch", "4", "--geometry-every", "3", "--geometry-rows", "10", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [{"query": f"what is number {i}", "positive": f"it is {i * i} {'and more ' * (i % 4)}"} for i in range(25)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def finish(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False, env=environment())


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = finish(command(out, data))
    assert done.returncode == 0, done.stderr
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


def kill(arguments: list[str], out: Path, after_step: int) -> None:
    """Start a run and kill it once it has logged that many steps."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    deadline = time.monotonic() + 120
    metrics = out / "metrics.csv"
    wanted = out / "run.yaml" if after_step == 0 else metrics
    while time.monotonic() < deadline and process.poll() is None:
        if wanted.exists() and (after_step == 0 or len(metrics.read_text().splitlines()) > after_step):
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"


@pytest.mark.parametrize("after_step", [0, 5])
def test_a_run_killed_at_any_step_goes_on_to_the_bit(data, whole, tmp_path, after_step):
    out = tmp_path / "run"
    kill(command(out, data), out, after_step)
    done = finish(command(out, data, "--resume"))
    assert done.returncode == 0, done.stderr
    assert_same_run(out, whole)


def test_the_masked_language_loss_goes_on_to_the_bit(data, tmp_path):
    def with_mlm(out: Path) -> list[str]:
        words = command(out, data, "--columns", "text=query")
        words[words.index("pairs") : words.index("pairs") + 1] = ["simcse", "--mlm-weight", "0.1"]
        words.remove("--learn-temperature")
        return words

    whole, out = tmp_path / "whole", tmp_path / "run"
    done = finish(with_mlm(whole))
    assert done.returncode == 0, done.stderr
    assert all(0 < float(row["mlm"]) < float(row["loss"]) for row in log(whole))
    kill(with_mlm(out), out, after_step=5)
    done = finish([*with_mlm(out), "--resume"])
    assert done.returncode == 0, done.stderr
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
    done = finish(esimcse(whole))
    assert done.returncode == 0, done.stderr
    assert [float(row["queue_filled"]) for row in log(whole)] == [0, 6, 12, *[15] * 9]
    kill(esimcse(out), out, after_step=5)
    done = finish([*esimcse(out), "--resume"])
    assert done.returncode == 0, done.stderr
    assert_same_run(out, whole)
    ours, theirs = (read_state(Checkpoints(run / "checkpoints").path(STEPS), "method") for run in (out, whole))
    kept = [name for name in ours if name.startswith(("queue.", "momentum_tower."))]
    assert {"queue.stored", "queue.pointer", "queue.filled"} < {*kept}
    assert all(torch.equal(ours[name], theirs[name]) for name in kept)
    assert not [name for name in load_file(out / "model.safetensors") if "momentum" in name or "queue" in name]


def test_ctrl_c_writes_a_checkpoint_of_the_step_under_way_and_says_how_to_go_on(data, whole, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(out, data, "--checkpoint-every", "1000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(),
    )  # fmt: skip
    while not (out / "metrics.csv").exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "a checkpoint is written. Repeat the command with --resume" in stderr
    assert "Traceback" not in stderr
    (step,) = Checkpoints(out / "checkpoints").steps()
    assert 1 <= step < STEPS
    done = finish(command(out, data, "--checkpoint-every", "1000", "--resume"))
    assert done.returncode == 0, done.stderr
    assert_same_run(out, whole)


def test_changed_settings_and_changed_data_are_refused_by_name(data, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(command(out, data), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    while not (out / "run.yaml").exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    refused = finish(command(out, data, "--resume", "--lr", "0.5", "--temperature", "0.2"))
    assert refused.returncode == 1
    assert "lr was 2e-05 and is now 0.5" in refused.stderr
    assert "temperature was 0.05 and is now 0.2" in refused.stderr
    other = tmp_path / "pairs.jsonl"
    other.write_text(data.read_text() + "\n" + json.dumps({"query": "new", "positive": "row"}))
    original = data.read_text()
    try:
        data.write_text(other.read_text())
        refused = finish(command(out, data, "--resume"))
    finally:
        data.write_text(original)
    assert refused.returncode == 1
    assert "data_fingerprint was" in refused.stderr


def test_a_finished_run_is_left_as_it_is(data, whole):
    before = (whole / "model.safetensors").stat().st_mtime_ns
    done = finish(command(whole, data, "--resume"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["training"]["steps"] == STEPS
    assert (whole / "model.safetensors").stat().st_mtime_ns == before
