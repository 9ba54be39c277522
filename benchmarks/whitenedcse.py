"""Does whitening the views in shuffled groups make a better space than dropout alone? WhitenedCSE's stand-in study.

From the first two layers of all-MiniLM-L6-v2 with mean pooling, as in ``benchmarks simcse``; every arm takes 60 steps
of 64 sentences, paired by seed, that is by the order of the batches. Arms: SimCSE; three views with dropout alone;
WhitenedCSE with 48, 64 and 192 groups of the 384 channels (8, 6 and 2 channels each); with 64 groups that are never
shuffled; with 64 groups and the gradient through the whitening. Beside them, without training: this encoder, and the
whole of all-MiniLM-L6-v2, which was trained by contrast, each with its embeddings whitened by statistics of the
training sentences.

Trained on the sentences of SICK train and STS 2012, 2013, 2015 (without any that is measured); measured by Spearman on
STS 2014, 2016 and SICK test.

Every model is looked at once more, on 512 measured sentences in eight batches of 64, in float32: how far the covariance
within the groups is from the identity after whitening, the uniformity of the features before and after it, the mean
cosine of two views of a sentence (two dropout masks; the same and two permutations), and how often the other view of a
sentence is nearer than that of any other of its batch; and the mean correlation of two channels of the embeddings.

Settings are those of the specification (and of ``benchmarks simcse``); nothing was chosen by these figures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor
from torch.nn.functional import normalize

import likewise
from benchmarks.options import Seeds, Workers
from benchmarks.simcse import BASE, POOL, SETTINGS
from benchmarks.stored import mean_over_sets, store_study
from benchmarks.temperature import REPORTED, STS, sentence_files
from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder
from likewise.evaluation import similarity
from likewise.geometry import channel_correlation, summary, uniformity
from likewise.heads import ShuffledGroupWhitening, Whitening

if TYPE_CHECKING:
    from likewise.studies import StudyResult

SHARED = {**SETTINGS, "checkpoint_every": 10_000}
STEPS = SHARED.pop("steps")
GROUPS = (48, 64, 192)
ARMS = {
    "simcse": {"method": "simcse"},
    "three views": {"method": "whitenedcse", "whitening": "none"},
    **{f"{groups} groups": {"method": "whitenedcse", "groups": groups} for groups in GROUPS},
    "64 groups, not shuffled": {"method": "whitenedcse", "groups": 64, "shuffle": False},
    "64 groups, gradient through": {"method": "whitenedcse", "groups": 64, "detach_whitening": False},
}
LOOKED_AT = 512
BATCH = SETTINGS["batch_size"]


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    work: Annotated[Path, typer.Option(help="Folder for files, runs (0.2 GB each) and reports; goes on there.")],
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run the study, look at the models, and store the figures."""
    from likewise.studies import study

    files = sentence_files(sts, work)
    content = {
        **files,
        "name": "whitenedcse: whitening in shuffled groups",
        "about": "Does whitening the views in shuffled groups make a better space than dropout alone?",
        "arms": ARMS,
        "baseline": "simcse",
        "budget": {"steps": STEPS},
        "seeds": seeds,
        "shared": SHARED,
        "keep_models": True,
    }
    made = study(content, work / "whitenedcse", runs=work / "runs", workers=workers, say=print)
    path = store_study(
        "whitenedcse",
        made,
        settings={**SHARED, "steps": STEPS, "arms": ARMS},
        data={
            "pool": list(POOL),
            "measured": list(REPORTED),
            "sentences": len(_column(files["data"], "text")),
            "origin": STS,
        },
        mean_over_sets=mean_over_sets(made),
        post_hoc=_post_hoc(files, work),
        mechanism=_mechanism(made, work),
    )
    print(made.report, path)


