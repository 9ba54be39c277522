"""Do entry vectors made of definitions beat those of word pieces, and what do rounds and ICA add? DefSent+'s stand-in.

The tower is the first two layers of all-MiniLM-L6-v2 with mean pooling. The dictionary: 6,000 synsets of WordNet 3.1
(nouns and verbs, definitions of 4 to 25 tokens), each the usual one of its words with its definition; of an entry with
several definitions the last one is held out. Arms, 100 steps of 64 definitions in every round, paired by seed:

- ``word pieces``: the table is the mean of the encoder's own vectors of an entry's word pieces (like DefSent, which
  predicts entries through the encoder's table of words; without its masked-language head, which MiniLM does not bring);
- ``one round``, ``two rounds``: DefSent+, the table made by the encoder as it comes, or by that of the first round;
- ``two rounds and ICA``: the second table made isotropic, and multiplied by 100 as in the paper; and by 1, a second try
  after the first had shown a loss of 1,800 nats at its first step.

Measured: Spearman on four sets of similarity (STS 2014 OnWN, headlines, images, and SICK test). For every table, the
mean cosine of two of its vectors (1: a narrow cone). And the reverse dictionary: how often the entry of a held-out
definition (mostly another meaning of the word) is among the first ten of all, looked up as the model was trained to,
and, the same for every arm and for the encoder as it comes, by cosine among the mean embeddings of the definitions that
were trained on.

Settings are those of the specification; nothing was chosen by these figures.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer
from torch.nn.functional import normalize

from benchmarks.options import Seeds, Workers
from benchmarks.simcse import BASE, read_sets
from benchmarks.stored import store_study
from benchmarks.temperature import STS, WORDNET, write_rows
from likewise.artefact import load_model
from likewise.data import DICTIONARY_COLUMNS, Dictionary, open_table
from likewise.data.wordnet import reverse_dictionary
from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder
from likewise.evaluation.ranked import parse_metrics, ranking_figures
from likewise.geometry import mean_cosine
from likewise.memory import mean_embeddings
from likewise.products.check_lookup import reverse_dictionary_figures
from likewise.products.entries import EntryTable

if TYPE_CHECKING:
    from likewise.studies import StudyResult

SYNSETS = 6000
TOKENS = (4, 25)
"""Fewest and most tokens of a definition, without the special ones."""
STEPS = 100
ICA_ITERATIONS = 200
"""The table is exactly isotropic after any number of them; what more of them buy is independence."""
SHARED = {**BASE, "batch_size": 64, "lr": 1e-4, "pooler": "identity", "checkpoint_every": 10_000}
BASELINE = "word pieces"
ARMS = {
    BASELINE: {"method": "defsent-plus", "table": "pieces"},
    "one round": {"method": "defsent-plus"},
    "two rounds": {"method": "defsent-plus", "rounds": 2},
    "two rounds and ICA": {"method": "defsent-plus", "rounds": 2, "ica_round": 2, "ica_max_iterations": ICA_ITERATIONS},
    "two rounds and ICA, scale 1": {
        "method": "defsent-plus",
        "rounds": 2,
        "ica_round": 2,
        "ica_max_iterations": ICA_ITERATIONS,
        "ica_scale": 1.0,
    },
}
REPORTED = ("2014-OnWN", "2014-headlines", "2014-images", "sick-test")
METRICS = ("hit@10", "mrr@100")


def studies(sts: Path, work: Path, seeds: int) -> dict[str, Any]:
    """Write the files of the study into ``work``, and return what is compared."""
    work.mkdir(parents=True, exist_ok=True)
    _write_dictionary(work)
    sets = read_sets(sts)
    for name in REPORTED:
        write_rows(work / f"{name}.jsonl", sets[name])
    return {
        "name": "defsent-plus: tables of entries",
        "about": "Do entry vectors made of definitions beat those of word pieces, and what do rounds and ICA add?",
        "data": str(work / "dictionary.jsonl"),
        "evaluate": [
            {"task": "similarity", "data": str(work / f"{name}.jsonl"), "name": name.replace("-", " ")}
            for name in REPORTED
        ],
        "space": {"data": str(work / "space.jsonl")},
        "arms": ARMS,
        "baseline": BASELINE,
        "budget": {"steps": STEPS},
        "seeds": seeds,
        "shared": SHARED,
        "keep_models": True,
    }


def run(
    sts: Annotated[Path, typer.Option(help="Folder of similarity sets (YEAR-SET.tsv, sick-*.tsv).")],
    work: Annotated[Path, typer.Option(help="Folder for files, runs (0.3 GB each) and reports; goes on there.")],
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run the study, look at tables and reverse dictionaries, and store the figures."""
    from likewise.studies import study

    made = study(studies(sts, work, seeds), work / "study", runs=work / "runs", workers=workers, say=print)
    trained, held_out = (_opened(work / name) for name in ("dictionary.jsonl", "held-out.jsonl"))
    path = store_study(
        "defsent-plus",
        made,
        settings={**SHARED, "steps": STEPS, "arms": ARMS},
        data={
            "synsets": SYNSETS,
            "entries": len(trained.entries),
            "definitions": sum(map(len, trained.definitions.values())),
            "held_out": sum(map(len, held_out.definitions.values())),
            "measured": list(REPORTED),
            "origin": f"{WORDNET}; {STS}",
        },
        mean_over_sets=_mean_over_sets(made),
        looked_at=_looked_at(made, trained, held_out),
    )
    print(made.report, path)


