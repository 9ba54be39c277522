"""A run that is stopped behind its first checkpoint and goes on, beside one that was not stopped."""

import csv

import pytest

import likewise
from likewise.training.checkpoint import Checkpoints


def logged(out, *names):
    """What every step of a run has logged, without the times."""
    with (out / "metrics.csv").open(newline="") as file:
        return [tuple(float(row[name]) for name in names) for row in csv.DictReader(file)]


def losses(out):
    return [loss for (loss,) in logged(out, "loss")]


def goes_on_to_the_bit(monkeypatch, folder, method, rows, **settings):
    """Train in ``folder/whole``, and with an interruption in ``folder/cut``; weights and losses are the same."""
    whole = likewise.train(method, rows, out=folder / "whole", **settings)
    published = Checkpoints.publish

    def stops(self, temporary, step):
        published(self, temporary, step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "publish", stops)
        with pytest.raises(KeyboardInterrupt):
            likewise.train(method, rows, out=folder / "cut", **settings)
    assert 0 < len(losses(folder / "cut")) < settings["steps"]
    again = likewise.train(method, rows, out=folder / "cut", resume=True, **settings)
    assert again.fingerprint == whole.fingerprint
    assert losses(folder / "cut") == losses(folder / "whole")
