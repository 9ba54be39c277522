"""What is mixed: different keys of a row's own nearest, alike whatever process holds the row."""

import copy

import pytest
import torch

from likewise.errors import InputError
from likewise.sampling import HardNegativeMixer

ROWS = torch.arange(6)
HARDEST = 100 * ROWS[:, None] + torch.arange(4)  # each row has keys of its own


def mixer(hardest=4, pairs=50, with_query=50, max_share=0.5, seed=0) -> HardNegativeMixer:
    torch.manual_seed(seed)
    return HardNegativeMixer(hardest, pairs, with_query, max_share)


def same(one, other) -> bool:
    return all(torch.equal(x, other.__dict__[name]) for name, x in one.__dict__.items())


def test_pairs_are_of_two_different_keys_of_the_row_itself_and_all_come_up():
    made = mixer()(HARDEST, ROWS)
    for drawn in (made.first, made.second, made.single):
        assert torch.equal(drawn // 100, ROWS[:, None].expand(6, 50))
        assert all(set((row % 100).tolist()) == {0, 1, 2, 3} for row in drawn)
    assert (made.first != made.second).all()
    pairs = {(int(a) % 100, int(b) % 100) for a, b in zip(made.first.flatten(), made.second.flatten(), strict=True)}
    assert len(pairs) == 12  # every ordered pair


def test_weights_lie_in_their_ranges():
    made = mixer(max_share=0.2)(HARDEST, ROWS)
    assert 0 <= made.share.min() < 0.1
    assert 0.9 < made.share.max() < 1
    assert 0.18 < made.query_share.max() < 0.2
    assert made.counted.all()


def test_what_is_drawn_depends_on_seed_step_and_row_alone():
    one, other, third = mixer(), mixer(), mixer(seed=1)
    whole = one(HARDEST, ROWS)
    order = torch.tensor([4, 1])
    part = other(HARDEST[order], ROWS[order])
    assert torch.equal(part.first, whole.first[order])
    assert torch.equal(part.query_share, whole.query_share[order])
    later = one(HARDEST, ROWS)
    assert not torch.equal(later.share, whole.share)
    assert not torch.equal(third(HARDEST, ROWS).share, whole.share)
    other(HARDEST, ROWS)
    resumed = mixer(seed=5)
    resumed.load_state_dict(copy.deepcopy(one.state_dict()))
    assert same(resumed(HARDEST, ROWS), one(HARDEST, ROWS))


def test_it_leaves_the_global_generators_alone():
    one = mixer()
    before = torch.get_rng_state()
    one(HARDEST, ROWS)
    assert torch.equal(torch.get_rng_state(), before)


def test_few_keys_are_made_do_with_and_none_is_said():
    few = torch.tensor([[7, -1, -1, -1], [3, 5, -1, -1], [-1, -1, -1, -1]])
    made = mixer()(few, torch.arange(3))
    assert (made.first[0] == 7).all()  # the only one, twice
    assert (made.second[0] == 7).all()
    assert (made.first[1] + made.second[1] == 8).all()
    assert made.counted.tolist() == [True, True, False]
    assert mixer()(HARDEST[:0], ROWS[:0]).first.shape == (0, 50)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hardest": 0}, "hardest is 0"),
        ({"pairs": -1}, "pairs is -1"),
        ({"max_share": 0.6}, "query_share is 0.6"),
        ({"max_share": 0.0}, "query_share is 0.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        mixer(**settings)
