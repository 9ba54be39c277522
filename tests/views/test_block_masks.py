"""Hidden blocks: how much, where, from whom, and that only the row's own generator decides."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.views import BlockMaskedViews, ImageViews, augmentation, block_mask


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 0.99), st.integers(0, 1000))
def test_no_more_than_the_share_is_hidden(height, width, share, seed):
    mask = block_mask(height, width, share, np.random.default_rng(seed))
    assert mask.shape == (height, width)
    assert mask.sum() <= share * height * width


def test_about_the_share_is_hidden_everywhere_and_in_blocks():
    masks = np.stack([block_mask(14, 14, 0.15, np.random.default_rng(seed)) for seed in range(300)])
    assert 0.13 < masks.mean() <= 0.15
    assert masks.any(axis=0).all()
    alike = (masks[:, :, :-1] == masks[:, :, 1:]).mean()  # cells side by side; 0.745 if each were drawn by itself
    assert alike > 0.9


PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)


def views(**settings):
    inner = ImageViews(dict.fromkeys(("first", "second"), augmentation("none", size=8, channels=1)))
    return BlockMaskedViews(inner, ("first",), (7,), **{"patch": 3, "ratio": 0.5, **settings})


def test_whole_cells_of_a_copy_take_the_fill_and_the_rest_stays():
    made = views()({"image": PICTURE}, np.random.default_rng(1))
    assert set(made) == {"first", "second", "first_masked"}
    whole, masked = made["first"][0], made["first_masked"][0]
    hidden = (masked != whole)[:6, :6].reshape(2, 3, 2, 3).transpose(1, 2).flatten(2)
    assert 0 < hidden.any(2).sum() <= 2  # of four cells of 3 x 3 pixels
    assert (masked[:6, :6].reshape(2, 3, 2, 3).transpose(1, 2).flatten(2)[hidden.any(2)] == 7).all()
    assert torch.equal(masked[6:], whole[6:])
    batch = views().collate([made, made], [4, 5])
    assert batch["first_masked"].shape == (2, 1, 8, 8)
    assert batch["first_masked"].dtype == torch.uint8


def test_the_generator_of_the_row_decides_and_views_can_be_sent_to_workers():
    sent = pickle.loads(pickle.dumps(views(patch=1, spread=0.2)))
    one, again, other = (sent({"image": PICTURE}, np.random.default_rng(seed))["first_masked"] for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_share_is_drawn_for_each_view():
    made = views(patch=1, ratio=0.3, spread=0.3)
    seen = [made({"image": PICTURE}, np.random.default_rng(seed)) for seed in range(100)]
    shares = [(one["first_masked"] != one["first"]).float().mean() for one in seen]
    assert min(shares) < 0.1
    assert max(shares) > 0.5
    assert max(shares) <= 0.6


def test_what_cannot_be_is_said():
    with pytest.raises(InputError, match="the share that is hidden is 1"):
        views(ratio=1.0)
    with pytest.raises(InputError, match=r"varies by 0.3 around 0.2"):
        views(ratio=0.2, spread=0.3)
