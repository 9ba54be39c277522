"""All methods for sentence embeddings on one file, from the same weights, at the same number of steps: one table.

The file: synsets of WordNet 3.1 (nouns and verbs, definitions of 4 to 25 tokens) whose kind and whose sibling have a
definition too, a row each. ``text`` is the definition; ``positive`` that of its hypernym (what it is follows from what
the thing is, as a hypothesis from a premise), ``negative`` that of another hyponym of the same hypernym (it cannot be
both); ``entry`` and ``definition`` are the usual word and the definition again, for a dictionary. So every method
takes from one and the same row what it can use:

- the text alone: ``simcse``, ``esimcse``, ``whitenedcse``, ``debcse``, ``2dmse`` with dropout as its objective;
- text, positive and negative: supervised ``simcse``, ``2dmse``, ``multicsr`` (whose frozen encoder is the whole of
  all-MiniLM-L6-v2, a stronger encoder than the one that is trained: part of what it gains is distilled);
- entry and definition: ``defsent-plus``.

The tower is the first two layers of all-MiniLM-L6-v2 with mean pooling. 100 steps of 64 rows each; a learning rate for
each arm, that with the better mean of SICK dev and the images of STS 2014 for one seed that is not measured
(``RATES``). Measured by Spearman on STS 2014 without its images, STS 2016 and SICK test. No sentence of any of these
sets is trained on.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from benchmarks.options import Seeds, Work, Workers
from benchmarks.simcse import BASE, read_sets
from benchmarks.stored import mean_over_sets, store_study
from benchmarks.temperature import STS, WORDNET, write_rows
from likewise.data.assets import WORDNET_31, fetch
from likewise.data.wordnet import reverse_dictionary
from likewise.encoders import TextEncoderConfig, load_text_encoder

if TYPE_CHECKING:
    from likewise.studies import StudyResult

ROWS = 6000
TOKENS = (4, 25)
"""Fewest and most tokens of a definition, without the special ones."""
STEPS = 100
SHARED = {**BASE, "batch_size": 64, "warmup": 0.1, "weight_decay": 0.0, "checkpoint_every": 10_000}
RATES = (5e-5, 2e-4)
CHOOSING_SEED = 1000
ARMS: dict[str, dict[str, Any]] = {
    "simcse": {"method": "simcse"},
    "esimcse": {"method": "esimcse"},
    "whitenedcse": {"method": "whitenedcse"},
    "debcse": {"method": "debcse"},
    "2dmse, dropout": {"method": "2dmse", "objective": "dropout"},
    "simcse, supervised": {"method": "simcse", "supervised": True},
    "2dmse, pairs": {"method": "2dmse", "columns": ["query=text"]},
    "multicsr": {"method": "multicsr"},
    "defsent-plus": {"method": "defsent-plus", "pooler": "identity"},
}
BASELINE = "simcse"
CHOSEN_ON = {"SICK dev": ("sick-dev",), "STS 2014 images": ("2014-images",)}


def study_of(work: Path, sets: dict[str, tuple[str, ...]], rates: dict[str, float], seeds: list[int]) -> dict[str, Any]:
    """Return what is compared: every arm at its rate, measured on ``sets``."""
    return {
        "name": "sentence methods on one file",
        "about": "What does each method make of the same rows, and is it better than SimCSE?",
        "data": str(work / "rows.jsonl"),
        "evaluate": [
            {"task": "similarity", "data": str(work / f"{name.replace(' ', '-').lower()}.jsonl"), "name": name}
            for name in sets
        ],
        "space": {"data": str(work / "equal.jsonl")},
        "arms": {name: {**settings, "lr": rates[name]} for name, settings in ARMS.items()},
        "baseline": BASELINE,
        "budget": {"steps": STEPS},
        "seeds": seeds,
        "shared": SHARED,
    }


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Choose a learning rate for each arm, run the study, and store the figures."""
    from likewise.studies import study

    reported = _write_files(sts, work)
    tried: dict[float, dict[str, float]] = {}
    for rate in RATES:
        content = study_of(work, CHOSEN_ON, dict.fromkeys(ARMS, rate), [CHOOSING_SEED])
        made = study(content, work / f"choosing-{rate:g}", runs=work / "runs", workers=workers, say=print)
        tried[rate] = {arm: figures["mean"] for arm, figures in mean_over_sets(made).items()}
        print(rate, tried[rate], flush=True)
    rates = {arm: max(RATES, key=lambda rate: tried[rate][arm]) for arm in ARMS}
    content = study_of(work, reported, rates, list(range(seeds)))
    made = study(content, work / "measured", runs=work / "runs", workers=workers, say=print)
    path = store_study(
        "sentences",
        made,
        settings={**SHARED, "steps": STEPS, "arms": ARMS, "lr": rates},
        chosen={"on": list(CHOSEN_ON), "seed": CHOOSING_SEED,
                "mean": {f"{rate:g}": figures for rate, figures in tried.items()}},
        data={"rows": ROWS, "measured": {name: list(sets) for name, sets in reported.items()},
              "origin": f"{WORDNET}; {STS}"},
        mean_over_sets=mean_over_sets(made),
    )  # fmt: skip
    print(made.report, path)
    _say(made)


