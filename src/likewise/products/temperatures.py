"""Which rows of the training data are rare and which have many look-alikes, by the temperature that each has got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult, folder_for_files, write_lines

if TYPE_CHECKING:
    from likewise.artefact import Model
    from likewise.data import Table
    from likewise.report import Fragment

__all__ = ["Temperatures"]

BINS = 30


@dataclass(frozen=True)
class Temperatures(Product):
    """Settings of the table of temperatures."""

    summary: ClassVar[str] = "List the training rows by their temperature: rare or hard ones first, frequent ones last"

    out: str = ""
    """Folder for temperatures.jsonl (all rows in that order) and temperatures.html; nothing is written without it."""
    show: int = 5
    """Rows of each end that are shown on the terminal, >= 1."""
    data: str = ""
    """The training data once more, so that the page shows the pictures of both ends and not only where they are."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pair: which column of the data is which of ours, as image=path."""
    pictures: int = 40
    """Pictures of each end on the page, >= 1."""

    def run(self, model: Model) -> ProductResult:
        """Sort, count by class, and write.

        Figures: how many ``rows`` were visited in training, their ``lowest``, ``mean`` and ``highest`` temperature;
        and with labels the ``spearman`` correlation of a row's temperature with how many rows its class has: above 0,
        temperatures tell frequent from rare.

        Raises:
            InputError: The model has one temperature for all rows, a number is out of its range, or the data are not
                those that it was trained on.
        """
        for name in ("show", "pictures"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.data and not self.out:
            raise InputError("the pictures of --data are for the page; say where it goes with --out.")
        folder_for_files(self.out)
        rows = _Rows.of(model.kept, model.embedder.name)
        table = _training_data(model, self.data, self.columns) if self.data else None
        shown = [
            {"row": row["row"], "place": row["place"], **_label(row), "temperature": round(row["temperature"], 4)}
            for row in _ends(rows.sorted, self.show)
        ]
        return ProductResult(rows.figures(), shown, self._write(rows, table) if self.out else ())

    def _write(self, rows: _Rows, table: Table | None) -> list[Path]:
        from likewise.report import Page
        from likewise.report.plots import Histogram, bars, histograms

        listed, page_file = (folder_for_files(self.out) / f"temperatures.{kind}" for kind in ("jsonl", "html"))
        write_lines(listed, rows.sorted)

        figures = rows.figures()
        page = Page(
            "Temperatures of rows",
            f"{figures['rows']:,} rows with temperatures from {figures['lowest']} to {figures['highest']}. A row with "
            "many look-alikes has a high one, a row that is rare or hard a low one.",
        )
        counts, edges = rows.histogram()
        page.section("All rows")
        page.figure(
            histograms([Histogram("rows", edges, counts)], x="temperature", y="rows"),
            caption="How many rows have which temperature.",
            alt=f"Histogram of temperatures between {figures['lowest']} and {figures['highest']}.",
        )
        if rows.classes:
            page.section("Classes")
            if "spearman" in figures:
                page.text(
                    f"The rank correlation of a row's temperature with the number of rows of its class is "
                    f"{figures['spearman']}: above 0, temperatures tell frequent classes from rare ones."
                )
            by_class = rows.by_class()
            page.table(
                ["class", "rows", "mean temperature"],
                [[one["class"], f"{one['rows']:,}", f"{one['mean']:.3f}"] for one in by_class],
                numbers=["rows", "mean temperature"],
                caption="The classes, the most frequent first.",
            )
            page.figure(
                bars(
                    [one["class"] for one in by_class],
                    {"mean temperature": [one["mean"] for one in by_class]},
                    x="mean temperature",
                ),
                caption="The mean temperature of each class, the most frequent first.",
                alt="Bars of the mean temperature of each class.",
            )
        for title, part in (
            ("Rare or hard: the lowest", rows.sorted[: self.pictures]),
            ("Frequent: the highest", rows.sorted[::-1][: self.pictures]),
        ):
            page.section(title)
            _show(page, part, table)
        page.write(page_file)
        return [listed, page_file]


@dataclass(frozen=True)
class _Rows:
    """The rows that training has visited, by ascending temperature."""

    sorted: Sequence[Mapping[str, Any]]
    classes: Sequence[str]

    @classmethod
    def of(cls, kept: Mapping[str, Any], name: str) -> _Rows:
        if "temperatures" not in kept:
            raise InputError(
                f"{name} has one temperature for all rows; train isogclr without --no-individual-temperatures."
            )
        classes = kept["classes"]
        each = zip(
            kept["temperatures"].tolist(), kept["seen"].tolist(), kept["places"], kept["labels"].tolist(), strict=True
        )
        rows = [
            {
                "row": number,
                "place": place,
                **({"label": classes[label] if label >= 0 else None} if classes else {}),
                "temperature": temperature,
            }
            for number, (temperature, seen, place, label) in enumerate(each)
            if seen
        ]
        return cls(sorted(rows, key=lambda row: (row["temperature"], row["row"])), classes)

    def figures(self) -> dict[str, Any]:
        from scipy.stats import spearmanr

        values = [row["temperature"] for row in self.sorted]
        found: dict[str, Any] = {
            "rows": len(values),
            "lowest": round(values[0], 4),
            "mean": round(sum(values) / len(values), 4),
            "highest": round(values[-1], 4),
        }
        sizes = {one["class"]: one["rows"] for one in self.by_class()}
        if len(set(sizes.values())) > 1 and values[0] < values[-1]:  # else there is nothing to rank
            pairs = [(sizes[row["label"]], row["temperature"]) for row in self.sorted if row["label"] is not None]
            found["spearman"] = round(float(spearmanr(*zip(*pairs, strict=True)).statistic), 4)
        return found

    def by_class(self) -> list[dict[str, Any]]:
        """Return size and mean temperature of each class, the most frequent first."""
        values: dict[str, list[float]] = {name: [] for name in self.classes}
        for row in self.sorted:
            if row.get("label") is not None:
                values[row["label"]].append(row["temperature"])
        found = [{"class": name, "rows": len(own), "mean": sum(own) / len(own)} for name, own in values.items() if own]
        return sorted(found, key=lambda one: -one["rows"])

    def histogram(self) -> tuple[list[int], list[float]]:
        import numpy as np

        counts, edges = np.histogram([row["temperature"] for row in self.sorted], bins=BINS)
        return counts.tolist(), edges.tolist()


def _label(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": row["label"] if row["label"] is not None else "-"} if "label" in row else {}


def _ends(rows: Sequence[Mapping[str, Any]], number: int) -> list[Mapping[str, Any]]:
    return [*rows] if len(rows) <= 2 * number else [*rows[:number], *rows[-number:]]


def _training_data(model: Model, data: str, columns: tuple[str, ...]) -> Table:
    """Open the rows that a model was trained on, and refuse others."""
    from likewise.data import open_table
    from likewise.data.renaming import parse_renaming
    from likewise.methods import get_method

    method = get_method(model.about["method"])
    table = open_table(data, columns=method.columns, rename=parse_renaming(columns))
    if table.fingerprint != model.about["data"]["fingerprint"]:
        raise InputError(
            f"{data} does not hold the rows that the model was trained on: a temperature would stand beside another "
            "picture. Give the same data, or leave --data out."
        )
    return table


def _show(page: Fragment, rows: Sequence[Mapping[str, Any]], table: Table | None) -> None:
    """Put rows on a page: as pictures, or as a table of where they are."""
    from likewise.report.pictures import picture_gallery

    if table is None:
        names = ["row", "place", *(["label"] if rows and "label" in rows[0] else []), "temperature"]
        cells = [
            [f"{row['temperature']:.3f}" if name == "temperature" else row[name] for name in names] for row in rows
        ]
        page.table(names, cells, numbers=["row", "temperature"])
        return
    images = table.rows([row["row"] for row in rows])
    shown = ((one["image"].rgb(), _words(row), str(row["place"])) for one, row in zip(images, rows, strict=True))
    page.raw(picture_gallery(shown))


def _words(row: Mapping[str, Any]) -> str:
    said = f"{row['label']}: " if row.get("label") is not None else ""
    return f"{said}{row['temperature']:.3f}"