def _post_hoc(files: dict[str, Any], work: Path) -> dict[str, dict[str, float]]:
    """Two encoders as they come, and with their embeddings whitened by statistics of the training sentences."""
    models = {
        "two layers": load_text_encoder(TextEncoderConfig(**BASE)).served(),
        "all-MiniLM-L6-v2": load_text_encoder("all-MiniLM-L6-v2"),
    }
    for name, model in list(models.items()):
        vectors = model.encode(_column(files["data"], "text"), precision="fp32")
        models[f"{name}, whitened"] = model.mapped(Whitening(model.dim).fit(vectors).as_linear())
    pairs = _rows(work / "equal.jsonl")
    found = {}
    for name, model in models.items():
        figures = {
            group: 100
            * similarity(model, _rows(work / f"{group}.jsonl"), precision="fp32", bootstrap=0).metrics["spearman"]
            for group in REPORTED
        }
        sides = [model.encode([row[side] for row in pairs], precision="fp32") for side in ("query", "positive")]
        space = summary(*sides)
        kept = ("uniformity", "alignment", "positive_cosine", "mean_cosine", "effective_rank")
        found[name] = {
            **figures,
            "mean": sum(figures.values()) / len(figures),
            **{figure: space[figure] for figure in kept},
            "channel_correlation": channel_correlation(sides[0]),
        }
    return found


def _mechanism(made: StudyResult, work: Path) -> dict[str, Any]:
    """What whitening does to each model's features, and what its space is like: values of all seeds, by arm."""
    files = [work / f"{group}.jsonl" for group in REPORTED]
    texts = dict.fromkeys(row[side] for file in files for row in _rows(file) for side in ("sentence1", "sentence2"))
    places = np.random.default_rng(0).permutation(len(texts))[:LOOKED_AT]
    sentences = [list(texts)[place] for place in places]
    found: dict[str, Any] = {"untrained": _looked_at(load_text_encoder(TextEncoderConfig(**BASE)), sentences)}
    for arm in ARMS:
        models = [made.found.plan.runs[arm, seed].model for seed in made.found.plan.config.seeds]
        each = [_looked_at(likewise.load(model), sentences) for model in models]
        found[arm] = {figure: [one[figure] for one in each] for figure in each[0]}
    return found


@torch.no_grad()
def _looked_at(tower: TextEncoder, sentences: Sequence[str]) -> dict[str, float]:
    tokens = tower.tokenizer(sentences)
    plain = tower.eval()(tokens)
    torch.manual_seed(0)
    tower.train()
    dropped = [tower(tokens), tower(tokens)]
    tower.eval()
    figures = {
        "uniformity": uniformity(plain),
        "channel_correlation": channel_correlation(normalize(plain, dim=1)),
        "cosine, two masks": _cosine(*dropped),
    }
    for groups in GROUPS:
        whitening = ShuffledGroupWhitening(tower.dim, groups, seed=0)
        one, other = whitening.draw(), whitening.draw()
        batches = [rows.split(BATCH) for rows in (plain, *dropped)]
        white = [_whitened(whitening, rows, one) for rows in batches]
        elsewhere = [_whitened(whitening, rows, other) for rows in batches]
        figures |= {
            f"{groups} groups: off the identity": max(
                float((_within(rows[:, one], groups) - torch.eye(tower.dim // groups)).abs().max())
                for rows in white[0].split(BATCH)
            ),
            f"{groups} groups: uniformity": uniformity(white[0]),
            f"{groups} groups: cosine, two permutations": _cosine(white[0], elsewhere[0]),
            f"{groups} groups: cosine, two masks": _cosine(white[1], white[2]),
            f"{groups} groups: cosine, both": _cosine(white[1], elsewhere[2]),
            f"{groups} groups: own sentence found": _found(white[1], elsewhere[2]),
        }
    return figures


def _whitened(whitening: ShuffledGroupWhitening, batches: Sequence[Tensor], permutation: Tensor) -> Tensor:
    return torch.cat([whitening.whiten(rows, permutation) for rows in batches])


def _within(rows: Tensor, groups: int) -> Tensor:
    """The covariance of each group of neighbouring channels."""
    grouped = rows.unflatten(1, (groups, -1)).transpose(0, 1)
    return grouped.mT @ grouped / len(rows)


def _cosine(first: Tensor, second: Tensor) -> float:
    return float(torch.cosine_similarity(first, second).mean())


def _found(first: Tensor, second: Tensor) -> float:
    """Share of the rows whose other view is the nearest among those of their batch."""
    scores = normalize(first, dim=1).unflatten(0, (-1, BATCH)) @ normalize(second, dim=1).unflatten(0, (-1, BATCH)).mT
    return float((scores.argmax(dim=2) == torch.arange(BATCH)).double().mean())


def _column(path: Path | str, name: str) -> list[str]:
    return [row[name] for row in _rows(path)]


def _rows(path: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]