def _say(made: StudyResult) -> None:
    for arm, figures in mean_over_sets(made).items():
        print(f"{arm:22s} {figures['mean']:.2f}", [round(value, 2) for value in figures["values"]])


def _write_files(sts: Path, work: Path) -> dict[str, tuple[str, ...]]:
    """Write what is trained on and what is measured; return which files of the folder make each measured set."""
    work.mkdir(parents=True, exist_ok=True)
    sets = read_sets(sts)
    reported = {
        "STS 2014": tuple(name for name in sets if name.startswith("2014") and name != "2014-images"),
        "STS 2016": tuple(name for name in sets if name.startswith("2016")),
        "SICK test": ("sick-test",),
    }
    for name, parts in {**reported, **CHOSEN_ON}.items():
        rows = [row for part in parts for row in sets[part]]
        write_rows(work / f"{name.replace(' ', '-').lower()}.jsonl", rows)
    equal = [row for row in sets["sick-test"] if row["score"] >= 4.5]
    write_rows(work / "equal.jsonl", [{"query": row["sentence1"], "positive": row["sentence2"]} for row in equal])
    measured = (*reported.values(), *CHOSEN_ON.values())
    hidden = {
        row[side] for parts in measured for part in parts for row in sets[part] for side in ("sentence1", "sentence2")
    }
    write_rows(work / "rows.jsonl", _rows(hidden))
    return reported


def _rows(hidden: set[str]) -> list[dict[str, str]]:
    """Draw the rows: a definition, that of its hypernym and that of a sibling, and its word."""
    synsets = {
        one.id: one
        for one in reverse_dictionary().train
        if one.part_of_speech in ("noun", "verb") and one.definition not in hidden
    }
    tokenizer = load_text_encoder(TextEncoderConfig(**BASE)).tokenizer
    lengths = tokenizer([one.definition for one in synsets.values()]).lengths - sum(tokenizer.special_tokens_around)
    fit = {name for name, length in zip(synsets, lengths.tolist(), strict=True) if TOKENS[0] <= length <= TOKENS[1]}
    above, below = {}, defaultdict(list)
    for name, parent in _hypernyms():
        if name in fit and parent in fit and synsets[name].definition != synsets[parent].definition:
            above[name] = parent
            below[parent].append(name)
    random = np.random.default_rng(0)
    with_sibling = [name for name, parent in above.items() if len(below[parent]) > 1]
    rows = []
    for place in sorted(random.choice(len(with_sibling), ROWS, replace=False).tolist()):
        name = with_sibling[place]
        siblings = [one for one in below[above[name]] if one != name]
        sibling = siblings[int(random.integers(len(siblings)))]
        rows.append(
            {
                "text": synsets[name].definition,
                "positive": synsets[above[name]].definition,
                "negative": synsets[sibling].definition,
                "entry": synsets[name].words[0],
                "definition": synsets[name].definition,
            }
        )
    return rows


def _hypernyms() -> list[tuple[str, str]]:
    """Return every synset of WordNet with its first hypernym."""
    text = html.unescape(fetch(WORDNET_31).read_text(encoding="utf-8"))
    bodies = re.findall(r"<SYNSET><ID>([^<]*)</ID>(.*?)</SYNSET>", text, re.DOTALL)
    found = ((name, re.search(r"<SR>([^<]*)<TYPE>HYPERNYM</TYPE>", body)) for name, body in bodies)
    return [(name, parent[1]) for name, parent in found if parent]
