"""Views of pictures: what is cut, flipped, recoloured and blurred at random, by torchvision, seeded for each row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from likewise.data.images import StoredImage
from likewise.errors import unknown
from likewise.extras import image_transforms
from likewise.views.base import Batch

__all__ = ["AUGMENTATIONS", "Augmentation", "AugmentationName", "ImageViews", "augmentation", "view_names"]

AugmentationName = Literal["simclr", "moco", "beclr", "cifar", "glyph", "light", "crop", "none"]
"""How a picture is changed at random."""

AUGMENTATIONS: Mapping[AugmentationName, str] = {
    "simclr": "crop of 8 to 100 % of the area, flip, strong colour, grey, blur (SimCLR)",
    "moco": "crop of 20 to 100 %, weaker colour, grey, blur, flip (MoCo v2)",
    "beclr": "crop of 20 to 100 %, weaker colour, grey, blur, two strong changes of RandAugment, both flips (BECLR)",
    "cifar": "that of SimCLR for small photographs: half the colour, no blur",
    "glyph": "shift, size, noise and a hole: for digits, letters and signs, which a flip or a colour would change",
    "light": "brightness and noise alone: for pictures in which place and shape say something",
    "crop": "shift by up to an eighth and flip, as supervised training does",
    "none": "the picture as it is",
}
"""What each of them does."""


class Augmentation(Protocol):
    """Changes a picture; picklable. Everything random is drawn from PyTorch's generator, which the caller has set."""

    def __call__(self, image: Any) -> Tensor:
        """From a PIL picture to uint8 ``[C, S, S]``."""
        ...


@dataclass(frozen=True)
class ImageViews:
    """Rows of pictures to batches of views, each input uint8 ``[B, C, S, S]``.

    The picture is read and decoded once a row, and changed once an input. torchvision draws from PyTorch's global
    generator: it is seeded by the row's own for the time of a row, and put back.

    Args:
        inputs: Model inputs by name, and what makes each.
        column: The column of pictures.
        values: Columns of numbers or vectors that a batch holds as they are: float32 ``[B]`` or ``[B, n]`` under the
            column's name.
    """

    inputs: Mapping[str, Augmentation]
    column: str = "image"
    values: Sequence[str] = ()

    def __call__(self, row: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any]:
        """Make the views of one row."""
        picture = StoredImage.of(row[self.column]).rgb()
        with _drawing_from(int(random.integers(2**63))):
            example: dict[str, Any] = {name: change(picture) for name, change in self.inputs.items()}
        return example | {name: row[name] for name in self.values}

    def collate(self, examples: Sequence[dict[str, Any]], row_index: Sequence[int]) -> Batch:
        """Put the views of ``B`` rows on top of each other."""
        inputs: dict[str, Any] = {
            name: torch.stack([example[name] for example in examples]) for name in self.inputs if examples
        }
        for name in self.values:
            inputs[name] = torch.from_numpy(np.array([example[name] for example in examples], dtype=np.float32))
        return Batch(inputs, torch.tensor(list(row_index), dtype=torch.int64))


def view_names(number: int) -> tuple[str, ...]:
    """Return the names of so many views of a picture, as model inputs: as two are called, and numbers for more.

    Example:
        >>> view_names(4)
        ('first', 'second', 'view3', 'view4')
    """
    return ("first", "second", *(f"view{place}" for place in range(3, number + 1)))[:number]


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """Seed PyTorch's generator for a while.

    ``torch.manual_seed`` also seeds accelerators, for which it notes where it was called from, for every view.
    """
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(before)


def augmentation(name: str, *, size: int, channels: int = 3) -> Augmentation:
    """Return what changes a picture, by name.

    Args:
        name: One of :data:`AUGMENTATIONS`.
        size: Side of the result in pixels, ``S``.
        channels: 3, or 1 for grey.

    Raises:
        InputError: There is no such augmentation, or torchvision is not installed.

    Source: Chen et al. 2020 (SimCLR), arXiv 2002.05709, appendix A; Chen et al. 2020 (MoCo v2), arXiv 2003.04297;
        BECLR, arXiv 2402.02444, official code ("rand-n2-m10-mstd0.5").
    """
    if name not in AUGMENTATIONS:
        raise unknown("augmentation", name, get_args(AugmentationName))
    image_transforms()  # said here, not by a loader's worker
    return _Composed(name, size, channels)


class _Composed:
    """torchvision's transforms in a row, made when they are first used: workers make their own."""

    def __init__(self, name: str, size: int, channels: int) -> None:
        self.name, self.size, self.channels = name, size, channels
        self._change: Callable[[Any], Tensor] | None = None

    def __call__(self, image: Any) -> Tensor:
        if self._change is None:
            self._change = _compose(self.name, self.size, self.channels)
        return self._change(image)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Composed) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_change": None}

    def __repr__(self) -> str:
        return f"augmentation({self.name!r}, size={self.size}, channels={self.channels})"

    @property
    def _identity(self) -> tuple[str, int, int]:
        return self.name, self.size, self.channels


