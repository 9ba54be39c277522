"""Classes of the user's own items, told by a few labelled examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.errors import InputError
from likewise.evaluation.prototypes import Nearest
from likewise.products.base import Product, ProductResult, folder_for_files, write_lines

if TYPE_CHECKING:
    from likewise.artefact import Model
    from likewise.classify import Told
    from likewise.data import Table
    from likewise.encoders import Embedder

__all__ = ["Classify"]


@dataclass(frozen=True)
class Classify(Product):
    """Settings of a classification by examples."""

    summary: ClassVar[str] = "Tell the classes of texts or pictures by a few labelled examples of each"

    examples: str | Any = ""
    """Labelled texts or pictures, one or more of each class: a file with the columns text and label, or a folder of
    pictures with a folder for each class."""
    data: str | Any = ""
    """What is to be told: texts or pictures, without labels."""
    truth: str = ""
    """A column of the data that holds the right class; then the share that is told rightly is measured."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pairs: which column of both files is which of ours, as text=body; label=topic is of the examples."""
    domain: str = ""
    """Encode texts of this domain, for a model that knows several."""
    space: str = ""
    """Encode in the space of this name, for a model that has several."""
    nearest: Nearest = "euclidean"
    """An item has the class whose mean of examples is nearest: by Euclidean distance; by dot product, which favours
    classes whose examples lie close together; or logistic, by a logistic regression on the means."""
    align: bool = False
    """Move the means to where the items lie, all of these together. It takes classes to be about equally frequent among
    them; where they are not, it does harm."""
    out: str = ""
    """Folder for told.jsonl (the class of each item, and by how much it is ahead of the next) and told.html; nothing is
    written without it."""
    show: int = 40
    """Items of each class on the page, the surest first, >= 1."""
    batch_size: int = 256
    """Items encoded at a time, >= 1."""

    def run(self, model: Model) -> ProductResult:
        """Fit the means, tell every item, and write.

        Rows: for each ``class`` how many ``examples`` it has and how many items were ``told`` to be it. Figures: how
        many ``items`` and ``classes``, and with ``truth`` the ``accuracy``.

        Raises:
            InputError: No examples or data, columns that are missing, examples of one class, or too few items for
                ``align``.
        """
        from likewise.classify import FewShotClassifier
        from likewise.data import Column, Label, open_table
        from likewise.data.renaming import parse_renaming
        from likewise.data.split_data import INPUT_COLUMNS, LABELLED_COLUMNS, inputs_of

        for name, what in (("examples", "labelled examples to tell by"), ("data", "what is to be told")):
            if not getattr(self, name):
                raise InputError(f"no {name} given; give {what} with --{name}.")
        if self.show < 1:
            raise InputError(f"show is {self.show}; it must be at least 1.")
        if self.truth in ("text", "image"):
            raise InputError(f"truth is '{self.truth}', which is what is told; name a column of classes.")
        folder_for_files(self.out)
        rename = parse_renaming(self.columns)
        examples = open_table(self.examples, columns=LABELLED_COLUMNS, rename=rename)
        truth = [Column(self.truth, Label, option="--truth")] if self.truth else []
        of_data = {ours: theirs for ours, theirs in rename.items() if ours != "label"}  # it has none
        items = open_table(self.data, columns=(*INPUT_COLUMNS, *truth), rename=of_data)
        classifier = FewShotClassifier(
            self._embedder(model), nearest=self.nearest, align=self.align, batch_size=self.batch_size
        ).fit(inputs_of(examples), examples.values("label"), name=examples.name)
        told = classifier.predict(inputs_of(items), name=items.name)
        figures: dict[str, Any] = {"items": len(items), "classes": len(classifier.classes)}
        if self.truth:
            right = [a == b for a, b in zip(told.labels, items.values(self.truth), strict=True)]
            figures["accuracy"] = round(sum(right) / len(right), 4)
        counts = Counter(told.labels)
        rows = [{"class": one, "examples": shots, "told": counts[one]} for one, shots in classifier.shots.items()]
        files = self._write(items, told, classifier.classes, rows) if self.out else []
        return ProductResult(figures, rows, files)

    def _embedder(self, model: Model) -> Embedder:
        """Return the model, or what is asked for of it."""
        from likewise import artefact

        asked = {name: getattr(self, name) for name in ("domain", "space") if getattr(self, name)}
        if not asked:
            return model.embedder
        return artefact.load(model.folder or model.embedder.name, **asked)

    def _write(self, items: Table, told: Told, classes: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[Path]:
        from likewise.report import Page
        from likewise.report.pictures import picture_gallery

        listed, page_file = (folder_for_files(self.out) / f"told.{kind}" for kind in ("jsonl", "html"))
        second = (-told.scores).argsort(axis=1, kind="stable")[:, 1]  # of equal ones the first is the class
        places = items.names()
        write_lines(
            listed,
            (
                {"place": places[i], "class": told.labels[i], "margin": round(float(told.margins[i]), 4),
                 "next": classes[second[i]]}
                for i in range(len(items))
            ),
        )  # fmt: skip
        page = Page(
            "Classes told by examples",
            f"{len(items):,} items in {len(classes)} classes, each told by the mean of a few examples. The surest of a "
            "class stand first; beside each is by how much the class is ahead of the next.",
        )
        page.table(
            list(rows[0]),
            [[row["class"], f"{row['examples']:,}", f"{row['told']:,}"] for row in rows],
            numbers=["examples", "told"],
            caption="All classes: how many examples each has, and how many items were told to be it.",
        )
        surest = (-told.margins).argsort(kind="stable").tolist()
        for one in classes:
            page.section(one)
            shown = [i for i in surest if told.labels[i] == one][: self.show]
            if not shown:
                page.soft("No item was told to be of this class.")
                continue
            margins = [f"{told.margins[i]:.3f}" for i in shown]
            given = items.rows(shown)
            if "image" in items.column_names:
                pictures = zip(given, margins, shown, strict=True)
                page.raw(picture_gallery((row["image"].rgb(), words, places[i]) for row, words, i in pictures))
            else:
                texts = [[row["text"], words] for row, words in zip(given, margins, strict=True)]
                page.table(["text", "ahead by"], texts, numbers=["ahead by"])
        page.write(page_file)
        return [listed, page_file]
