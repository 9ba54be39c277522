"""Scores are handed out for the very pairs they were made of, or not at all."""

import numpy as np
import pytest

from likewise.errors import InputError
from likewise.memory import TeacherScores
from likewise.memory.teacher_scores import pair_keys

PAIRS = [("a dog", "a cat"), ("bread", "butter"), ("kennel", "a small house"), ("bread", "butter")]
SCORES = np.arange(8, dtype=np.float32).reshape(4, 2)


@pytest.fixture
def stored(tmp_path):
    TeacherScores.write(tmp_path / "s", PAIRS, SCORES, teacher="t", fingerprint="f", score_names=("no", "yes"))
    return TeacherScores.open(tmp_path / "s")


def test_they_come_back_memory_mapped_with_their_teacher(stored):
    assert stored.of(PAIRS).tolist() == SCORES.tolist()
    assert isinstance(stored.scores, np.memmap)
    assert stored.about == {"teacher": "t", "fingerprint": "f", "score_names": ["no", "yes"]}


def test_a_shuffled_file_is_an_error_and_not_other_pairs_scores(stored):
    shuffled = [PAIRS[1], PAIRS[0], *PAIRS[2:]]
    with pytest.raises(InputError, match=r"from row 0 on .'bread', 'butter'. the data have the same pairs in another"):
        stored.of(shuffled)


@pytest.mark.parametrize(
    "edited", [("kennel", "a small house "), ("a small house", "kennel"), ("kennela", " small house")]
)
def test_an_edited_text_is_an_error_that_names_the_row(stored, edited):
    with pytest.raises(InputError, match=r"from row 2 on .* the data have 1 other pairs or edited texts"):
        stored.of([*PAIRS[:2], edited, PAIRS[3]])


def test_more_or_fewer_rows_are_an_error(stored):
    with pytest.raises(InputError, match="holds the scores of 4 pairs, the data have 3"):
        stored.of(PAIRS[:3])


def test_keys_tell_sides_and_borders_apart():
    keys = pair_keys([("ab", "c"), ("a", "bc"), ("c", "ab"), ("ab", "c")])
    assert len(set(keys[:3].tolist())) == 3
    assert keys[0] == keys[3]
    assert pair_keys([]).shape == (0,)


def test_nothing_is_overwritten_and_nothing_half_is_read(tmp_path, stored):
    with pytest.raises(InputError, match="exists; give a new folder"):
        TeacherScores.write(tmp_path / "s", PAIRS, SCORES, teacher="t", fingerprint="f")
    with pytest.raises(ValueError, match=r"scores are \[3, 2\] for 4 pairs"):
        TeacherScores.write(tmp_path / "other", PAIRS, SCORES[:3], teacher="t", fingerprint="f")
    (tmp_path / "s" / "teacher.json").unlink()
    with pytest.raises(InputError, match="holds no scores of a teacher"):
        TeacherScores.open(tmp_path / "s")
