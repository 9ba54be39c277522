"""What labels mean: a vector for each, made once, and read where batches are put together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int

__all__ = ["LabelTable"]


class LabelTable:
    """A frozen vector for each of ``C`` labels, in a file that every process and worker maps into its memory.

    It is no state of training: what it holds was made before, is never changed, and is found again by its file. Two
    tables of one file are equal; pickling a table stores the file's name, not the vectors.

    Args:
        path: A ``.npy`` file of float32 ``[C, L]``; row ``c`` belongs to label number ``c``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/labels.npy", np.eye(3, dtype=np.float32))
        ...     LabelTable(Path(folder, "labels.npy")).vectors([2, 0])
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mapped: np.ndarray | None = None

    def vectors(self, labels: Sequence[int] | Int[np.ndarray, "n"]) -> Float[Tensor, "n L"]:
        """Return the vectors of some labels, one a row.

        Raises:
            IndexError: There is no label of this number.
        """
        if self._mapped is None:
            self._mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return torch.from_numpy(np.array(self._mapped[np.asarray(labels, dtype=np.int64)], dtype=np.float32))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelTable) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_mapped": None}
