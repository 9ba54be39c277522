"""What do repetition and the queue add to SimCSE, and does the space depend less on length? ESimCSE's stand-in study.

Four arms from the first two layers of all-MiniLM-L6-v2 with mean pooling, as in ``benchmarks simcse``: SimCSE; ESimCSE
with repetition alone, with the queue alone, and with both. 60 steps of 64 sentences each, paired by seed, that is by
the order of the batches.

``esimcse``: the sentences of SICK train and STS 2012, 2013, 2015 (without any that is measured); measured by Spearman
on STS 2014, 2016 and SICK test. ``esimcse-two-lengths``: of these sentences only those of exactly 8 or exactly 16
tokens, so that length tells much of what a sentence is about.

Length bias: 600 random pairs of measured sentences, which have nothing to do with each other. "difference in length" is
the Spearman correlation of their cosine with how many tokens they differ by: 0 where length does not matter, below 0
where sentences of one length look alike (the paper's bias is minus this). In the first study every trained model is
looked at once more: the mean cosine of a sentence with itself under dropout, and with a copy in which three to six
tokens are said twice, and the ratio of the two; the mean cosine of unrelated sentences that differ by at most three
tokens, and by more.

Settings are those of the specification (and of ``benchmarks simcse``); nothing was chosen by these figures.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer
from torch.nn.functional import normalize

import likewise
from benchmarks.options import Seeds, Workers
from benchmarks.simcse import BASE, POOL, SETTINGS
from benchmarks.stored import mean_over_sets, store_study
from benchmarks.temperature import REPORTED, STS, sentence_files, write_rows
from likewise.encoders import TextEncoder, TextEncoderConfig, Tokens, load_text_encoder

if TYPE_CHECKING:
    from likewise.studies import StudyResult

SHARED = {**SETTINGS, "checkpoint_every": 10_000}
STEPS = SHARED.pop("steps")
ARMS = {
    "simcse": {"method": "simcse"},
    "repetition": {"method": "esimcse", "queue_size": 0},
    "queue": {"method": "esimcse", "repetition_rate": 0.0},
    "esimcse": {"method": "esimcse"},
}
LENGTHS = (8, 16)
"""Tokens, special ones included, of the sentences of the second study."""
UNRELATED = 600
ALIKE_LENGTH = 3
"""Most tokens by which sentences differ that count as equally long."""
LOOKED_AT = 500
COPIES = (3, 6)
"""Fewest and most tokens that are said twice in the copy of a sentence."""
LENGTH_BIAS = "difference in length"


def studies(sts: Path, work: Path, seeds: int) -> dict[str, dict[str, Any]]:
    """Write the files of both studies into ``work``, and return what is compared."""
    files = sentence_files(sts, work)
    tokenizer = load_text_encoder(TextEncoderConfig(**BASE)).tokenizer
    unrelated = _unrelated(_measured(work), tokenizer)
    write_rows(work / "unrelated.jsonl", unrelated)
    sentences = _column(files["data"], "text")
    lengths = tokenizer(sentences).lengths.tolist()
    chosen = [{"text": text} for text, length in zip(sentences, lengths, strict=True) if length in LENGTHS]
    write_rows(work / "two-lengths.jsonl", chosen)
    bias = {"task": "similarity", "data": str(work / "unrelated.jsonl"), "name": LENGTH_BIAS}
    common = {
        **files,
        "evaluate": [*files["evaluate"], bias],
        "arms": ARMS,
        "baseline": "simcse",
        "budget": {"steps": STEPS},
        "seeds": seeds,
        "shared": SHARED,
    }
    return {
        "esimcse": {
            **common,
            "name": "esimcse: repetition and queue",
            "about": "What do repetition and the queue add to SimCSE, and does the space depend less on length?",
            "keep_models": True,
        },
        "esimcse-two-lengths": {
            **common,
            "name": "esimcse: sentences of two lengths",
            "about": "Does the space depend less on length where length tells much of what a sentence is about?",
            "data": str(work / "two-lengths.jsonl"),
        },
    }


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    work: Annotated[Path, typer.Option(help="Folder for files, runs (0.4 GB each) and reports; goes on there.")],
    seeds: Seeds = 5,
    workers: Workers = 2,
) -> None:
    """Run both studies, look at the models, and store the figures."""
    from likewise.studies import study

    for name, content in studies(sts, work, seeds).items():
        made = study(content, work / name, runs=work / "runs", workers=workers, say=print)
        looked = {"mechanism": _mechanism(made, work)} if content.get("keep_models") else {}
        sentences = len(_column(content["data"], "text"))
        path = store_study(
            name,
            made,
            settings={**SHARED, "steps": STEPS, "arms": ARMS},
            data={"pool": list(POOL), "measured": list(REPORTED), "sentences": sentences, "origin": STS},
            mean_over_sets=mean_over_sets(made, leave_out=(LENGTH_BIAS,)),
            **looked,
        )
        print(made.report, path)


def _mechanism(made: StudyResult, work: Path) -> dict[str, Any]:
    """What each model makes of copies and of unrelated sentences: the values of all seeds, by arm and figure."""
    sentences = _measured(work)[:LOOKED_AT]
    unrelated = _rows(work / "unrelated.jsonl")
    found: dict[str, Any] = {
        "untrained": _looked_at(load_text_encoder(TextEncoderConfig(**BASE)), sentences, unrelated)
    }
    for arm in ARMS:
        models = [made.found.plan.runs[arm, seed].model for seed in made.found.plan.config.seeds]
        each = [_looked_at(likewise.load(model), sentences, unrelated) for model in models]
        found[arm] = {figure: [one[figure] for one in each] for figure in each[0]}
    return found


@torch.no_grad()
def _looked_at(
    tower: TextEncoder, sentences: Sequence[str], unrelated: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    tokens = tower.tokenizer(sentences)
    plain = normalize(tower.eval()(tokens), dim=1)
    copied = normalize(tower(_with_copies(tokens)), dim=1)
    torch.manual_seed(0)
    dropped = normalize(tower.train()(tokens), dim=1)
    tower.eval()
    copies, dropout = (float((plain * other).sum(dim=1).mean()) for other in (copied, dropped))
    first, second = (tower.encode([row[side] for row in unrelated]) for side in ("sentence1", "sentence2"))
    cosine = (normalize(first, dim=1) * normalize(second, dim=1)).sum(dim=1)
    alike = torch.tensor([row["score"] <= ALIKE_LENGTH for row in unrelated])
    return {
        "cosine_with_copies": copies,
        "cosine_under_dropout": dropout,
        "ratio": copies / dropout,
        "unrelated_of_like_length": float(cosine[alike].mean()),
        "unrelated_of_other_length": float(cosine[~alike].mean()),
    }


def _with_copies(tokens: Tokens) -> Tokens:
    """Say three to six tokens of each text twice, as far as it has so many; never the special ones."""
    random = np.random.default_rng(0)
    times = torch.ones_like(tokens.ids)
    starts = tokens.lengths.cumsum(0) - tokens.lengths
    added = []
    for start, length in zip(starts.tolist(), tokens.lengths.tolist(), strict=True):
        number = min(int(random.integers(COPIES[0], COPIES[1] + 1)), length - 2)
        times[start + 1 + torch.from_numpy(random.choice(length - 2, number, replace=False))] += 1
        added.append(number)
    return Tokens(tokens.ids.repeat_interleave(times), tokens.lengths + torch.tensor(added))


def _measured(work: Path) -> list[str]:
    """The distinct sentences of what is measured, in a random order."""
    files = [work / f"{group}.jsonl" for group in REPORTED]
    sides = itertools.product(files, ("sentence1", "sentence2"))
    texts = list(dict.fromkeys(text for file, side in sides for text in _column(file, side)))
    return [texts[place] for place in np.random.default_rng(0).permutation(len(texts))]


def _unrelated(texts: Sequence[str], tokenizer: Any) -> list[dict[str, Any]]:
    """Pairs of sentences drawn at random; their score is by how many tokens they differ."""
    pairs = np.random.default_rng(1).choice(len(texts), (UNRELATED, 2), replace=False)
    first, second = ([texts[place] for place in side] for side in pairs.T)
    apart = (tokenizer(first).lengths - tokenizer(second).lengths).abs().tolist()
    rows = zip(apart, first, second, strict=True)
    return [{"score": float(score), "sentence1": one, "sentence2": other} for score, one, other in rows]


def _column(path: Path | str, name: str) -> list[str]:
    return [row[name] for row in _rows(path)]


def _rows(path: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]
