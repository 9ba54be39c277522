"""The launchers of the documentation, and what happens to a run when one of its processes dies."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import commands
import small_minilm

STEPS = 8
LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"],
    "accelerate": [
        "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m",
    ],
}  # fmt: skip
"""The commands of docs/training.md; the further options only say what the launcher would otherwise ask or guess."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [{"question": f"what is number {i}", "answer": f"it is {i * i}"} for i in range(40)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def words(out: Path, data: Path, *more: str) -> list[str]:
    return [
        "train", "pairs", "--data", str(data), "--columns", "query=question", "positive=answer", "--out", str(out),
        "--encoder", str(small_minilm.folder()), "--encoder-layers", "1", "--dropout", "0", "--steps", str(STEPS),
        "--batch-size", "7", "--precision", "fp32", "--checkpoint-every", "1", "--json", *more,
    ]  # fmt: skip


def start(launcher: str, out: Path, data: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *LAUNCHERS[launcher], "likewise", *words(out, data)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=300)
    finally:
        process.kill()


def losses(out: Path) -> list[float]:
    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))
    return [float(row["loss"]) for row in rows]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> list[float]:
    """The losses of one process that nothing interrupted: a function of the order of rows."""
    out = tmp_path_factory.mktemp("whole") / "run"
    code, _, stderr = commands.finish(*words(out, data))
    assert code == 0, stderr
    return losses(out)


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_a_launchers_two_processes_train_on_the_rows_of_one(launcher, data, whole, tmp_path):
    process = start(launcher, tmp_path / "run", data)
    stdout, stderr = finish(process)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["training"]["steps"] == STEPS  # said once, by the main process
    assert losses(tmp_path / "run") == pytest.approx(whole, rel=1e-3)


def workers(launcher: subprocess.Popen[str]) -> dict[int, psutil.Process]:
    """The training processes by rank."""
    found = {}
    for process in psutil.Process(launcher.pid).children(recursive=True):
        try:
            environment = process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if "RANK" in environment:
            found[int(environment["RANK"])] = process
    return found


@pytest.mark.parametrize("victim", [0, 1])
def test_a_run_whose_process_dies_ends_with_a_message_and_goes_on_with_another_number(victim, data, whole, tmp_path):
    out = tmp_path / "run"
    run = start("torchrun", out, data)
    metrics = out / "metrics.csv"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and len(metrics.read_text().splitlines()) > 2) and time.monotonic() < deadline:
        time.sleep(0.005)
    workers(run)[victim].send_signal(signal.SIGKILL)
    stdout, stderr = finish(run)
    assert run.returncode != 0
    assert not stdout
    assert f"local_rank: {victim}" in stderr  # the launcher says which process it was
    assert "another process of this run ended" in stderr
    assert "repeat the command with --resume" in stderr
    assert not (out / "likewise.json").exists()

    code, _, stderr = commands.finish(*words(out, data, "--resume"))
    assert code == 0, stderr
    assert losses(out) == pytest.approx(whole, rel=1e-3)


def test_sigterm_writes_a_checkpoint_of_the_step_under_way(data, tmp_path):
    out = tmp_path / "run"
    run = commands.start(*words(out, data, "--checkpoint-every", "1000", "--steps", "400"))
    commands.wait_until((out / "metrics.csv").exists, run)
    run.send_signal(signal.SIGTERM)
    _, stderr = run.communicate()
    assert run.returncode == 130
    assert "a checkpoint is written. Repeat the command with --resume" in stderr
    assert len(list((out / "checkpoints").iterdir())) == 1
