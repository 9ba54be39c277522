"""A teacher's scores of pairs in a folder, each with a key of the texts that it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likewise.errors import InputError

__all__ = ["TeacherScores", "pair_keys"]

_ABOUT = "teacher.json"
_KEYS = "pairs.npy"
_SCORES = "scores.npy"


def pair_keys(pairs: Iterable[tuple[str, str]]) -> NDArray[np.uint64]:
    """Return a 64-bit key of each pair of texts; the order of the two counts, and so does every character.

    Example:
        >>> one, other, again = pair_keys([("a", "b"), ("b", "a"), ("a", "b")])
        >>> bool(one == again), bool(one == other)
        (True, False)
    """
    keys = [
        int.from_bytes(
            hashlib.blake2b(f"{len(a)} {a}{b}".encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
        )
        for a, b in pairs
    ]
    return np.array(keys, dtype=np.uint64)


@dataclass(frozen=True)
class TeacherScores:
    """Scores of ``n`` pairs, memory-mapped, that are handed out only for the very pairs they were made of.

    Args:
        folder: Where they are.
        scores: float32 ``[n, C]``.
        keys: Of the texts of each pair, uint64 ``[n]``.
        about: ``teacher`` (its name), ``fingerprint``, ``score_names``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = np.array([[0.5], [2.0]])
        ...     TeacherScores.write(Path(folder) / "s", [("a", "b"), ("c", "d")], made, teacher="t", fingerprint="0")
        ...     TeacherScores.open(Path(folder) / "s").of([("a", "b"), ("c", "d")]).tolist()
        [[0.5], [2.0]]
    """

    folder: Path
    scores: NDArray[np.float32]
    keys: NDArray[np.uint64]
    about: dict[str, Any]

    @classmethod
    def write(
        cls,
        folder: Path,
        pairs: Sequence[tuple[str, str]],
        scores: NDArray[Any],
        *,
        teacher: str,
        fingerprint: str,
        score_names: Sequence[str] = (),
    ) -> None:
        """Write scores into a new folder; what says that it is whole is written last.

        Raises:
            InputError: The folder exists.
            ValueError: There are not as many scores as pairs.
        """
        if len(scores) != len(pairs) or scores.ndim != 2:
            raise ValueError(f"TeacherScores: scores are {list(scores.shape)} for {len(pairs)} pairs; give [n, C].")
        if folder.exists():
            raise InputError(f"{folder} exists; give a new folder for the scores, or remove it first.")
        folder.mkdir(parents=True)
        np.save(folder / _SCORES, np.asarray(scores, dtype=np.float32), allow_pickle=False)
        np.save(folder / _KEYS, pair_keys(pairs), allow_pickle=False)
        about = {"teacher": teacher, "fingerprint": fingerprint, "score_names": list(score_names)}
        (folder / _ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> TeacherScores:
        """Open what :meth:`write` wrote.

        Raises:
            InputError: The folder holds no whole scores.
        """
        if not (folder / _ABOUT).is_file():
            raise InputError(
                f"{folder} holds no scores of a teacher; write them with likewise use TEACHER score PAIRS --scores "
                "FOLDER."
            )
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        scores, keys = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (_SCORES, _KEYS))
        return cls(folder, scores, keys, about)

    def of(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return the scores of these pairs, which have to be those that were scored, in that order.

        Raises:
            InputError: There are more or fewer, they stand in another order, or a text was edited: a score would be
                taken for that of another pair.
        """
        again = "Score the data as they are now once more."
        if len(pairs) != len(self.keys):
            raise InputError(
                f"{self.folder} holds the scores of {len(self.keys)} pairs, the data have {len(pairs)}. {again}"
            )
        keys = pair_keys(pairs)
        differ = np.flatnonzero(keys != self.keys)
        if len(differ):
            row = int(differ[0])
            shuffled = np.array_equal(np.sort(keys), np.sort(self.keys))
            happened = "the same pairs in another order" if shuffled else f"{len(differ)} other pairs or edited texts"
            raise InputError(
                f"{self.folder} holds the scores of other rows: from row {row} on ({pairs[row][0][:40]!r}, "
                f"{pairs[row][1][:40]!r}) the data have {happened}. {again}"
            )
        return self.scores
