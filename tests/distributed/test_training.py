"""Training over several real processes gives what one process gives."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import commands
import small_minilm
from likewise.training.log import TIMING


def train(out: Path, data: Path, processes: int, *more: str, method: str = "pairs") -> tuple[int | None, str, str]:
    words = [
        "train", method, "--data", data, "--out", out, "--encoder", small_minilm.folder(), "--encoder-layers", "1",
        "--dropout", "0", "--steps", "4", "--batch-size", "7", "--precision", "fp32", "--lr", "1e-3", "--warmup", "0",
        "--json", *more,
    ]  # fmt: skip
    if processes == 1:
        return commands.finish(*words)
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "likewise"]
    program = [sys.executable, "-m", *launcher, *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False, env=environment)
    return done.returncode, done.stdout, done.stderr


OPTIONS = ("--learn-temperature", "--symmetric")
LOOKS = ("--geometry-every", "2", "--geometry-rows", "12")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("processes")
    data = folder / "pairs.jsonl"
    rows = [{"query": f"what is number {i}", "positive": f"it is {i * i}"} for i in range(40)]
    rows[3]["negative"] = ["it is none", "nobody knows"]  # hard negatives on one process only, in some steps
    data.write_text("\n".join(map(json.dumps, rows)))
    made = {}
    for processes in (1, 2):
        made[processes] = folder / str(processes)
        code, stdout, stderr = train(made[processes], data, processes, *OPTIONS)
        assert code == 0, stderr
        assert json.loads(stdout)["training"]["steps"] == 4
    return made


def log(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_processes_log_the_losses_of_one(runs):
    one, two = log(runs[1]), log(runs[2])
    for name in ("loss", "info_nce", "temperature", "grad_norm"):
        assert [float(row[name]) for row in two] == pytest.approx([float(row[name]) for row in one], rel=1e-3)


def test_two_processes_train_the_weights_of_one(runs):
    one, two = (load_file(runs[processes] / "model.safetensors") for processes in (1, 2))
    # AdamW divides by the size of a gradient, so a rounding in a gradient near 0 may move a weight by a learning rate.
    for name in one:
        if name.endswith("key.bias"):  # attention does not see it: its gradient is 0 but for rounding
            continue
        apart = (one[name] - two[name]).abs()
        assert apart.mean() < 1e-5, name
        assert torch.quantile(apart.flatten()[:100_000], 0.99) < 1e-4, name


def of_training(out: Path) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name not in TIMING} for row in log(out)]


@pytest.mark.parametrize("processes", [1, 2])
def test_looks_at_the_space_change_nothing_of_what_processes_train(runs, tmp_path, processes):
    out = tmp_path / "run"
    code, _, stderr = train(out, runs[1].parent / "pairs.jsonl", processes, *OPTIONS, *LOOKS)
    assert code == 0, stderr
    assert of_training(out) == of_training(runs[processes])
    plain, looked = (load_file(folder / "model.safetensors") for folder in (runs[processes], out))
    assert all(torch.equal(plain[name], looked[name]) for name in plain)
    with (out / "geometry.csv").open(newline="") as file:
        looks = list(csv.DictReader(file))
    assert [row["step"] for row in looks] == ["2", "4"]
    assert all(1 <= float(row["batch_effective_negatives"]) <= 6 for row in looks)  # seven rows over all processes


def test_gradients_of_the_terms_change_nothing_of_what_two_processes_train(runs, tmp_path):
    options = ("--columns", "text=query", "--mlm-weight", "0.1", "--dropout", "0.1")
    for name, more in (("plain", ()), ("looked", LOOKS)):
        code, _, stderr = train(tmp_path / name, runs[1].parent / "pairs.jsonl", 2, *options, *more, method="simcse")
        assert code == 0, stderr
    assert of_training(tmp_path / "plain") == of_training(tmp_path / "looked")
    plain, looked = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "looked"))
    assert all(torch.equal(plain[name], looked[name]) for name in plain)
    with (tmp_path / "looked" / "geometry.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert 0 < float(row["gradient_share_mlm"]) < 1
