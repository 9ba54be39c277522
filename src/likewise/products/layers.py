"""Which layer of a model to keep: each layer of its head, and what comes before it, on the user's labelled pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult, file_for_page, new_folder

if TYPE_CHECKING:
    from likewise.artefact import Model
    from likewise.data import SplitData
    from likewise.evaluation.layerwise import LayerReport

__all__ = ["Layers"]


@dataclass(frozen=True)
class Layers(Product):
    """A table of layers, and the model cut at one of them; see the module."""

    summary: ClassVar[str] = "Tell which layer of the head to keep, on labelled pictures, and save the model cut there"

    data: str | Any = ""
    """Pictures with labels, and perhaps a column group (the background, the device): a folder for each class, a file or
    a name. It is the test where --train is given, and split where not."""
    train: str | Any = ""
    """Pictures to fit the probes to, in the form of --data."""
    test_share: float = 0.2
    """Share of the pictures of each class that is held out for the test where there is no --train, in (0, 1)."""
    split_seed: int = 0
    """Seed of what is held out, >= 0."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pairs: which column of the file is which of ours (image, label, group)."""
    keep: str = ""
    """Tap that is saved with --out: pre, layer1, layer2, post, or best; best where not given."""
    out: str = ""
    """Folder of the model cut there; new or empty. Nothing is saved without it."""
    page: str = ""
    """HTML file for the report: accuracies, how far label and group move each tap, and what to keep."""
    bootstrap: int = 1000
    """Replicates of the 95 % intervals, >= 1."""
    batch_size: int = 256
    """Pictures encoded at a time, >= 1."""

    def run(self, model: Model) -> ProductResult:
        """Probe every tap, and save what is asked for.

        The rows have, for each tap: ``dims``; ``accuracy`` of a linear probe with the ends of its interval;
        ``effective_rank``; and ``label_weight``, how far the label moves the vectors. Where rows bring a group, also
        ``group_weight`` (both as a share of the larger of the two), the accuracy of the worst class in a group
        (``worst_group``) and that after the probe was fitted with all of them weighing the same (``balanced_worst``).

        The figures say which tap to keep (``best``: the highest ``balanced_worst`` with groups, else the highest
        accuracy; of equal ones the first), the gap in accuracy from the first tap to the last with its paired interval,
        and with groups whether the best tap is ``robust``: whether the interval of its balanced worst group reaches up
        to the accuracy of all rows.

        Raises:
            InputError: No data, a head that is not kept, an unknown tap, or data that cannot be split.
        """
        from likewise import artefact
        from likewise.data import open_split
        from likewise.data.columns import Column, Image, Label
        from likewise.data.renaming import parse_renaming
        from likewise.evaluation.bootstrap import interval
        from likewise.evaluation.layerwise import layerwise_probe
        from likewise.heads import POST, PRE, TappedHead

        if "head" not in model.kept:
            raise InputError(f"{model.embedder.name} keeps no head; train it with projection-head.")
        if not self.data:
            raise InputError("no data given; say which labelled pictures to measure on with --data.")
        for name in ("bootstrap", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.keep and not self.out:
            raise InputError(f"keep is '{self.keep}', but no folder is given; say where the model goes with --out.")
        tower, head = model.image_encoder.without_head(), TappedHead.of(model.kept["head"])
        if self.keep not in ("", "best"):
            head.width(self.keep)
        out = new_folder(self.out) if self.out else None
        page = file_for_page(self.page) if self.page else None
        columns = (
            Column("image", Image),
            Column("group", Label, required=False, all_or_none=True),
            Column("label", Label),
        )
        data = open_split(
            self.data,
            columns=columns,
            train=self.train or None,
            test_share=self.test_share,
            split_seed=self.split_seed,
            rename=parse_renaming(self.columns),
        )
        sides = []
        for part in (data.train, data.test):
            features = tower.features(part.inputs, batch_size=self.batch_size, precision="fp32", progress=True)
            sides.append({name: tap.detach() for name, tap in head.taps(features).items()})
        layers = {name: (sides[0][name], sides[1][name]) for name in head.tap_names}
        reports = layerwise_probe(layers, data, groups=_groups(data), bootstrap=self.bootstrap)
        best = max(reports, key=lambda name: _merit(reports[name]))
        first, last = reports[PRE].result, reports[POST].result
        low, high = interval(first.replicates["accuracy"] - last.replicates["accuracy"])
        figures: dict[str, Any] = {
            "best": best,
            "gap_pre_post": round(first.metrics["accuracy"] - last.metrics["accuracy"], 4),
            "gap_low": round(low, 4),
            "gap_high": round(high, 4),
            "train_rows": len(data.train.inputs),
            "test_rows": len(data.test.inputs),
        }
        worst = reports[best].balanced
        if worst is not None:
            figures["worst_group"] = f"{worst.label} in {worst.group}"
            figures["robust"] = worst.interval[1] >= (reports[best].balanced_accuracy or 0.0)
        rows = [_row(name, one) for name, one in reports.items()]
        files: list[Path] = []
        if out is not None:
            tap = best if self.keep in ("", "best") else self.keep
            figures["kept"] = tap
            cut = tower if tap == PRE else tower.with_head(head, tap)
            artefact.save(cut, out, artefact.About.of(model.about), model.kept)
            files.append(out)
        if page is not None:
            files.append(_write(page, figures, rows))
        return ProductResult(figures, rows, files)


def _groups(data: SplitData) -> tuple[list[str], list[str]] | None:
    """Return the group of each row to fit on and to test on, where both have one."""
    if any("group" not in part.table.column_names for part in (data.train, data.test)):
        return None
    train, test = (part.table.values("group", part.rows) for part in (data.train, data.test))
    return None if None in train or None in test else (train, test)


def _write(path: Path, figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the report as a page."""
    from likewise.report import Page
    from likewise.report.plots import bars, intervals

    taps = [row["tap"] for row in rows]
    page = Page(
        "Which layer to keep",
        f"{figures['best']} is best of {', '.join(taps)}, by a linear probe fitted on {figures['train_rows']:,} "
        f"pictures and measured on {figures['test_rows']:,}. The first tap is ahead of the last by "
        f"{figures['gap_pre_post']:+.3f} in accuracy (95 % interval {figures['gap_low']:+.3f} to "
        f"{figures['gap_high']:+.3f}).",
    )
    page.section("Accuracy")
    page.figure(
        intervals([(row["tap"], row["accuracy"], row["low"], row["high"]) for row in rows], x="accuracy", zero=False),
        caption="Accuracy of the probe on each tap, from before the head to behind it, with its 95 % interval.",
        alt="Accuracy of each tap with its interval.",
    )
    if "robust" in figures:
        held = "does" if figures["robust"] else "does not"
        page.text(
            f"On {figures['best']} the worst class in a group is {figures['worst_group']}; after the probe was fitted "
            f"with all of them weighing the same, its interval {held} reach up to the accuracy of all rows."
        )
    if "group_weight" in rows[0]:
        page.section("What moves the vectors")
        page.figure(
            bars(taps, {kind: [row[f"{kind}_weight"] for row in rows] for kind in ("label", "group")}, x="weight"),
            caption="How far the label and the group move the vectors of each tap, as a share of the larger.",
            alt="Bars of the weights of label and group in each tap.",
        )
    page.section("All figures")
    names = list(rows[0])
    page.table([name.replace("_", " ") for name in names], [list(row.values()) for row in rows],
               numbers=[name.replace("_", " ") for name in names[1:]])  # fmt: skip
    page.write(path)
    return path


def _merit(report: LayerReport) -> tuple[float, float]:
    accuracy = report.result.metrics["accuracy"]
    return (accuracy, accuracy) if report.balanced is None else (report.balanced.accuracy, accuracy)


def _row(tap: str, report: LayerReport) -> dict[str, Any]:
    low, high = report.result.intervals["accuracy"]
    row: dict[str, Any] = {
        "tap": tap,
        "dims": report.dim,
        "accuracy": round(report.result.metrics["accuracy"], 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "effective_rank": round(report.effective_rank, 2),
        "label_weight": round(report.weights["label"], 3),
    }
    if report.worst is not None and report.balanced is not None:
        row["group_weight"] = round(report.weights["group"], 3)
        row["worst_group"] = round(report.worst.accuracy, 4)
        row["balanced_worst"] = round(report.balanced.accuracy, 4)
    return row
