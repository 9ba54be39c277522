"""Memory is that of the rows and of a fixed number of tiles: measured, each size in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

MEASURE = """
import json, os, sys, torch
from likewise.losses import table_cross_entropy
from likewise.pairwise import histogram, logsumexp, softmax_bce, topk
torch.set_num_threads(1)

def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

def run(num_rows):
    query = torch.randn(num_rows, 8).requires_grad_()
    key = torch.randn(num_rows, 8).requires_grad_()
    rows, columns = logsumexp(query, key, over="both", scale=0.1)
    (rows.sum() + columns.sum()).backward()

def run_with_function(num_rows):
    query = torch.randn(num_rows, 8).requires_grad_()
    mod = lambda score, row, column: score.masked_fill(row.index == column.index, 0.0)
    logsumexp(query, query, scale=0.1, score_mod=mod).sum().backward()

def run_bce(num_rows):
    query = torch.randn(num_rows, 8).requires_grad_()
    softmax_bce(query, query, picked=torch.arange(num_rows), scale=0.1).sum().backward()

def run_topk(num_rows):
    x = torch.randn(num_rows, 8)
    topk(x, x, 10)

def run_histogram(num_rows):
    x = torch.randn(num_rows, 8)
    histogram(x, x, torch.linspace(-9, 9, 41))

def run_table(num_rows):
    query = torch.randn(num_rows, 8).requires_grad_()
    target = torch.arange(num_rows)
    table_cross_entropy(query, torch.randn(50_000, 8), target).values.sum().backward()

kinds = {
    "plain": run, "function": run_with_function, "bce": run_bce, "table": run_table, "topk": run_topk,
    "histogram": run_histogram,
}
for kind, num_rows in json.loads(sys.argv[1]):
    if os.fork() == 0:  # importing torch is most of what a process would cost
        kinds[kind](64)  # what a first call sets up
        before = peak_mb()
        kinds[kind](num_rows)
        print(json.dumps([kind, num_rows, peak_mb() - before]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""


GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Lets glibc return freed tiles at once; how many it would hold on to differs from run to run."""


SIZES = {
    "plain": ((8_000, 24_000), 320),  # tiles are kept up to a fixed size, and not where they would be few
    "table": ((1_500, 5_000), 320),
    "function": ((5_000, 10_000), 90),
    "bce": ((2_500, 5_000), 90),
    "topk": ((5_000, 15_000), 60),
    "histogram": ((5_000, 10_000), 60),
}
"""For each kind two numbers of rows, and the MB that the smaller may take."""


@pytest.fixture(scope="module")
def peaks_mb() -> dict[tuple[str, int], float]:
    """The highest memory of each kind at each size."""
    wanted = [(kind, size) for kind, (sizes, _) in SIZES.items() for size in sizes]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(wanted)], capture_output=True, text=True, check=True, timeout=300,
        env={**os.environ, **GIVE_BACK},
    )  # fmt: skip
    return {(kind, size): peak for kind, size, peak in map(json.loads, done.stdout.splitlines())}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
@pytest.mark.parametrize("kind", SIZES)
def test_memory_is_flat_beyond_a_tile(kind, peaks_mb):
    """All pairs of the larger problem take 2.3, 1.0, 0.4, 0.1, 0.9 and 0.4 GB a copy; its rows and gradients 4 MB."""
    sizes, allowed_mb = SIZES[kind]
    small, large = (peaks_mb[kind, size] for size in sizes)
    assert small < allowed_mb
    assert large < small + 10
