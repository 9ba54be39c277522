"""What only the target has: pictures by the length of their salient code, and what each code knows of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult, folder_for_files, write_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from likewise.artefact import Model
    from likewise.data.images import StoredImage

__all__ = ["Salient", "probed"]

BINS = 30
FOLDS = 5
"""Parts of a cross-validated probe; fewer where a class has fewer rows."""


@dataclass(frozen=True)
class Salient(Product):
    """Settings of the report on what is salient."""

    summary: ClassVar[str] = "Rank pictures by what they have and the background has not; probe labels on both codes"

    data: str | Any = ""
    """Pictures: a folder, a file or a name; perhaps with the column target (target or background)."""
    background: str | Any = ""
    """More pictures, all of them background; those of --data are then targets."""
    labels: tuple[str, ...] = ()
    """Columns of --data that are probed on both codes, on the targets."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pairs: which column of the file is which of ours (image, target)."""
    show: int = 10
    """Pictures that are shown on the terminal, those with the longest salient code first, >= 1."""
    out: str = ""
    """Folder for salient.jsonl (all of them in that order) and salient.html, with the pictures of both ends; nothing is
    written without it."""
    pictures: int = 40
    """Pictures of each part of the page, >= 1."""
    batch_size: int = 256
    """Pictures encoded at a time, >= 1."""
    seed: int = 0
    """Seed of the parts of the probes, >= 0."""

    def run(self, model: Model) -> ProductResult:
        """Encode, rank, and probe.

        Rows: ``place``, ``salient`` (the length of the salient code behind its head, where the loss draws the
        background to zero), and where it is known ``target``. Figures: ``rows``; with targets and background
        ``background_share``, the mean squared length of the background over that of the targets (near 0 where the
        salient code says nothing of the background), and ``auc``, the chance that a target has the longer code of a
        pair; for each label ``LABEL on salient`` and ``LABEL on common``, the accuracy of a linear probe
        (cross-validated, on the targets), ``LABEL by neighbour on ...``, that of the nearest other target, and
        ``LABEL chance``, the share of its most frequent value.

        Raises:
            InputError: The model has no such spaces, or the data cannot be used.
        """
        import numpy as np

        from likewise import artefact
        from likewise.data import Column, Image, Label, open_table
        from likewise.data.renaming import parse_renaming
        from likewise.encoders import ImageEncoder
        from likewise.methods.vision.sepclr import flag

        if model.folder is None or not model.about.get("model", {}).get("spaces"):
            raise InputError(f"{model.embedder.name} has one space; train it with sepclr.")
        if not self.data:
            raise InputError("no data given; say which pictures to look at with --data.")
        for name in ("show", "batch_size", "pictures"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        folder_for_files(self.out)
        columns = (
            Column("image", Image),
            *([] if self.background else [Column("target", Label, required=False, all_or_none=True)]),
            *(Column(name, Label) for name in self.labels),
        )
        table = open_table(self.data, columns=columns, rename=parse_renaming(self.columns))
        others = open_table(self.background, columns=columns[:1]) if self.background else None
        pictures, places = table.values("image"), table.names()
        target: NDArray[np.bool_] | None = None
        if others is not None:
            target = np.arange(len(table) + len(others)) < len(table)
            pictures = [*pictures, *others.values("image")]
            places += others.names()
        elif "target" in table.column_names and table.values("target")[0] is not None:
            target = np.array([flag(value, table.where(i)) for i, value in enumerate(table.values("target"))])
        codes = {}
        for space in ("salient", "common"):
            tower = artefact.load(model.folder, space=space)
            if not isinstance(tower, ImageEncoder):
                raise InputError(f"{model.folder} reads texts; this is for models that read pictures.")
            codes[space] = tower.features(pictures, batch_size=self.batch_size, precision="fp32").numpy()
        lengths = _behind_the_head(model.kept, codes["salient"])
        figures: dict[str, Any] = {"rows": len(pictures), **_of_background(lengths, target)}
        chosen = np.arange(len(table)) if target is None else np.flatnonzero(target[: len(table)])
        for name in self.labels:
            values = table.values(name, chosen)
            figures |= probed(name, values, {space: code[chosen] for space, code in codes.items()}, seed=self.seed)
        order = np.argsort(-lengths, kind="stable").tolist()
        ranked = [
            {
                "place": places[i],
                "salient": round(float(lengths[i]), 4),
                **({} if target is None else {"target": bool(target[i])}),
            }
            for i in order
        ]
        files = self._write(figures, ranked, [pictures[i] for i in order]) if self.out else []
        return ProductResult(figures, ranked[: self.show], files)

    def _write(
        self, figures: Mapping[str, Any], ranked: Sequence[Mapping[str, Any]], pictures: Sequence[StoredImage]
    ) -> list[Path]:
        """Write the list, and the page: how long the codes are, what they know, and the pictures of both ends."""
        import numpy as np

        from likewise.report import Page
        from likewise.report.pictures import picture_gallery
        from likewise.report.plots import Histogram, histograms

        listed, page_file = (folder_for_files(self.out) / f"salient.{kind}" for kind in ("jsonl", "html"))
        write_lines(listed, ranked)
        kinds = {True: "target", False: "background", None: "pictures"}
        places: dict[str, list[int]] = {}
        for place, row in enumerate(ranked):
            places.setdefault(kinds[row.get("target")], []).append(place)
        page = Page(
            "What only the target has",
            f"{len(ranked):,} pictures by the length of their salient code, which training draws to zero for the "
            "background: a long one says that a picture has what the background has not.",
        )
        page.section("Lengths")
        edges = np.histogram_bin_edges([row["salient"] for row in ranked], BINS)
        page.figure(
            histograms(
                [
                    Histogram(kind, edges, np.histogram([ranked[i]["salient"] for i in of], edges)[0])
                    for kind, of in places.items()
                ],
                x="length of the salient code", y="pictures",
            ),
            caption="How many pictures have a code of which length.",
            alt="Histograms of the lengths of salient codes.",
        )  # fmt: skip
        told = {"background_share": "squared length of the background over that of the targets", "auc": "chance that "
                "a target has the longer code of a pair"}  # fmt: skip
        if "background_share" in figures:
            page.table(
                ["figure", "value"],
                [[words, f"{figures[name]:.3f}"] for name, words in told.items()],
                numbers=["value"],
                caption="Near 0 and near 1: the code is silent on the background.",
            )
        if self.labels:
            page.section("What the codes know")
            page.table(
                ["label", "probe", "salient", "common", "chance"],
                [
                    [
                        name, words,
                        *(f"{figures[f'{name}{how} on {space}']:.3f}" for space in ("salient", "common")),
                        f"{figures[f'{name} chance']:.3f}",
                    ]
                    for name in self.labels
                    for how, words in (("", "linear"), (" by neighbour", "nearest other target"))
                ],
                numbers=["salient", "common", "chance"],
                caption="Accuracy on the targets. What only targets have should be told by the salient code alone.",
            )  # fmt: skip
        for kind, of in places.items():
            ends = [("longest", of[: self.pictures]), ("shortest", of[::-1][: self.pictures])]
            if len(of) <= 2 * self.pictures:
                ends = [("longest first", of)]
            for title, part in ends:
                page.section(f"{kind.capitalize()}: the {title}")
                shown = ((pictures[i].rgb(), f"{ranked[i]['salient']:.2f}", str(ranked[i]["place"])) for i in part)
                page.raw(picture_gallery(shown))
        page.write(page_file)
        return [listed, page_file]


def probed(
    name: str, values: Sequence[str], codes: Mapping[str, NDArray[np.float32]], *, seed: int = 0
) -> dict[str, float]:
    """Tell how well a label is told by each code: by a linear probe, cross-validated, and by the nearest other row.

    Args:
        name: Of the label, for the names of the figures.
        values: The label of each row.
        codes: By name, the vectors of the rows ``[n, D]``.
        seed: Seed of the parts of the probe, >= 0.

    Raises:
        InputError: There is one value, or one of them is there once.
    """
    from collections import Counter

    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    counts = Counter(values)
    if len(counts) < 2 or min(counts.values()) < 2:
        raise InputError(
            f"the targets have {len(counts)} values of '{name}', the rarest {min(counts.values(), default=0)} "
            "times; a probe needs two values, each twice."
        )
    found = {}
    folds = StratifiedKFold(min(FOLDS, min(counts.values())), shuffle=True, random_state=seed)
    for space, code in codes.items():
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        found[f"{name} on {space}"] = round(float(cross_val_score(probe, code, values, cv=folds).mean()), 4)
        nearest = KNeighborsClassifier(2).fit(code, values).kneighbors(return_distance=False)[:, 0]
        alike = np.array(values)[nearest] == np.array(values)
        found[f"{name} by neighbour on {space}"] = round(float(alike.mean()), 4)
    found[f"{name} chance"] = round(max(counts.values()) / len(values), 4)
    return found


def _behind_the_head(kept: Mapping[str, Any], code: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the length of each code where the loss draws the background to zero."""
    import torch

    from likewise.heads import MLPProjector

    vectors = torch.from_numpy(code)
    if "salient_head" in kept:
        sizes = kept["salient_head"]["sizes"]
        head = MLPProjector(sizes["size"], sizes["hidden"], sizes["size"])
        head.load_state_dict(kept["salient_head"]["weights"])
        with torch.inference_mode():
            vectors = head.eval()(vectors)
    lengths: NDArray[np.float32] = vectors.norm(dim=1).numpy()
    return lengths


def _of_background(lengths: NDArray[np.float32], target: NDArray[np.bool_] | None) -> dict[str, Any]:
    """How far the salient code tells targets from background."""
    if target is None or target.all() or not target.any():
        return {}
    from sklearn.metrics import roc_auc_score

    share = float((lengths[~target] ** 2).mean() / (lengths[target] ** 2).mean())
    return {
        "targets": int(target.sum()),
        "background": int((~target).sum()),
        "background_share": round(share, 4),
        "auc": round(float(roc_auc_score(target, lengths)), 4),
    }
