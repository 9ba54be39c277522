"""The fixture itself: a failing process fails the test with its reason, and never hangs it."""

import time

import pytest

from likewise import distributed


def _place() -> tuple[int, int]:
    return distributed.rank(), distributed.world_size()


def _fail_on_one() -> None:
    if distributed.rank() == 1:
        raise ValueError("no luck")
    distributed.barrier()


def _sleep() -> None:
    time.sleep(60)


@pytest.mark.parametrize("num_processes", [1, 2, 4])
def test_every_process_knows_its_place(processes, num_processes):
    assert processes.run(_place, num_processes=num_processes) == [
        (rank, num_processes) for rank in range(num_processes)
    ]


def test_a_failing_process_is_named_and_the_next_job_runs(processes):
    with pytest.raises(AssertionError, match=r"process 1 of 2 failed:[\s\S]*no luck"):
        processes.run(_fail_on_one, num_processes=2)
    assert processes.run(_place, num_processes=2) == [(0, 2), (1, 2)]


def test_a_job_that_does_not_end_is_ended(processes):
    with pytest.raises(AssertionError, match="did not end in time"):
        processes.run(_sleep, num_processes=1, timeout_s=0.5)
