"""Scores of pairs, and the best candidates beside a query; measured against labels and against a teacher."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from likewise.errors import InputError
from likewise.products.base import Product, ProductResult, write_lines

if TYPE_CHECKING:
    import torch

    from likewise.artefact import Model
    from likewise.encoders import CrossEncoder
    from likewise.losses import PairTask

__all__ = ["Score"]

Made = TypeVar("Made")


@dataclass(frozen=True)
class Score(Product):
    """Score the pairs of a file, or one query with every text of a file; see the fields."""

    summary: ClassVar[str] = "Score the pairs of a file, or find the best candidates beside a query"
    argument: ClassVar[str | None] = "data"

    data: str = ""
    """File of pairs (columns a and b, and label where there is one); with --query, of candidates (column text)."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pairs: which column of the file is which of ours, as a=question."""
    query: str | None = None
    """Text whose best candidates are looked for; it is the first side of each pair."""
    k: int = 10
    """With --query: how many candidates are found, >= 1."""
    by: str | None = None
    """With --query: which score ranks, where a pair has one for each class."""
    shortlist: int | None = None
    """With --query: score only so many candidates, the nearest by cosine; all, which is exact, where not given."""
    both_orders: bool = False
    """Score a pair in both orders and take the mean; the head of a student is not symmetric."""
    teacher: str | None = None
    """Model to compare with, in quality and in speed: a folder trained by cross-encoder or dse, or a cross-encoder."""
    show: int = 10
    """Without --query: pairs that are listed, from the first, >= 0; a file of --out holds all."""
    out: str | None = None
    """New .jsonl file of all pairs with their scores."""
    scores: str | None = None
    """New folder of the scores, for --teacher-scores of dse."""
    batch_size: int = 64
    """Texts, or pairs read as one, encoded at a time, >= 1."""
    precision: Literal["auto", "bf16", "fp32"] = "fp32"
    """Format of the encoder's products."""

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("show", 0), ("batch_size", 1), ("shortlist", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; it is {least} or more.")
        if not self.data:
            raise InputError("no file of pairs is given; name one, or rows of candidates with --query.")
        of_pairs = [name for name in ("out", "scores") if getattr(self, name) is not None]
        if self.query is not None and of_pairs:
            raise InputError(f"--{of_pairs[0]} is for the scores of pairs; leave it out, or leave out --query.")
        if self.query is None and (self.by is not None or self.shortlist is not None):
            raise InputError("--by and --shortlist rank candidates beside a query; give --query, or leave them out.")
        if self.out is not None and (Path(self.out).suffix != ".jsonl" or Path(self.out).exists()):
            raise InputError(f"--out {self.out} has to be a new file that ends in .jsonl.")
        if self.scores is not None and Path(self.scores).exists():
            raise InputError(f"--scores {self.scores} exists; give a new folder.")

    def run(self, model: Model) -> ProductResult:
        """Score, and compare with labels and teacher where there are any."""
        from likewise.artefact import load_pair_scorer, pair_scorer_of, pair_task_of

        task = pair_task_of(model)
        scorer = pair_scorer_of(model, both_orders=self.both_orders)
        teacher = None if self.teacher is None else load_pair_scorer(self.teacher)
        return self._pairs(task, scorer, teacher) if self.query is None else self._query(task, scorer, teacher)

    def _pairs(self, task: PairTask, scorer: CrossEncoder, teacher: CrossEncoder | None) -> ProductResult:
        from likewise.data import open_table
        from likewise.data.renaming import parse_renaming
        from likewise.evaluation.pair_scores import PAIR_COLUMNS, PAIR_METRICS, pair_figures
        from likewise.memory import TeacherScores

        a, b, label = PAIR_COLUMNS
        columns = (a, b, dataclasses.replace(label, required=False))
        table = open_table(self.data, columns=columns, rename=parse_renaming(self.columns))
        pairs = list(zip(table.column("a").to_pylist(), table.column("b").to_pylist(), strict=True))
        labels = table.column("label").to_pylist() if "label" in table.column_names else [None] * len(pairs)
        target, has_label = task.targets(labels, table.where)
        scores, figures = _timed(scorer, lambda: self._scored(scorer, pairs))
        figures = {"pairs": len(pairs), **figures}
        judged = [place for place, has in enumerate(has_label) if has]
        main = PAIR_METRICS[task.kind][0]

        def quality(of: torch.Tensor) -> dict[str, float]:
            found = pair_figures(task, of[judged], [target[place] for place in judged])
            ends = {
                f"{name}_{end}": x
                for name, e in found.intervals.items()
                for end, x in zip(("low", "high"), e, strict=True)
            }
            return {**found.metrics, **ends}

        if judged:
            figures |= {"labelled": len(judged), **quality(scores)}
        if teacher is not None:
            given, spent = _timed(teacher, lambda: self._scored(teacher, pairs))
            taught = _reduced(task, given, teacher)
            figures |= {f"teacher_{name}": value for name, value in spent.items()}
            figures["distance_to_teacher"] = float(((scores - taught) ** 2).sum(dim=1).mean())
            if judged:
                theirs = quality(taught)
                figures |= {f"teacher_{name}": value for name, value in theirs.items()}
                if theirs[main] > 0:  # of a teacher that is worse than chance there is nothing to lose
                    figures["relative_degradation"] = (theirs[main] - figures[main]) / theirs[main]
            figures["speed_up"] = figures["pairs_per_s"] / figures["teacher_pairs_per_s"]
        rows = [
            {"a": a, "b": b, **dict(zip(task.score_names, map(float, row), strict=True)), **_answer(task, row)}
            for (a, b), row in zip(pairs, scores, strict=True)
        ]
        files: list[Path] = []
        if self.out is not None:
            write_lines(Path(self.out), rows)
            files.append(Path(self.out))
        if self.scores is not None:
            TeacherScores.write(
                Path(self.scores),
                pairs,
                scores.numpy(),
                teacher=scorer.name,
                fingerprint=scorer.fingerprint,
                score_names=scorer.score_names,
            )
            files.append(Path(self.scores))
        return ProductResult(figures, rows[: self.show], files)

    def _query(self, task: PairTask, scorer: CrossEncoder, teacher: CrossEncoder | None) -> ProductResult:
        from likewise.data import Column, Text, open_table
        from likewise.data.renaming import parse_renaming
        from likewise.heads import PairScorer

        query = str(self.query)
        table = open_table(self.data, columns=(Column("text", Text),), rename=parse_renaming(self.columns))
        texts: list[str] = table.column("text").to_pylist()
        figures: dict[str, Any] = {"candidates": len(texts)}
        if isinstance(scorer, PairScorer):
            index, spent = _timed(
                scorer, lambda: scorer.index(texts, batch_size=self.batch_size, precision=self.precision)
            )
            figures |= {f"index_{name}": value for name, value in spent.items() if name != "pairs_per_s"}
            (ranked, places), spent = _timed(
                scorer, lambda: index.topk(query, self.k, by=self.by, shortlist=self.shortlist), pairs=len(texts)
            )
        else:
            if self.shortlist is not None:
                raise InputError("this model has no vectors to draw up a shortlist by; leave --shortlist out.")
            (ranked, places), spent = _timed(scorer, lambda: self._best(task, scorer, query, texts), pairs=len(texts))
        figures |= spent
        if teacher is not None:
            (_, theirs), of_teacher = _timed(teacher, lambda: self._best(task, teacher, query, texts), pairs=len(texts))
            figures |= {f"teacher_{name}": value for name, value in of_teacher.items()}
            figures["speed_up"] = of_teacher["seconds"] / spent["seconds"]
            figures["found_by_both"] = len(set(places.tolist()) & set(theirs.tolist()))
        rows = [
            {"rank": rank, "score": float(score), "text": texts[place]}
            for rank, (score, place) in enumerate(zip(ranked, places.tolist(), strict=True), 1)
        ]
        return ProductResult(figures, rows)

    def _scored(self, scorer: CrossEncoder, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        return scorer.score(pairs, batch_size=self.batch_size, precision=self.precision)

    def _best(
        self, task: PairTask, scorer: CrossEncoder, query: str, texts: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rank candidates by the scores of whole pairs: one pass a candidate."""
        from likewise.heads import ranked

        scores = _reduced(task, self._scored(scorer, [(query, text) for text in texts]), scorer)
        return ranked(task, scores, self.k, self.by)


def _timed(scorer: CrossEncoder, make: Callable[[], Made], pairs: int | None = None) -> tuple[Made, dict[str, Any]]:
    """Return what is made, with the passes through the transformer, the seconds and the pairs a second it took."""
    before, began = scorer.passes, time.perf_counter()
    made = make()
    took = time.perf_counter() - began
    number = len(made) if pairs is None else pairs  # type: ignore[arg-type]  # scores or an index: both have a length
    return made, {"encoder_passes": scorer.passes - before, "seconds": took, "pairs_per_s": number / took}


def _reduced(task: PairTask, scores: torch.Tensor, scorer: CrossEncoder) -> torch.Tensor:
    import torch

    return torch.from_numpy(task.reduced(scores.numpy(), scorer.score_names, f"the teacher {scorer.name}"))


def _answer(task: PairTask, row: torch.Tensor) -> dict[str, str]:
    """Name the class that is answered; a number is its own answer."""
    return {} if task.kind == "regression" else {"answer": task.classes[int(task.answers(row[None])[0])]}
