"""Do soft targets arrange actions by what they mean, at no loss in telling them apart? Dialog2Flow's stand-in study.

The tower is the first two layers of all-MiniLM-L6-v2 with mean pooling. Arms, same starting weights, same steps, same
pairs: hard targets (SupCon, the paper's baseline), soft targets at the label temperatures 0.35 (the paper's) and 0.1.

Data: the validation file of the official repository, 313 actions with 15 utterances each. 213 actions, drawn once, are
trained on; the other 100 are never seen. Labels are encoded by all-MiniLM-L6-v2, which is also what "how alike two
actions are by name" means below; the published figures use another label encoder, four hundred times the steps and
three million utterances.

Measured on the unseen actions, as the paper does: few-shot classification (macro F1, 1 and 5 shots, all actions, ten
draws), nDCG@10 of ranking, similarity within an action and between the centroids of actions. And whether actions are
arranged by meaning: over all pairs of actions, the rank correlation of the cosine of their centroids with the cosine of
their names, seen and unseen. And flow extraction on dialogs of SpokenWOZ: the share by which the number of nodes of the
extracted graph differs from that of the annotated one.

The learning rates were chosen on 50 of the training actions by the hard arm alone (``--choose``).
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer
from scipy.stats import binomtest, spearmanr

import likewise
from benchmarks.stored import store_study
from benchmarks.temperature import write_rows
from likewise.artefact import Model
from likewise.data import open_dialogs, open_table
from likewise.data.split_data import LABELLED_COLUMNS
from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder
from likewise.evaluation import few_shot
from likewise.evaluation.tasks.clustering import open_labelled
from likewise.flows import cluster_actions, flow_graph, node_count_error, transitions
from likewise.products.action import utterance_vectors

if TYPE_CHECKING:
    from likewise.studies import StudyResult

BASE = {"encoder_layers": 2, "pooling": "mean", "max_tokens": 64}
STEPS = 400
SHARED = {**BASE, "batch_size": 64, "lr": 1e-4, "head_lr_factor": 10.0, "checkpoint_every": 10_000, "warmup": 0.1}
ARMS = {
    "hard": {"method": "dialog2flow", "targets": "hard"},
    "soft 0.35": {"method": "dialog2flow"},
    "soft 0.1": {"method": "dialog2flow", "label_temperature": 0.1},
}
UNSEEN, CHOOSING = 100, 50
VALIDATION, DIALOGS = "train/data/val.csv", "data/spokenwoz/trajectories.single_domain.json"
DOMAINS = ("hospital", "police", "taxi")
ORIGIN = "idiap/dialog2flow, 5ce95a6a5027 (MIT; the dialogs: SpokenWOZ, CC BY-NC 4.0)"
FEW_SHOT = {"ways": 0, "queries": 0, "episodes": 10, "nearest": "dot"}
RATES = [(1e-4, 10.0), (2e-4, 10.0), (2e-4, 1.0), (3e-5, 100.0)]


def run(
    data: Annotated[Path, typer.Option(help=f"Folder of the official repository, with {VALIDATION} and {DIALOGS}.")],
    work: Annotated[Path, typer.Option(help="Folder for files, runs (0.1 GB each) and reports; goes on there.")],
    seeds: Annotated[int, typer.Option(help="How many seeds, from 0.")] = 5,
    workers: Annotated[int, typer.Option(help="Runs at a time.")] = 2,
    choose: Annotated[bool, typer.Option(help="Only compare learning rates, on some of the training actions.")] = False,
) -> None:
    """Run the study, measure the models, and store the figures."""
    from likewise.studies import study

    parts = _parts(data, work)
    if choose:
        _choose(parts, work)
        return
    content = {
        "name": "dialog2flow: soft and hard targets",
        "about": "Do soft targets arrange actions by what they mean, at no loss in telling them apart?",
        "data": str(work / "train.jsonl"),
        "arms": ARMS,
        "baseline": "hard",
        "budget": {"steps": STEPS},
        "seeds": seeds,
        "shared": SHARED,
        "evaluate": [{"task": "few_shot", "data": str(work / "unseen.jsonl"), "shots": 5, **FEW_SHOT}],
        "space": {"data": str(work / "unseen.jsonl")},
        "keep_models": True,
    }
    made = study(content, work / "study", runs=work / "runs", workers=workers, say=print)
    path = store_study(
        "dialog2flow",
        made,
        settings={**SHARED, "steps": STEPS, "arms": ARMS},
        data={
            "seen_actions": len({row["label"] for row in parts["train"]}),
            "unseen_actions": UNSEEN,
            "utterances_of_each": 15,
            "domains": list(DOMAINS),
            "origin": ORIGIN,
        },
        measured_on_actions=_measured_on_actions(made, parts, data / DIALOGS),
    )
    print(made.report, path)


def _parts(data: Path, work: Path) -> dict[str, list[dict[str, Any]]]:
    """Split the actions, and write the files."""
    rows = [
        {"text": row["text"], "label": row["label"]}
        for row in open_table(_with_header(data / VALIDATION, work), columns=LABELLED_COLUMNS)
    ]
    labels = sorted({row["label"] for row in rows})
    order = [labels[i] for i in np.random.default_rng(0).permutation(len(labels))]
    unseen, choosing = set(order[:UNSEEN]), set(order[UNSEEN : UNSEEN + CHOOSING])
    parts = {
        "unseen": [row for row in rows if row["label"] in unseen],
        "seen": [row for row in rows if row["label"] not in unseen],
        "choosing": [row for row in rows if row["label"] in choosing],
    }
    parts["train"] = [{"utterance": row["text"], "label": row["label"]} for row in parts["seen"]]
    for name, part in parts.items():
        write_rows(work / f"{name}.jsonl", part)
    return parts


def _with_header(path: Path, work: Path) -> Path:
    """The official file has no row of column names."""
    work.mkdir(parents=True, exist_ok=True)
    named = work / "actions.csv"
    named.write_text("text,label\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    return named


def _choose(parts: Mapping[str, list[dict[str, Any]]], work: Path) -> None:
    """Print the 5-shot F1 of 50 training actions after training on the others, for a few learning rates."""
    held = {row["label"] for row in parts["choosing"]}
    rows = [row for row in parts["train"] if row["label"] not in held]
    for lr, factor in RATES:
        settings = {**SHARED, "lr": lr, "head_lr_factor": factor, "steps": STEPS, "seed": 100, "targets": "hard"}
        out = work / f"choose-{lr}-{factor}"
        model = likewise.train("dialog2flow", rows, out=out, progress=False, **settings)
        found = few_shot(model, open_labelled(parts["choosing"]), shots=5, **FEW_SHOT, bootstrap=0).metrics
        print(lr, factor, {name: round(value, 4) for name, value in found.items()}, flush=True)


def _measured_on_actions(
    made: StudyResult, parts: Mapping[str, list[dict[str, Any]]], dialogs: Path
) -> dict[str, dict[str, Any]]:
    """The figures of every model, x 100 where they are shares: values of all seeds, by arm; and over hard, by seed."""
    found: dict[str, dict[str, Any]] = {}
    names = _name_vectors(parts)
    found["untrained"] = _figures(load_text_encoder(TextEncoderConfig(**BASE)), parts, names, dialogs)
    found["untrained"] = {figure: [value] for figure, value in found["untrained"].items()}
    for arm in ARMS:
        each = []
        for seed in made.found.plan.config.seeds:
            model = likewise.load(made.found.plan.runs[arm, seed].model)
            each.append(_figures(model, parts, names, dialogs))
            print(arm, seed, {name: round(value, 2) for name, value in each[-1].items()}, flush=True)
        found[arm] = {figure: [one[figure] for one in each] for figure in each[0]}
    for arm in ARMS:
        if arm != "hard":
            found[arm]["over_hard"] = {
                figure: _compared(values, found["hard"][figure]) for figure, values in found[arm].items()
            }
    return found


def _compared(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    more = sum(one > 0 for one in differences)
    return {
        "mean": statistics.mean(differences),
        "higher": more,
        "sign_test_p": float(binomtest(more, len(differences)).pvalue),
    }


def _name_vectors(parts: Mapping[str, list[dict[str, Any]]]) -> dict[str, torch.Tensor]:
    names = sorted({row["label"] for part in ("seen", "unseen") for row in parts[part]})
    return dict(zip(names, load_text_encoder("all-MiniLM-L6-v2").served().encode(names), strict=True))


def _figures(
    model: TextEncoder,
    parts: Mapping[str, list[dict[str, Any]]],
    names: Mapping[str, torch.Tensor],
    dialogs: Path,
) -> dict[str, float]:
    one, five = (
        few_shot(model, open_labelled(parts["unseen"]), shots=n, **FEW_SHOT, bootstrap=0).metrics for n in (1, 5)
    )
    found = {
        "1-shot F1": 100 * one["macro_f1"],
        "5-shot F1": 100 * five["macro_f1"],
        "nDCG@10": 100 * one["ndcg@10"],
    }
    for part in ("unseen", "seen"):
        labels = [row["label"] for row in parts[part]]
        vectors = model.encode([row["text"] for row in parts[part]], precision="fp32")
        space = label_similarities(vectors, labels)
        found |= {f"within, {part}": space["within"], f"between, {part}": space["between"]}
        found[f"names, {part}"] = 100 * by_name(vectors, labels, names)
    found["node count error"] = 100 * node_error(model, dialogs)
    return found


def label_similarities(vectors: torch.Tensor, labels: Sequence[str]) -> dict[str, float]:
    """Mean over labels of more than two rows of the mean cosine of two of their rows; and the same of centroids."""
    rows = torch.nn.functional.normalize(vectors.double(), dim=1)
    groups: dict[str, list[int]] = defaultdict(list)
    for i, label in enumerate(labels):
        groups[label].append(i)
    within = [_mean_cosine(rows[several]) for several in groups.values() if len(several) > 2]
    centroids = torch.stack([vectors[several].double().mean(dim=0) for several in groups.values()])
    return {"within": statistics.mean(within), "between": _mean_cosine(torch.nn.functional.normalize(centroids, dim=1))}


def _mean_cosine(rows: torch.Tensor) -> float:
    return float((rows.sum(dim=0).square().sum() - len(rows)) / (len(rows) * (len(rows) - 1)))


def by_name(vectors: torch.Tensor, labels: Sequence[str], names: Mapping[str, torch.Tensor]) -> float:
    """Rank correlation, over pairs of labels, of the cosine of their centroids with that of their names."""
    every = sorted(set(labels))
    at = np.array([every.index(label) for label in labels])
    centroids = torch.stack([vectors[torch.from_numpy(at == i)].mean(dim=0) for i in range(len(every))])
    meant = torch.stack([names[label] for label in every])
    upper = np.triu_indices(len(every), 1)
    found, expected = (
        (torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(x, dim=1).T).numpy()[upper]
        for x in (centroids, meant)
    )
    return float(spearmanr(found, expected).statistic)


def node_error(model: TextEncoder, dialogs: Path) -> float:
    """Mean over domains of the share by which the number of nodes is wrong, with as many clusters as annotations."""
    errors = []
    whole = open_dialogs(dialogs)
    for domain in DOMAINS:
        of_domain = [dialog for dialog in whole if dialog.domain == domain]
        turns = [turn for dialog in of_domain for turn in dialog.turns]
        vectors = utterance_vectors(Model(model, {}, {}, None), [turn.text for turn in turns]).numpy()
        action: dict[int, str] = {}
        for speaker in ("user", "system"):
            own = [i for i, turn in enumerate(turns) if turn.speaker == speaker]
            number = len({turns[i].action for i in own})
            found = cluster_actions(vectors[own], [turns[i].text for i in own], number=number)
            action |= {own[member]: f"{speaker} {n}" for n, one in enumerate(found) for member in one.members}
        extracted, annotated, at = [], [], 0
        for dialog in of_domain:
            extracted.append([action[at + i] for i in range(len(dialog.turns))])
            annotated.append([f"{turn.speaker}: {turn.action}" for turn in dialog.turns])
            at += len(dialog.turns)
        graphs = [flow_graph(transitions(each), min_edge_weight=0.02) for each in (extracted, annotated)]
        errors.append(node_count_error(*graphs))
    return statistics.mean(errors)
