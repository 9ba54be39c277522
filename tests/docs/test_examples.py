"""The examples run, at a tiny scale."""

import runpy
import sys

import pytest

from likewise.methods import METHODS


def example_of(method, root):
    """Where the example of a method is: the same field and name as its file."""
    field, name = METHODS[method].where.partition(":")[0].split(".")[-2:]
    return root / "examples" / field / f"{name}.py"


@pytest.mark.parametrize("method", METHODS)
def test_the_example_of_a_method_runs(method, root, monkeypatch, capsys):
    path = example_of(method, root)
    monkeypatch.setattr(sys, "argv", [str(path), "--steps", "2"])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


def test_there_is_an_example_for_every_method_and_no_other(root):
    assert set((root / "examples").rglob("*.py")) == {example_of(method, root) for method in METHODS}
