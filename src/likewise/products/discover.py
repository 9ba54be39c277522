"""Known and new classes in pictures: clusters with names, as a table and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult, folder_for_files, write_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from likewise.artefact import Model
    from likewise.data import Table

__all__ = ["Discover"]


@dataclass(frozen=True)
class Discover(Product):
    """Settings of the discovery of classes."""

    summary: ClassVar[str] = "Sort pictures into known classes and new ones, and show each class on a page"

    data: str | Any = ""
    """Pictures: a folder, a file or a name."""
    truth: str = ""
    """Column of --data with the true class, to measure by; nothing else is done with it."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pair: which column of the file is which of ours (image)."""
    out: str = ""
    """Folder for classes.jsonl (the class of each picture) and classes.html; nothing is written without it."""
    pictures: int = 24
    """Pictures of each class on the page, those nearest to its middle first, >= 1."""
    seed: int = 0
    """Seed of the clusters, >= 0."""
    batch_size: int = 256
    """Pictures encoded at a time, >= 1."""

    def run(self, model: Model) -> ProductResult:
        """Cluster the pictures, and name the clusters that lie at known classes.

        As many clusters as there are classes; each known class is matched to one, so that the cosines of its mean in
        training with the middles of clusters add up to the most (Hungarian). The others are ``new 1``, ``new 2``, ...,
        the largest first.

        Rows: one a class, with how many ``pictures`` it has and whether it is ``known``. Figures: ``pictures``,
        ``known`` and ``new`` classes; with ``truth`` the accuracy on ``all`` rows, on ``old`` ones (of known classes)
        and ``new_accuracy`` on the others, by one matching of clusters to true classes.

        Raises:
            InputError: The model knows no classes, or the data cannot be used.
        """
        import numpy as np

        from likewise.data import Column, Image, Label, open_table
        from likewise.data.classes import in_class_order
        from likewise.data.renaming import parse_renaming
        from likewise.evaluation.discovery import discovery_accuracy, matched
        from likewise.memory import clusters_of

        if "means" not in model.kept:
            raise InputError(f"{model.embedder.name} knows no classes; train it with bacon.")
        if not self.data:
            raise InputError("no data given; say which pictures to sort with --data.")
        for name in ("pictures", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        folder_for_files(self.out)
        columns = (Column("image", Image), *([Column(self.truth, Label)] if self.truth else []))
        table = open_table(self.data, columns=columns, rename=parse_renaming(self.columns))
        known, number = model.kept["classes"], len(model.kept["counts"])
        vectors = model.image_encoder.encode(
            table.values("image"), batch_size=self.batch_size, precision="fp32", progress=True
        ).numpy()
        clusters = clusters_of(vectors, number, seed=self.seed)
        middles = np.stack([vectors[clusters == one].mean(axis=0) for one in range(number)])
        middles /= np.linalg.norm(middles, axis=1, keepdims=True)
        means = model.kept["means"].numpy()
        of_known = matched((middles @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).astype(np.float64))
        names = dict(zip(of_known.tolist(), known, strict=True))
        sizes = np.bincount(clusters, minlength=number)
        order = [*of_known.tolist(), *(one for one in np.argsort(-sizes, kind="stable").tolist() if one not in names)]
        for place, one in enumerate(order[len(known) :], 1):
            names[one] = f"new {place}"
        rows = [
            {"class": names[one], "pictures": int(sizes[one]), "known": place < len(known)}
            for place, one in enumerate(order)
        ]
        figures: dict[str, Any] = {"pictures": len(table), "known": len(known), "new": number - len(known)}
        if self.truth:
            truth = table.values(self.truth)
            numbers = {name: place for place, name in enumerate(in_class_order(set(truth)))}
            old = [numbers[name] for name in known if name in numbers]
            found = discovery_accuracy(clusters, np.array([numbers[name] for name in truth]), old)
            names_of = {"all": "all", "old": "old", "new": "new_accuracy"}
            figures |= {names_of[name]: round(value, 4) for name, value in found.items()}
        if not self.out:
            return ProductResult(figures, rows)
        near = (vectors * middles[clusters]).sum(axis=1)
        by_class = [[i for i in np.argsort(-near).tolist() if clusters[i] == one] for one in order]
        return ProductResult(figures, rows, self._write(table, rows, by_class, near.tolist()))

    def _write(
        self, table: Table, rows: Sequence[dict[str, Any]], by_class: Sequence[Sequence[int]], near: Sequence[float]
    ) -> list[Path]:
        from likewise.report import Page
        from likewise.report.pictures import picture_gallery

        listed, page_file = (folder_for_files(self.out) / f"classes.{kind}" for kind in ("jsonl", "html"))
        names = table.names()
        lines = {
            i: {"place": names[i], "class": row["class"], "known": row["known"], "cosine": round(near[i], 4)}
            for row, members in zip(rows, by_class, strict=True)
            for i in members
        }
        write_lines(listed, (lines[i] for i in range(len(table))))
        page = Page(
            "Classes of pictures",
            f"{len(table):,} pictures in {len(rows)} classes, {sum(row['known'] for row in rows)} of them known. The "
            "pictures of a class are those nearest to its middle; below each is its cosine with it.",
        )
        page.table(
            ["class", "pictures", "known"],
            [[row["class"], f"{row['pictures']:,}", "yes" if row["known"] else "no"] for row in rows],
            numbers=["pictures"],
            caption="All classes: known ones first, then new ones by their size.",
        )
        for row, members in zip(rows, by_class, strict=True):
            shown = members[: self.pictures]
            page.section(row["class"])
            images = [one["image"] for one in table.rows(shown)]
            page.raw(
                picture_gallery(
                    (image.rgb(), f"{near[i]:.2f}", names[i]) for image, i in zip(images, shown, strict=True)
                )
            )
        page.write(page_file)
        return [listed, page_file]
