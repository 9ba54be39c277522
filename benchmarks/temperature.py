"""Does the temperature trade uniformity for tolerance, and is there a best one between? A study of simcse and of pairs.

Both methods start from the first two layers of all-MiniLM-L6-v2 with mean pooling, which no contrastive training has
reached, and are trained over a grid of temperatures and batch sizes at the same number of encoder passes.

``simcse``: the sentences of SICK train and STS 2012, 2013, 2015 (without any that is measured); measured by Spearman on
STS 2014, 2016 and SICK test. The space that is looked at: the SICK test pairs that people found equal (4.5 of 5 or
more), so that its ``positive_cosine`` is the tolerance for what means the same.

``pairs``: WordNet's definitions and words (``demo:wordnet``); measured by finding the words of the 1,000 held-out
definitions among all words of these. The space: the held-out definitions of nouns with their word; their label is the
kind of thing they are (the ancestor six steps below the root), so that ``tolerance`` is the likeness within a kind.

Nothing was chosen by these figures: temperatures and batch sizes are the grid of the question, the rate of learning is
that of ``benchmarks simcse``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.options import Seeds, Work, Workers
from benchmarks.simcse import BASE, POOL, pool, read_sets
from benchmarks.stored import store_study
from likewise.data.assets import WORDNET_31, fetch
from likewise.data.wordnet import reverse_dictionary

TEMPERATURES = [0.01, 0.05, 0.1, 0.3, 1.0]
BATCH_SIZES = [32, 128, 512]
PASSES = 15_360
SHARED = {**BASE, "lr": 2e-4, "warmup": 0.1, "micro_batch": 256, "weight_decay": 0.0, "checkpoint_every": 10_000}
STS = "brmson/dataset-sts (SemEval STS 2012-2016, SICK 2014)"
WORDNET = "WordNet 3.1 (demo:wordnet)"
REPORTED = ("2014", "2016", "sick-test")
KIND_DEPTH = 6
"""Steps below the root at which a noun's ancestor is its kind."""
FEWEST_OF_A_KIND = 5


def studies(sts: Path, work: Path, seeds: int) -> dict[str, dict[str, Any]]:
    """Write the files of both studies into ``work``, and return what is compared."""
    grid = {"temperature": TEMPERATURES, "batch_size": BATCH_SIZES}
    common = {"budget": {"passes": PASSES}, "seeds": seeds, "shared": SHARED}
    sentences = sentence_files(sts, work)
    words = reverse_dictionary().retrieval("test")
    held_out = [
        {"query": text, "positive": [words.corpus[one] for one in sorted(words.relevant[name])]}
        for name, text in words.queries.items()
    ]
    write_rows(work / "held-out.jsonl", held_out)
    write_rows(work / "kinds.jsonl", _kinds(held_out))
    return {
        "simcse": {
            **common,
            "name": "simcse: temperature and batch size",
            "about": "Does the temperature trade uniformity for tolerance, and is there a best one between?",
            **sentences,
            "arms": {"simcse": {"method": "simcse", "grid": grid}},
            "baseline": "simcse: temperature 0.05, batch_size 128",
        },
        "pairs": {
            **common,
            "name": "pairs: temperature and batch size",
            "about": "Does the temperature trade uniformity for tolerance, and is there a best one between?",
            "data": "demo:wordnet",
            "shared": {**SHARED, "max_tokens": 64},
            "arms": {"pairs": {"method": "pairs", "grid": grid}},
            "baseline": "pairs: temperature 0.05, batch_size 128",
            "evaluate": [{"task": "retrieval", "data": str(work / "held-out.jsonl"), "name": "held-out definitions"}],
            "space": {"data": str(work / "kinds.jsonl")},
        },
    }


def sentence_files(sts: Path, work: Path) -> dict[str, Any]:
    """Write the sentences and what is measured into ``work``; return the parts of a study that name them."""
    work.mkdir(parents=True, exist_ok=True)
    sets = read_sets(sts)
    measured = {name: rows for name, rows in sets.items() if name.startswith((*REPORTED, "sick-dev"))}
    hidden = {text for rows in measured.values() for row in rows for text in (row["sentence1"], row["sentence2"])}
    write_rows(work / "sentences.jsonl", pool(sets, hidden))
    for group in REPORTED:
        write_rows(
            work / f"{group}.jsonl", [row for name, rows in measured.items() if name.startswith(group) for row in rows]
        )
    equal = [row for row in measured["sick-test"] if row["score"] >= 4.5]
    write_rows(work / "equal.jsonl", [{"query": row["sentence1"], "positive": row["sentence2"]} for row in equal])
    return {
        "data": str(work / "sentences.jsonl"),
        "evaluate": [
            {
                "task": "similarity",
                "data": str(work / f"{group}.jsonl"),
                "name": f"STS {group}".replace("STS sick-test", "SICK test"),
            }
            for group in REPORTED
        ],
        "space": {"data": str(work / "equal.jsonl")},
    }


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run both studies, and store their figures."""
    from likewise.studies import study

    for name, content in studies(sts, work, seeds).items():
        made = study(content, work / name, runs=work / "runs", workers=workers, say=print)
        data = (
            {"pool": list(POOL), "measured": list(REPORTED), "origin": STS} if name == "simcse" else {"origin": WORDNET}
        )
        settings = {**content["shared"], "passes": PASSES, "temperatures": TEMPERATURES, "batch_sizes": BATCH_SIZES}
        print(made.report, store_study(f"temperature-{name}", made, settings=settings, data=data))


def _kinds(held_out: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the held-out definitions of nouns with a word and a kind that several of them share."""
    text = fetch(WORDNET_31).read_text(encoding="utf-8")
    above: dict[str, str] = {}
    by_definition: dict[str, str] = {}
    for name, body in re.findall(r"<SYNSET><ID>([^<]*-n)</ID>(.*?)</SYNSET>", text, re.DOTALL):
        parent = re.search(r"<SR>([^<]*)<TYPE>HYPERNYM</TYPE>", body)
        definition = re.search(r"<DEF>([^<]*)</DEF>", body)
        if parent:
            above[name] = parent[1]
        if definition:
            by_definition.setdefault(definition[1].strip(), name)
    rows = []
    for row in held_out:
        line = _ancestors(by_definition.get(row["query"]), above)
        if len(line) > KIND_DEPTH:
            rows.append({"query": row["query"], "positive": row["positive"][0], "label": line[KIND_DEPTH]})
    counts = Counter(row["label"] for row in rows)
    return [row for row in rows if counts[row["label"]] >= FEWEST_OF_A_KIND]


def _ancestors(name: str | None, above: Mapping[str, str]) -> list[str]:
    """Return the line from the root down to a synset."""
    line: list[str] = []
    while name is not None and name not in line:
        line.append(name)
        name = above.get(name)
    return line[::-1]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON lines; a file that holds them already is left as it is."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