def _write_dictionary(work: Path) -> None:
    """Write what is trained on, what is held out, and the pairs that show the space."""
    tokenizer = load_text_encoder(TextEncoderConfig(**BASE)).tokenizer
    synsets = [one for one in reverse_dictionary().train if one.part_of_speech in ("noun", "verb") and one.words]
    lengths = tokenizer([one.definition for one in synsets]).lengths - sum(tokenizer.special_tokens_around)
    fit = [s for s, length in zip(synsets, lengths.tolist(), strict=True) if TOKENS[0] <= length <= TOKENS[1]]
    chosen = sorted(np.random.default_rng(0).choice(len(fit), SYNSETS, replace=False).tolist())
    definitions: dict[str, dict[str, None]] = {}
    for place in chosen:
        definitions.setdefault(fit[place].words[0], {})[fit[place].definition] = None
    trained = [
        {"entry": entry, "definition": list(found)[: max(1, len(found) - 1)]} for entry, found in definitions.items()
    ]
    write_rows(work / "dictionary.jsonl", trained)
    held_out = [{"entry": e, "definition": list(found)[-1:]} for e, found in definitions.items() if len(found) > 1]
    write_rows(work / "held-out.jsonl", held_out)
    write_rows(work / "space.jsonl", [{"query": row["definition"][0], "positive": row["entry"]} for row in trained])


def _opened(path: Path) -> Dictionary:
    return Dictionary.of(open_table(path, columns=DICTIONARY_COLUMNS))


def _mean_over_sets(made: StudyResult) -> dict[str, dict[str, Any]]:
    """The paper's figure: Spearman x 100, mean over the sets, one a seed."""
    sets = list(made.found.main_metrics().items())
    found = {}
    for arm in made.found.plan.arms:
        values = [next(o for o in made.found.of(*one) if o.arm == arm).values for one in sets]
        of_seeds = [100 * statistics.mean(of_seed) for of_seed in zip(*values, strict=True)]
        found[arm] = {"mean": statistics.mean(of_seeds), "values": of_seeds}
    return found


def _looked_at(made: StudyResult, trained: Dictionary, held_out: Dictionary) -> dict[str, Any]:
    """Tables and reverse dictionaries: the values of all seeds, by arm and figure."""
    untrained = load_text_encoder(TextEncoderConfig(**BASE))
    found: dict[str, Any] = {"untrained": _by_cosine(untrained, trained, held_out)}
    for arm in ARMS:
        each = []
        for seed in made.found.plan.config.seeds:
            model = load_model(made.found.plan.runs[arm, seed].model)
            entries = EntryTable.of(model)
            asked = reverse_dictionary_figures(entries, held_out, metrics=METRICS, bootstrap=0)
            each.append(
                {
                    "mean_cosine_of_table": mean_cosine(entries.table.vectors),
                    **{f"{name} as trained": value for name, value in asked["metrics"].items()},
                    **_by_cosine(model.embedder, trained, held_out),
                }
            )
        found[arm] = {figure: [one[figure] for one in each] for figure in each[0]}
    return json.loads(json.dumps(found))


def _by_cosine(encoder: TextEncoder, trained: Dictionary, held_out: Dictionary) -> Mapping[str, float]:
    """Look held-out definitions up among the mean embeddings of the others, by cosine."""
    texts, owner = zip(*trained.pairs(), strict=True)
    table = mean_embeddings(encoder, texts, torch.tensor(owner), len(trained.entries))
    place = {entry: number for number, entry in enumerate(trained.entries)}
    asked = [(one, place[entry]) for entry, several in held_out.definitions.items() for one in several]
    query = encoder.encode([one for one, _ in asked], precision="fp32")
    right = [{number: 1.0} for _, number in asked]
    figures = ranking_figures(
        normalize(query, dim=1),
        normalize(table, dim=1),
        right,
        [()] * len(right),
        parse_metrics(METRICS),
        bootstrap=0,
        seed=0,
    )
    own = {"mean_cosine_of_own_table": mean_cosine(table)}
    return {**own, **{f"{name} by cosine": value for name, value in figures["metrics"].items()}}
