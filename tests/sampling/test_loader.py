"""The loader: the planned batches in their order, the same for any number of workers, processes and restarts."""

import itertools
import os
import pickle
import signal

import numpy as np
import pytest
import torch

from likewise.data import Column, Text, open_table
from likewise.errors import InputError, RunError
from likewise.sampling import BatchLoader, BatchPlan, StreamPlan, plan_batches
from likewise.views.base import Batch

TEXT = [Column("text", Text)]
NUM_ROWS = 53


class Noisy:
    """Adds random numbers to each row."""

    def __call__(self, row, random):
        return {"text": row["text"], "noise": random.random(2)}

    def collate(self, examples, row_index):
        noise = torch.from_numpy(np.stack([example["noise"] for example in examples]))
        return Batch({"text": [example["text"] for example in examples], "noise": noise}, torch.tensor(row_index))


class Refusing(Noisy):
    """Cannot use one of the rows."""

    def __init__(self, error, text="row 7"):
        self.error, self.text = error, text

    def __call__(self, row, random):
        if row["text"] == self.text:
            raise self.error
        return super().__call__(row, random)


class Unpicklable(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


class Telling(Noisy):
    """Tells about the process it runs in."""

    def collate(self, examples, row_index):
        told = {
            "process": os.getpid(),
            "threads": torch.get_num_threads(),
            "interrupt": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
            "tokenizers": os.environ.get("TOKENIZERS_PARALLELISM"),
        }
        return Batch(told, torch.tensor(row_index))


class Dying(Noisy):
    def collate(self, examples, row_index):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("".join(f"row {i}\n" for i in range(NUM_ROWS)))
    return path


@pytest.fixture
def table(path, tmp_path):
    return open_table(path, columns=TEXT, cache=tmp_path / "cache")


def seen(loader, count):
    """What makes two batches the same, of the first few."""
    return [
        (batch.row_index.tolist(), batch["text"], batch["noise"].tolist())
        for batch in itertools.islice(iter(loader), count)
    ]


def loader_of(table, **options):
    plan = BatchPlan(NUM_ROWS, 8, seed=5)
    return BatchLoader(table, options.pop("views", Noisy()), plan, **options)


def test_batches_hold_the_planned_rows_in_their_order(table):
    planned = list(itertools.islice(BatchPlan(NUM_ROWS, 8, seed=5).batches(), 9))
    for (rows, texts, _), batch in zip(seen(loader_of(table), 9), planned, strict=True):
        assert rows == batch.rows
        assert texts == [f"row {row}" for row in batch.rows]


def test_randomness_is_a_function_of_seed_epoch_and_row(table):
    plan = BatchPlan(NUM_ROWS, 8, seed=5)
    for batch, (rows, _, noise) in zip(plan.batches(), seen(loader_of(table), 12), strict=False):
        expected = [np.random.default_rng([5, batch.epoch, row]).random(2).tolist() for row in rows]
        assert noise == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(table, workers):
    assert seen(loader_of(table, workers=workers), 16) == seen(loader_of(table), 16)


def test_spawned_workers_reopen_the_table_and_give_the_same_batches(table):
    spawned = loader_of(table, views=Noisy(), workers=1, start_method="spawn", prefetch=1)
    assert seen(spawned, 2) == seen(loader_of(table), 2)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", [1, 6, 7, 20])
def test_resuming_gives_the_rest_of_the_same_batches(table, workers, start):
    assert seen(loader_of(table, start=start, workers=workers), 4) == seen(loader_of(table), start + 4)[start:]


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_each_batch_contiguously_and_evenly(table, world_size):
    plan = BatchPlan(NUM_ROWS, 8, seed=5, min_rows=3)
    whole = list(itertools.islice(BatchLoader(table, Noisy(), plan), 8))
    parts = [
        list(itertools.islice(BatchLoader(table, Noisy(), plan, rank=rank, world_size=world_size), 8))
        for rank in range(world_size)
    ]
    for i, batch in enumerate(whole):
        expected = [part.tolist() for part in np.array_split(batch.row_index.numpy(), world_size)]
        assert [part[i].row_index.tolist() for part in parts] == expected
        assert torch.equal(torch.cat([part[i]["noise"] for part in parts]), batch["noise"])


def test_a_loader_can_be_gone_through_again(table):
    loader = loader_of(table)
    assert seen(loader, 3) == seen(loader, 3)


def test_the_global_random_state_is_not_touched(table):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    seen(loader_of(table, workers=1), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_view_arrives_as_it_was(table, workers):
    error = InputError("row 7 is no sentence.")
    with pytest.raises(InputError) as caught:
        seen(loader_of(table, views=Refusing(error), workers=workers), 8)
    assert str(caught.value) == "row 7 is no sentence."
    assert "raise self.error" in caught.value.__notes__[0]


def test_an_error_that_cannot_travel_arrives_with_its_name(table):
    views = Refusing(Unpicklable("one", "two"))
    with pytest.raises(RunError) as caught:
        seen(loader_of(table, views=views, workers=1), 8)
    assert str(caught.value) == "Unpicklable while a batch was made: one and two"


def test_batches_before_the_error_are_delivered(table):
    plan = BatchPlan(NUM_ROWS, 8, seed=5)
    good = next(batch.index for batch in plan.batches() if 7 in batch.rows)
    batches = iter(loader_of(table, views=Refusing(ValueError("no")), workers=1, prefetch=8))
    for _ in range(good):
        next(batches)
    with pytest.raises(ValueError, match=r"^no\n"):
        next(batches)


def test_workers_use_one_thread_and_leave_interrupts_to_the_training_process(table, monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    batch = next(iter(loader_of(table, views=Telling(), workers=1)))
    assert batch["process"] != os.getpid()
    assert (batch["threads"], batch["interrupt"], batch["tokenizers"]) == (1, True, "false")
    assert "TOKENIZERS_PARALLELISM" not in os.environ


def test_a_worker_that_is_killed_is_one_sentence(table):
    with pytest.raises(
        RunError, match=r"^a worker that prepares batches ended unexpectedly.* \(--workers 0 needs none\)"
    ):
        next(iter(loader_of(table, views=Dying(), workers=1)))


def test_more_workers_than_processors_are_no_warning(table, capfd):
    assert seen(loader_of(table, workers=3, prefetch=1), 1) == seen(loader_of(table), 1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": -1}, "workers must be >= 0, got -1"),
        ({"start": -1}, "start must be >= 0, got -1"),
        ({"prefetch": 0}, "prefetch must be >= 1, got 0"),
        ({"rank": 2, "world_size": 2}, r"rank must lie in \[0, world_size = 2\), got 2"),
        ({"world_size": 3}, "min_rows of the plan must be >= world_size = 3, got 2"),
    ],
)
def test_numbers_out_of_their_range_are_refused(table, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        loader_of(table, **options)


@pytest.fixture
def streamed(path):
    return open_table(path, columns=TEXT, streaming=True)


def stream_loader(table, **options):
    return BatchLoader(table, Noisy(), StreamPlan(table, 8, seed=5, buffer_rows=20), **options)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_streamed_table_gives_the_same_batches_for_any_number_of_workers(streamed, workers):
    assert seen(stream_loader(streamed, workers=workers), 16) == seen(stream_loader(streamed), 16)


def test_spawned_workers_need_nothing_of_a_streamed_table(streamed):
    spawned = stream_loader(streamed, workers=1, start_method="spawn", prefetch=1)
    assert seen(spawned, 2) == seen(stream_loader(streamed), 2)


def test_a_streamed_table_is_resumed_by_passing_rows_over(streamed):
    assert seen(stream_loader(streamed, start=9), 4) == seen(stream_loader(streamed), 13)[9:]


def test_processes_share_the_batches_of_a_streamed_table(streamed):
    whole = seen(stream_loader(streamed), 8)
    parts = [seen(stream_loader(streamed, rank=rank, world_size=2), 8) for rank in range(2)]
    assert [first[0] + second[0] for first, second in zip(*parts, strict=True)] == [rows for rows, _, _ in whole]


def test_the_table_decides_which_plan_it_gets(table, streamed):
    assert isinstance(plan_batches(table, 8, seed=0), BatchPlan)
    assert isinstance(plan_batches(streamed, 8, seed=0), StreamPlan)


def test_what_workers_are_given_is_small(table):
    assert len(pickle.dumps(loader_of(table)._maker)) < 20_000
