"""The vectors of labels: read from their file, equal by it, and never copied by pickling."""

import pickle

import numpy as np
import pytest
import torch

from likewise.memory import LabelTable


def test_it_reads_rows_and_goes_to_workers_without_the_vectors(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(2000, 50)).astype(np.float32)
    np.save(tmp_path / "labels.npy", vectors)
    table = LabelTable(tmp_path / "labels.npy")
    assert torch.equal(table.vectors([3, 3, 0]), torch.from_numpy(vectors[[3, 3, 0]]))
    packed = pickle.dumps(table)
    assert len(packed) < 500
    again = pickle.loads(packed)
    assert again == table
    assert hash(again) == hash(table)
    assert table != LabelTable(tmp_path / "other.npy")
    assert torch.equal(again.vectors(np.array([7])), torch.from_numpy(vectors[7:8]))
    with pytest.raises(IndexError):
        table.vectors([2000])


def test_what_it_hands_out_is_not_the_file(tmp_path):
    np.save(tmp_path / "labels.npy", np.zeros((2, 2), dtype=np.float32))
    table = LabelTable(tmp_path / "labels.npy")
    table.vectors([0]).add_(1)
    assert table.vectors([0]).sum() == 0
