import errno
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likewise.errors import RunError
from likewise.state import read_state, write_state
from likewise.training.checkpoint import Checkpoints, random_state, set_random_state

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
STATES = st.recursive(
    SCALARS | st.builds(lambda n: torch.arange(n), st.integers(0, 4)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(left, right) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@given(state=STATES)
def test_a_state_comes_back_as_it_was(tmp_path_factory, state):
    folder = tmp_path_factory.mktemp("state")
    write_state(folder, state)
    assert same(state, read_state(folder))


def test_special_floats_and_shared_tensors_come_back(tmp_path):
    shared = torch.randn(3)
    write_state(
        tmp_path, {"a": shared, "b": shared, "c": shared[1:], "inf": math.inf, "half": torch.ones(2).bfloat16()}
    )
    state = read_state(tmp_path)
    assert torch.equal(state["a"], state["b"])
    assert torch.equal(state["c"], shared[1:])
    assert state["inf"] == math.inf
    assert state["half"].dtype == torch.bfloat16


def test_what_is_no_state_is_refused_with_its_place(tmp_path):
    with pytest.raises(TypeError, match="state at '/optimizer/0' is object"):
        write_state(tmp_path, {"optimizer": [object()]})


def test_nothing_is_pickled(tmp_path):
    write_state(tmp_path, {"tensor": torch.ones(1), "number": 3})
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["state.json", "tensors.safetensors"]


def write(checkpoints: Checkpoints, step: int) -> None:
    folder = checkpoints.prepare(step)
    write_state(folder, {"step": step})
    checkpoints.publish(folder, step)


def test_only_the_last_checkpoints_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    for step in (1, 5, 20, 100):
        write(checkpoints, step)
    assert checkpoints.steps() == [20, 100]
    assert read_state(checkpoints.path(100)) == {"step": 100}


def test_an_unfinished_checkpoint_does_not_count_and_is_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    write(checkpoints, 3)
    checkpoints.prepare(4)
    assert checkpoints.steps() == [3]
    checkpoints.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    write(checkpoints, 3)
    checkpoints.prepare(6)
    error = checkpoints.failure(OSError(errno.ENOSPC, "No space left on device"), "the checkpoint")
    assert isinstance(error, RunError)
    assert "the disk is full" in str(error)
    assert "step 3 is whole" in str(error)
    assert checkpoints.steps() == [3]


def test_random_generators_go_on_where_they_were(tmp_path):
    import random

    import numpy as np

    write_state(tmp_path, random_state())
    drawn = (random.random(), float(np.random.rand()), torch.rand(3))  # noqa: S311, NPY002 - the global generators
    set_random_state(read_state(tmp_path))
    again = (random.random(), float(np.random.rand()), torch.rand(3))  # noqa: S311, NPY002
    assert drawn[:2] == again[:2]
    assert torch.equal(drawn[2], again[2])
