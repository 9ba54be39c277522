"""Entries that a reverse dictionary did not know when it was trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult
from likewise.products.entries import EntryTable, open_dictionary

if TYPE_CHECKING:
    from likewise.artefact import Model

__all__ = ["AddEntries"]


@dataclass(frozen=True)
class AddEntries(Product):
    """Settings of adding entries."""

    summary: ClassVar[str] = "Add entries to the dictionary of a trained model; nothing is trained"
    argument: ClassVar[str | None] = "file"

    file: str = ""
    """The new entries: a file with the columns entry and definition, or dictionary:FILE."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pair: which column of the file is which of ours, as entry=term."""
    encoding: str = "utf-8"
    """How the characters of the file are written: utf-8, utf-16, latin-1 ..."""

    def run(self, model: Model) -> ProductResult:
        """Make the vectors of the new entries as those of the others were made, and write them into the folder.

        An entry that is there already stays as it is, so that adding a file twice changes nothing.
        """
        from likewise.artefact import save_kept

        if model.folder is None:
            raise InputError("entries are added to a folder, and the model is a name; save it to a folder first.")
        dictionary = open_dictionary(self.file, columns=self.columns, encoding=self.encoding)
        before = EntryTable.of(model)
        after = before.with_more(dictionary)
        added = len(after.entries) - len(before.entries)
        if added:
            save_kept(model.folder, after.kept())
        return ProductResult(
            figures={
                "added": added,
                "there already": len(dictionary.entries) - added,
                "entries": len(after.entries),
            },
            files=[model.folder / "kept"] if added else [],
        )
