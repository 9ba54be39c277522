"""Views of pictures: seeded by the row, picklable, and of the form that towers read."""

import pickle

import numpy as np
import PIL.Image
import pytest
import torch

from likewise.data import StoredImage
from likewise.errors import InputError
from likewise.views import AUGMENTATIONS, ImageViews, LabelledViews, augmentation


def row(size=(20, 12), **more):
    array = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return {"image": StoredImage.of(array), **more}


def made(views, seed=0, **more):
    return views(row(**more), np.random.default_rng([seed, 1]))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_view_is_bytes_of_the_towers_size_and_a_function_of_the_rows_generator(name, channels):
    views = ImageViews(dict.fromkeys(("first", "second"), augmentation(name, size=8, channels=channels)))
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    one = made(views)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert one["first"].shape == (channels, 8, 8)
    assert one["first"].dtype == torch.uint8
    torch.manual_seed(4)
    again, other = made(pickle.loads(pickle.dumps(views))), [made(views, seed) for seed in range(1, 9)]
    assert all(torch.equal(one[view], again[view]) for view in one)
    differs = any(not torch.equal(one["first"], another["first"]) for another in other)
    assert differs == (name != "none")
    assert torch.equal(one["first"], one["second"]) == (name == "none")


def test_a_batch_holds_the_views_of_its_rows_and_their_values():
    views = ImageViews({"view": augmentation("crop", size=8)}, values=("weight",))
    labelled = LabelledViews(views, "label", classes=("cat", "dog"))
    rows = [row(weight=0.5, label="dog"), row(weight=2.0, label="cat")]
    examples = [labelled(one, np.random.default_rng(i)) for i, one in enumerate(rows)]
    batch = labelled.collate(examples, [7, 3])
    assert batch["view"].shape == (2, 3, 8, 8)
    assert batch["weight"].tolist() == [0.5, 2.0]
    assert batch["label"].tolist() == [1, 0]
    assert batch.row_index.tolist() == [7, 3]
    assert pickle.loads(pickle.dumps(labelled)) == labelled


def test_signs_are_moved_and_never_turned_over():
    """A flip would make another letter of some."""
    half = np.zeros((16, 16), dtype=np.uint8)
    half[:, :6] = 255
    change = augmentation("glyph", size=16, channels=1)
    for seed in range(40):
        torch.manual_seed(seed)
        view = change(PIL.Image.fromarray(half)).float()
        assert view[..., :8].mean() > view[..., 8:].mean() + 20


def test_an_unknown_augmentation_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'simclr'"):
        augmentation("simclrr", size=8)


def test_strong_changes_are_those_of_the_official_code_and_each_is_drawn():
    """A step of grey from 40 to 200: what is made of it tells which change it was."""
    from likewise.views.image import _one_strong_change

    picture = torch.full((3, 20, 20), 40, dtype=torch.uint8)
    picture[:, :, 10:] = 200
    change, seen = _one_strong_change(20), set()
    torch.manual_seed(0)
    for _ in range(400):
        made = change(picture)
        assert made.shape == picture.shape
        assert made.dtype == torch.uint8
        left, right = int(made[0, 10, 2]), int(made[0, 10, 17])
        if torch.equal(made, picture):
            seen.add("none or saturation")
        elif (left, right) == (215, 55):
            seen.add("inverted")
        elif (left, right) == (76, 255):
            seen.add("brighter")
        elif (left, right) == (0, 255):
            seen.add("more contrast")
        elif (left, right) == (32, 192):
            seen.add("posterised")
        elif (made == 124).any() and made[0].unique().numel() <= 4:
            seen.add("moved")  # and what it leaves has the mean of ImageNet's pictures
        elif (left, right) == (40, 200):
            seen.add("sharper")
    assert seen >= {"none or saturation", "inverted", "brighter", "more contrast", "posterised", "moved"}
