"""Columns of which a source brings one or the other."""

import numpy as np
import pytest

from likewise.data import Column, Image, Label, Text, open_table
from likewise.errors import InputError

EITHER = (Column("text", Text), Column("image", Image, instead_of="text"), Column("label", Label))


def test_one_of_two_columns_is_enough_and_every_row_needs_it(tmp_path):
    picture = np.zeros((2, 2), dtype=np.uint8)
    table = open_table([{"image": picture, "label": 1}], columns=EITHER)
    assert table.column_names == ["image", "label"]
    assert open_table(table, columns=EITHER) is table
    assert open_table([{"text": "a", "label": 1}], columns=EITHER).column_names == ["text", "label"]
    with pytest.raises(InputError, match=r"rows\[1\]: column 'text' is missing; every row needs"):
        open_table([{"text": "a", "label": 1}, {"text": None, "label": 1}], columns=EITHER)
    with pytest.raises(InputError, match="has no column 'text', nor 'image', which may stand in its place"):
        open_table([{"label": 1}], columns=EITHER)
    with pytest.raises(InputError, match="rows has no column 'label'"):
        open_table([{"text": "a"}], columns=EITHER)
    both = open_table([{"text": "a", "image": picture, "label": 1}], columns=EITHER)
    assert both.column_names == ["text", "image", "label"]


def test_files_that_bring_the_one_and_the_other_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": 1}\n')
    (tmp_path / "b.jsonl").write_text('{"image": "b.png", "label": 1}\n')
    with pytest.raises(InputError, match=r"b\.jsonl brings 'image' and no 'text', and a file before it the other way"):
        open_table(tmp_path, columns=EITHER)