def _compose(name: str, size: int, channels: int) -> Callable[[Any], Tensor]:
    v2 = image_transforms()

    def cropped(least: float) -> Any:
        return v2.RandomResizedCrop(size, scale=(least, 1.0), antialias=True)

    def coloured(strength: float) -> list[Any]:
        jitter = v2.ColorJitter(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
        return [v2.RandomApply([jitter], p=0.8), v2.RandomGrayscale(p=0.2)]

    # SimCLR: a tenth of the picture, made odd; MoCo v2's code has no window, its deviation is the same.
    blur = v2.RandomApply([v2.GaussianBlur(max(3, size // 10 // 2 * 2 + 1), sigma=(0.1, 2.0))], p=0.5)
    whole = [v2.Resize(size, antialias=True), v2.CenterCrop(size)]
    steps: dict[str, list[Any]] = {
        "simclr": [cropped(0.08), v2.RandomHorizontalFlip(), *coloured(1.0), blur],
        "moco": [
            cropped(0.2),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(p=0.2),
            blur,
            v2.RandomHorizontalFlip(),
        ],
        "beclr": [
            cropped(0.2),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
            v2.RandomGrayscale(p=0.2),
            blur,
            *[v2.RandomApply([_one_strong_change(size)], p=0.5) for _ in range(2)],
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
        ],
        "cifar": [cropped(0.08), v2.RandomHorizontalFlip(), *coloured(0.5)],
        "glyph": [
            *whole,
            v2.RandomAffine(0, translate=(0.125, 0.125), scale=(0.8, 1.2), interpolation=v2.InterpolationMode.BILINEAR),
            v2.ToDtype(torch.float32, scale=True),
            v2.GaussianNoise(sigma=0.1),
            v2.RandomErasing(p=0.5, scale=(0.02, 0.15)),
            v2.ToDtype(torch.uint8, scale=True),
        ],
        "light": [
            *whole,
            v2.ColorJitter(brightness=0.2),
            v2.ToDtype(torch.float32, scale=True),
            v2.GaussianNoise(sigma=0.1),
            v2.ToDtype(torch.uint8, scale=True),
        ],
        "crop": [*whole, v2.RandomCrop(size, padding=max(1, size // 8)), v2.RandomHorizontalFlip()],
        "none": whole,
    }
    composed = v2.Compose([v2.PILToTensor(), *([v2.Grayscale()] if channels == 1 else []), *steps[name]])
    return partial(_run, composed)


MIDDLE = [124, 116, 104]
"""The mean of ImageNet's pictures, which is put where a change leaves nothing."""


def _one_strong_change(size: int) -> Any:
    """Return one change of RandAugment as BECLR's official code has it, at full strength, each equally likely.

    Strength there is drawn around the full one and cut off at it; here it is the full one. Its ``solarize`` at that
    strength changes nothing, and so stands here for a change that is none; ``solarize add`` is left out.
    """
    v2 = image_transforms()

    def moved(
        image: Tensor, *, angle: float = 0.0, right: int = 0, down: int = 0, shear: Sequence[float] = (0, 0)
    ) -> Any:
        fill = MIDDLE[: len(image)]
        return v2.functional.affine(image, angle, [right, down], scale=1.0, shear=list(shear), fill=fill)

    far, slant = round(0.45 * size), math.degrees(math.atan(0.3))
    ways: list[list[dict[str, Any]]] = [
        [{"angle": sign * 30.0} for sign in (1, -1)],
        [{"right": sign * far} for sign in (1, -1)],
        [{"down": sign * far} for sign in (1, -1)],
        [{"shear": (sign * slant, 0.0)} for sign in (1, -1)],
        [{"shear": (0.0, sign * slant)} for sign in (1, -1)],
    ]
    return v2.RandomChoice(
        [
            v2.RandomAutocontrast(p=1),
            v2.RandomEqualize(p=1),
            v2.RandomInvert(p=1),
            v2.RandomPosterize(4, p=1),
            v2.Identity(),
            *(v2.ColorJitter(**{name: (1.9, 1.9)}) for name in ("saturation", "contrast", "brightness")),
            v2.RandomAdjustSharpness(1.9, p=1),
            *(v2.RandomChoice([v2.Lambda(partial(moved, **way)) for way in both]) for both in ways),
        ]
    )


def _run(change: Callable[[Any], Any], image: Any) -> Tensor:
    made: Tensor = change(image)
    return made
