"""Tasks of the benchmark mteb, run by mteb itself with our model inside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn.functional import normalize

from likewise.errors import InputError, RunError, unknown
from likewise.evaluation.definition import Definition
from likewise.evaluation.result import Result
from likewise.extras import optional
from likewise.versions import installed_versions

if TYPE_CHECKING:
    from likewise.encoders import Embedder
    from likewise.encoders.embedder import Role

__all__ = ["MtebData", "MtebEncoder", "definition", "mteb_task", "open_mteb"]


@dataclass(frozen=True)
class MtebData:
    """A task of mteb; the data are fetched by mteb when they are first needed."""

    task: Any
    """The ``mteb.AbsTask``."""

    @property
    def name(self) -> str:
        """What the task is called: "mteb:STSBenchmark"."""
        return f"mteb:{self.task.metadata.name}"

    @property
    def fingerprint(self) -> str:
        """Digest of which data at which revision, and of the splits and subsets that are measured."""
        what = (self.name, sorted(self.task.metadata.dataset.items()), self.task.eval_splits, self.task.hf_subsets)
        return hashlib.sha256(repr(what).encode()).hexdigest()


class MtebEncoder:
    """Our model as mteb sees one (``mteb.EncoderProtocol``): texts in batches to vectors, compared by cosine.

    mteb's prompt types are our roles, so a model trained with prompts for queries and documents uses its own. mteb's
    instructions are not used.

    Args:
        embedder: The model.
        precision: How texts are encoded.
    """

    def __init__(self, embedder: Embedder, precision: str) -> None:
        import mteb

        self.embedder = embedder
        self.precision = precision
        self.mteb_model_meta = mteb.models.ModelMeta.create_empty(
            {"name": "likewise/model", "revision": embedder.fingerprint, "embed_dim": embedder.dim}
        )

    def encode(self, inputs: Any, *, prompt_type: Any = None, batch_size: int = 256, **_: Any) -> Any:
        """Embed what mteb's loader yields, ``[n, D]``."""
        texts = [text for batch in inputs for text in batch["text"]]
        role: Role | None = None if prompt_type is None else prompt_type.value
        return self.embedder.encode(texts, role=role, batch_size=batch_size, precision=self.precision).numpy()

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Return the cosines of all pairs."""
        return _unit(embeddings1) @ _unit(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Return the cosine of each pair of rows."""
        return (_unit(embeddings1) * _unit(embeddings2)).sum(dim=-1)


def _unit(embeddings: Any) -> Tensor:
    import torch

    return normalize(torch.atleast_2d(torch.as_tensor(embeddings)).float(), dim=-1)


def open_mteb(name: str) -> MtebData:
    """Find a task of mteb.

    Args:
        name: What mteb calls it: "STSBenchmark".

    Raises:
        InputError: mteb is not installed, or has no such task (the nearest is named).
    """
    mteb = optional("mteb", extra="mteb", use=f"has the task '{name}'")
    try:
        return MtebData(mteb.get_task(name))
    except KeyError:
        known = [task.metadata.name for task in mteb.get_tasks()]
        error = unknown("task of mteb", name, known)
        raise InputError(f"{str(error).partition(' Known:')[0]} mteb lists its {len(known)} tasks itself.") from None


def mteb_task(
    embedder: Embedder,
    data: MtebData,
    *,
    batch_size: int = 256,
    precision: str = "auto",
    bootstrap: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> Result:
    """Hand the model to mteb and return mteb's scores.

    Args:
        embedder: The model; its roles are mteb's prompt types.
        data: The task (:func:`open_mteb`).
        batch_size: Texts encoded at a time.
        precision: How texts are encoded: "auto", "bf16" or "fp32".
        bootstrap: Without effect: mteb gives scores, not what they are means of.
        seed: Without effect: mteb's tasks bring their own seeds.
        progress: Show mteb's progress on stderr.

    Returns:
        ``main_score`` as mteb defines it for the task (the one to quote), and the task's other scores; each the mean
        over subsets and splits, which are in ``parts`` where there are several. No intervals.

    Raises:
        RunError: mteb cannot fetch or read its data.

    Source: Muennighoff et al. 2023, MTEB, arXiv 2210.07316.
    """
    import mteb

    fingerprint = embedder.fingerprint
    try:
        measured = mteb.evaluate(
            MtebEncoder(embedder, precision),
            data.task,
            cache=None,  # a result of ours is what is measured now
            co2_tracker=False,
            show_progress_bar=progress,
            encode_kwargs={"batch_size": batch_size},
        )
    except OSError as error:
        reason = " ".join(str(error).split()).removesuffix(".")
        raise RunError(f"{data.name}: mteb could not read its data ({reason}); connect once to fetch them.") from error
    scores: dict[str, dict[str, float]] = {}
    for split, subsets in measured.task_results[0].scores.items():
        for subset in subsets:
            scores[f"{subset['hf_subset']}, {split}"] = _numbers(subset)

    def result(metrics: Mapping[str, float], name: str, num_items: int, **more: Any) -> Result:
        return Result(
            task=data.name,
            metrics=metrics,
            num_items=num_items,
            items="subsets",
            data=name,
            data_fingerprint=data.fingerprint,
            model=embedder.name,
            model_fingerprint=fingerprint,
            settings={"main_score": data.task.metadata.main_score, "precision": precision},
            versions=installed_versions("mteb"),
            **more,
        )

    shared = [name for name in next(iter(scores.values())) if all(name in one for one in scores.values())]
    means = {name: fmean(one[name] for one in scores.values()) for name in shared}
    parts = {name: result(one, name, 1) for name, one in scores.items()} if len(scores) > 1 else {}
    return result(means, data.task.metadata.name, len(scores), parts=parts)


def _numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that are single numbers, the main one first."""
    found = {
        name: float(value)
        for name, value in scores.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {"main_score": found["main_score"], **found}


def definition(name: str) -> Definition:
    """Return what :class:`likewise.evaluation.Task` needs to know of a task of mteb."""

    def open_named(data: Any, **_: Any) -> MtebData:
        if data is not None:
            raise InputError(f"mteb:{name} brings its own data; leave the data out.")
        return open_mteb(name)

    return Definition(columns=(), metrics=("main_score",), open=open_named, measure=mteb_task)
