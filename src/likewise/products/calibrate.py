"""Calibrating a model: each language gets its own shift, scale and perhaps rotation, so that all share one space."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from likewise.data.columns import Column, Label, Text
from likewise.errors import InputError, nearest, unknown
from likewise.products.base import Product, ProductResult

if TYPE_CHECKING:
    from torch import Tensor

    from likewise.artefact import Model
    from likewise.encoders import TextEncoder

__all__ = ["Calibrate"]

SENTENCES = (
    Column("sentences", Text, many=True, help="a sentence, or several"),
    Column("language", Label, help="their language"),
)
ANCHORS = (
    Column("source", Text, help="a sentence"),
    Column("target", Text, help="its translation in the pivot's language"),
    Column("language", Label, help="the language of the sentence"),
)


@dataclass(frozen=True)
class Calibrate(Product):
    """Write a model whose domains are languages, each put on the others by a shift, a scale and perhaps a rotation."""

    data: str = ""
    """Sentences of each language, 1000 or more: documents:FOLDER, or anything with the columns sentences and
    language."""
    out: str = ""
    """Folder of the calibrated model, new or empty."""
    pivot: str = "en"
    """The language that is not turned."""
    rotate: Literal["none", "procrustes", "unsupervised"] = "none"
    """How the others are turned to it: not at all, by translations (--anchors), or by how they lie. A rotation is kept
    only where it brings mutual neighbours closer."""
    anchors: str = ""
    """Translations for procrustes: columns source, target (in the pivot's language), language (of the source)."""
    columns: tuple[str, ...] = ()
    """Columns of the data by another name: sentences=text language=lang."""
    most: int = 10_000
    """Sentences of a language that are looked at, >= 2; drawn where there are more."""
    seed: int = 0
    """Start of what is drawn."""

    summary: ClassVar[str] = "Put languages on top of each other: a model with a domain for each"
    argument: ClassVar[str | None] = None

    def run(self, model: Model) -> ProductResult:
        """Fit to the sentences of each language, and write the model with a domain for each."""
        from likewise import artefact
        from likewise.encoders.calibration import Calibrator

        self._check()
        sentences = self._sentences()
        if self.pivot not in sentences:
            raise unknown("pivot", self.pivot, sentences)
        if len(sentences) < 2:
            raise InputError(f"the sentences are all of '{self.pivot}'; give those of two languages or more.")
        encoder = model.text_encoder.with_domains({})
        fitted = Calibrator.fit(
            {language: _features(encoder, texts) for language, texts in sentences.items()},
            self.pivot,
            rotate=self.rotate,
            anchors=self._anchors(encoder, sentences),
            seed=self.seed,
        )
        folder = Path(self.out)
        artefact.save(encoder.with_domains(fitted.domains), folder, artefact.About.of(model.about), model.kept)
        rows: list[dict[str, Any]] = []
        for language, texts in sentences.items():
            row: dict[str, Any] = {"language": language, "sentences": len(texts)}
            if self.rotate != "none":
                before, after = fitted.scores.get(language, (None, None))
                turned = before is not None and after is not None and after > before
                row |= {"turned": turned, "csls_before": before, "csls_after": after}
            rows.append(row)
        return ProductResult(rows=rows, files=[folder])

    def _check(self) -> None:
        for name, value in (("data", self.data), ("out", self.out)):
            if not value:
                raise InputError(f"no {name} given; say it with --{name}.")
        folder = Path(self.out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"'{folder}' is there already and is not an empty folder; give a new one with --out.")
        if self.most < 2:
            raise InputError(f"most is {self.most}; it is 2 or more, better 1000.")
        if (self.rotate == "procrustes") != bool(self.anchors):
            raise InputError("--rotate procrustes and --anchors go together: give both, or neither.")

    def _sentences(self) -> dict[str, list[str]]:
        """Return distinct sentences by language, drawn where there are too many."""
        import numpy as np

        from likewise.data import open_table
        from likewise.data.renaming import parse_renaming

        found: dict[str, dict[str, None]] = defaultdict(dict)
        for row in open_table(self.data, columns=SENTENCES, rename=parse_renaming(self.columns)):
            found[row["language"]] |= dict.fromkeys(row["sentences"])
        random = np.random.default_rng(self.seed)
        drawn = {}
        for language, texts in found.items():
            listed = list(texts)
            if len(listed) > self.most:
                listed = [listed[place] for place in sorted(random.choice(len(listed), self.most, replace=False))]
            drawn[language] = listed
        return drawn

    def _anchors(self, encoder: TextEncoder, languages: Mapping[str, Any]) -> dict[str, tuple[Tensor, Tensor]]:
        from likewise.data import open_table

        if not self.anchors:
            return {}
        pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for row in open_table(self.anchors, columns=ANCHORS):
            if row["language"] not in languages:
                near = nearest(row["language"], languages)
                hint = f"did you mean '{near}'?" if near else f"there are {', '.join(languages)}."
                raise InputError(f"{self.anchors}: there are no sentences of the language '{row['language']}'; {hint}")
            pairs[row["language"]].append((row["source"], row["target"]))
        return {
            language: (_features(encoder, [one for one, _ in both]), _features(encoder, [other for _, other in both]))
            for language, both in pairs.items()
        }


def _features(encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    """Encode texts in evaluation mode, before the normalisation that a domain's map precedes."""
    import torch

    encoder.eval()
    with torch.inference_mode():
        parts = [encoder(encoder.tokenizer(texts[first : first + 256])) for first in range(0, len(texts), 256)]
        return torch.cat(parts).clone()
