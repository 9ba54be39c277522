"""Do soft targets arrange actions by what they mean, at no loss in telling them apart? Dialog2Flow's stand-in.

The vectors of all-MiniLM-L6-v2 are frozen; a residual map of two layers, ``x + W2 relu(W1 x)`` with ``W2`` zero at
first, stands for the encoder that would be fine-tuned, so that a run takes seconds. Everything else is the method's
own: pairs, head, losses, learning rates. Arms, same start, same steps, same pairs and batches at a seed: hard targets
(SupCon, the paper's baseline), soft targets at the label temperatures 0.35 (the paper's) and 0.1.

Data: the validation file of the official repository, 313 actions with 15 utterances each. 213 actions, drawn once, are
trained on; the other 100 are never seen. Labels are encoded by all-MiniLM-L6-v2, which is also what "how alike two
actions are by name" means below; the published figures use another label encoder and three million utterances.

Measured on the unseen actions, as the paper does: few-shot classification (macro F1, 1 and 5 shots, all actions, ten
draws), nDCG@10 of ranking, similarity within an action and between the centroids of actions. And whether actions are
arranged by meaning: over all pairs of actions, the rank correlation of the cosine of their centroids with the cosine of
their names, seen and unseen. And flow extraction on three domains of SpokenWOZ: the share by which the number of nodes
of the extracted graph differs from that of the annotated one, with as many clusters as there are annotated actions.

The learning rate was chosen on 50 of the training actions by the hard arm alone (``--choose``).
"""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from scipy.stats import binomtest, spearmanr
from torch import Tensor, nn
from torch.nn.functional import normalize

from benchmarks.options import Seeds
from benchmarks.stored import store
from likewise.data import Dialog, Stages, open_dialogs, open_table
from likewise.data.split_data import LABELLED_COLUMNS
from likewise.data.utterances import plain_utterance
from likewise.encoders import Encoder, Tokens, load_text_encoder
from likewise.evaluation import few_shot
from likewise.flows import cluster_actions, flow_graph, node_count_error, transitions
from likewise.geometry import summary
from likewise.memory import LabelTable
from likewise.methods.dialog.dialog2flow import Config, Dialog2Flow
from likewise.training import TrainingConfig
from likewise.training.optim import adamw, learning_rate_schedule, set_rate
from likewise.views import Batch

ENCODER = "all-MiniLM-L6-v2"
STEPS = 400
TRAINING = {"batch_size": 64, "lr": 1e-3, "warmup": 0.1, "weight_decay": 0.01}
SHARED = {"head_lr_factor": 1.0}
ARMS: dict[str, dict[str, Any]] = {
    "hard": {"targets": "hard"},
    "soft 0.35": {"label_temperature": 0.35},
    "soft 0.1": {"label_temperature": 0.1},
}
UNSEEN, CHOOSING = 100, 50
VALIDATION, DIALOGS = "train/data/val.csv", "data/spokenwoz/trajectories.single_domain.json"
DOMAINS = ("hospital", "police", "taxi")
ORIGIN = "idiap/dialog2flow, 5ce95a6a5027 (MIT; the dialogs: SpokenWOZ, CC BY-NC 4.0)"
FEW_SHOT = {"ways": 0, "queries": 0, "episodes": 10, "nearest": "dot", "bootstrap": 0}
RATES = (1e-4, 3e-4, 1e-3)
ABOUT = (
    "Macro F1, nDCG and rank correlations x 100. `within` and `between` are mean cosines of two utterances of an "
    "action and of two centroids; `by name` is the rank correlation of centroids with names over pairs of actions; "
    "`nodes` the share in % by which the size of an extracted graph is wrong."
)


class Mapped(Encoder):
    """Frozen vectors, looked up by the number of a text, behind a residual map that trains."""

    def __init__(self, frozen: Tensor) -> None:
        super().__init__()
        self.dim = frozen.shape[1]
        self.register_buffer("frozen", frozen)
        self.hidden, self.out = (nn.Linear(self.dim, self.dim) for _ in range(2))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def mapped(self, vectors: Tensor) -> Tensor:
        """What the map makes of vectors."""
        found: Tensor = vectors + self.out(torch.relu(self.hidden(vectors)))
        return found

    def encode_rows(self, inputs: Tokens) -> Tensor:
        """Encode texts that are given by their numbers."""
        frozen: Tensor = self.frozen  # type: ignore[assignment]
        return self.mapped(frozen[inputs.ids])

    def select(self, inputs: Tokens, index: Tensor) -> Tokens:
        """Pick some texts."""
        return inputs.select(index)


@dataclass(frozen=True)
class Model:
    """What evaluation asks: vectors of texts, through a map."""

    of: Mapping[str, Tensor]
    encoder: Mapped | None
    dim: int = 384
    name: str = "frozen vectors behind a map"
    fingerprint: str = ""

    @torch.no_grad()
    def encode(self, inputs: Sequence[str], **_: Any) -> Tensor:
        """Embed texts whose frozen vectors are known."""
        vectors = torch.stack([self.of[text] for text in inputs])
        return normalize(vectors if self.encoder is None else self.encoder.mapped(vectors), dim=1)


def run(
    data: Annotated[Path, typer.Option(help=f"Folder of the official repository, with {VALIDATION} and {DIALOGS}.")],
    seeds: Seeds = 5,
    choose: Annotated[bool, typer.Option(help="Only compare learning rates, on some of the training actions.")] = False,
) -> None:
    """Train every arm once a seed, measure, and store."""
    parts = _parts(data / VALIDATION)
    dialogs = {} if choose else _dialogs(data / DIALOGS)
    texts = [row["text"] for row in parts["seen"] + parts["unseen"]]
    texts += [
        plain_utterance(turn.text) or turn.text for several in dialogs.values() for one in several for turn in one.turns
    ]
    vectors = _frozen([*dict.fromkeys(texts)])
    if choose:
        _choose(parts, vectors)
        return
    names = _frozen(sorted({row["label"] for part in ("seen", "unseen") for row in parts[part]}))

    def figures(model: Model) -> dict[str, float]:
        return _figures(model, parts, names, dialogs)

    untrained = {"figures": figures(Model(vectors, None)), "geometry": _geometry(Model(vectors, None), parts)}
    print("untrained", _short(untrained["figures"]), flush=True)
    results = []
    for seed in range(seeds):
        for arm, settings in ARMS.items():
            model, losses = _trained(parts["seen"], vectors, Config(**SHARED, **settings), seed)
            found = figures(model)
            ends = {"first": losses[0], "last": statistics.mean(losses[-20:])}
            results.append(
                {"arm": arm, "seed": seed, "figures": found, "geometry": _geometry(model, parts), "loss": ends}
            )
            print(arm, seed, _short(found), flush=True)
    path = store(
        "dialog2flow",
        list(range(seeds)),
        results,
        about=ABOUT,
        settings={**TRAINING, **SHARED, "steps": STEPS, "arms": ARMS, "encoder": ENCODER, "label_encoder": ENCODER},
        data={
            "seen_actions": len({row["label"] for row in parts["seen"]}),
            "unseen_actions": UNSEEN,
            "utterances_of_each": 15,
            "domains": list(DOMAINS),
            "origin": ORIGIN,
        },
        untrained=untrained,
        over_hard={arm: _over_hard(results, arm) for arm in ARMS if arm != "hard"},
    )
    print(path)


def _parts(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Split the actions; the official file has no row of column names."""
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / "actions.csv"
        named.write_text("text,label\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
        rows = list(open_table(named, columns=LABELLED_COLUMNS).stream())
    labels = sorted({row["label"] for row in rows})
    order = [labels[i] for i in np.random.default_rng(0).permutation(len(labels))]
    unseen, choosing = set(order[:UNSEEN]), set(order[UNSEEN : UNSEEN + CHOOSING])
    return {
        "unseen": [row for row in rows if row["label"] in unseen],
        "seen": [row for row in rows if row["label"] not in unseen],
        "choosing": [row for row in rows if row["label"] in choosing],
        "not choosing": [row for row in rows if row["label"] not in unseen | choosing],
    }


def _dialogs(path: Path) -> dict[str, list[Dialog]]:
    found: dict[str, list[Dialog]] = {domain: [] for domain in DOMAINS}
    for dialog in open_dialogs(path):
        if dialog.domain in found:
            found[dialog.domain].append(dialog)
    return found


def _frozen(texts: Sequence[str]) -> dict[str, Tensor]:
    return dict(zip(texts, load_text_encoder(ENCODER).served().encode(texts, precision="fp32"), strict=True))


def _choose(parts: Mapping[str, list[dict[str, Any]]], vectors: Mapping[str, Tensor]) -> None:
    """Print the 5-shot F1 of 50 training actions after training on the others, for a few learning rates."""
    held = open_table(parts["choosing"], columns=LABELLED_COLUMNS)
    print("untrained", few_shot(Model(vectors, None), held, shots=5, **FEW_SHOT).metrics)
    for lr in RATES:
        each = [
            few_shot(
                _trained(parts["not choosing"], vectors, Config(targets="hard", **SHARED), seed, lr=lr)[0],
                held,
                shots=5,
                **FEW_SHOT,
            ).metrics["macro_f1"]
            for seed in (100, 101)
        ]
        print(lr, [round(100 * one, 2) for one in each], flush=True)


def _trained(
    rows: Sequence[Mapping[str, Any]], vectors: Mapping[str, Tensor], config: Config, seed: int, **training: Any
) -> tuple[Model, list[float]]:
    """Train the method on rows of text and label; return the model and the course of its loss."""
    torch.manual_seed(seed)
    numbers = {plain_utterance(row["text"]): i for i, row in enumerate(rows)}
    encoder = Mapped(torch.stack([vectors[row["text"]] for row in rows]))
    method = Dialog2Flow(config, encoder)  # type: ignore[arg-type]
    shared = TrainingConfig(**{**TRAINING, **training})
    table = open_table(
        [{"utterance": row["text"], "label": row["label"]} for row in rows], columns=Dialog2Flow.columns_for(config)
    )
    with tempfile.TemporaryDirectory() as folder:
        pairs = list(method.prepare(table, Stages(Path(folder))).stream())
        labels = LabelTable(Path(folder) / "label_vectors.npy") if config.targets == "soft" else None
        optimizer = adamw(method, shared, method.learning_rates())
        rate = learning_rate_schedule(shared, STEPS)
        random, losses = np.random.default_rng(seed), []
        for step, chosen in zip(range(STEPS), _batches(len(pairs), shared.batch_size, random), strict=False):
            batch = [pairs[i] for i in chosen]
            number = torch.tensor([int(pair["label"]) for pair in batch])
            inputs: dict[str, Any] = {
                side: Tokens.from_lists([[numbers[pair[side]]] for pair in batch]) for side in ("anchor", "partner")
            }
            inputs["label"] = number
            if labels is not None:
                inputs["label_vector"] = labels.vectors(number.numpy())
            loss = method(Batch(inputs, torch.tensor(chosen))).loss
            set_rate(optimizer, rate(step))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(method.parameters(), shared.clip_norm)
            optimizer.step()
            losses.append(loss.item())
    return Model(vectors, encoder.eval()), losses


def _batches(number: int, size: int, random: np.random.Generator) -> Any:
    while True:
        order = random.permutation(number)
        for start in range(0, number - size + 1, size):
            yield order[start : start + size].tolist()


def _figures(
    model: Model,
    parts: Mapping[str, list[dict[str, Any]]],
    names: Mapping[str, Tensor],
    dialogs: Mapping[str, Sequence[Dialog]],
) -> dict[str, float]:
    held = open_table(parts["unseen"], columns=LABELLED_COLUMNS)
    one, five = (few_shot(model, held, shots=n, **FEW_SHOT).metrics for n in (1, 5))
    found = {
        "1-shot F1": 100 * one["macro_f1"],
        "5-shot F1": 100 * five["macro_f1"],
        "nDCG@10": 100 * one["ndcg@10"],
    }
    for part in ("unseen", "seen"):
        labels = [row["label"] for row in parts[part]]
        vectors = model.encode([row["text"] for row in parts[part]])
        if part == "unseen":
            found |= similarities(vectors, labels)
        found[f"by name, {part}"] = 100 * by_name(vectors, labels, names)
    found["nodes"] = 100 * statistics.mean(node_error(model, several) for several in dialogs.values())
    return found


def similarities(vectors: Tensor, labels: Sequence[str]) -> dict[str, float]:
    """Mean over labels of more than two rows of the mean cosine of two of their rows; and the same of centroids."""
    rows = normalize(vectors.double(), dim=1)
    groups: dict[str, list[int]] = defaultdict(list)
    for i, label in enumerate(labels):
        groups[label].append(i)
    within = [_mean_cosine(rows[several]) for several in groups.values() if len(several) > 2]
    centroids = torch.stack([vectors[several].double().mean(dim=0) for several in groups.values()])
    return {"within": statistics.mean(within), "between": _mean_cosine(normalize(centroids, dim=1))}


def _mean_cosine(rows: Tensor) -> float:
    return float((rows.sum(dim=0).square().sum() - len(rows)) / (len(rows) * (len(rows) - 1)))


def by_name(vectors: Tensor, labels: Sequence[str], names: Mapping[str, Tensor]) -> float:
    """Rank correlation, over pairs of labels, of the cosine of their centroids with that of their names."""
    every = sorted(set(labels))
    at = torch.tensor([every.index(label) for label in labels])
    centroids = normalize(torch.stack([vectors[at == i].mean(dim=0) for i in range(len(every))]), dim=1)
    meant = normalize(torch.stack([names[label] for label in every]), dim=1)
    upper = np.triu_indices(len(every), 1)
    return float(spearmanr(*((x @ x.T).numpy()[upper] for x in (centroids, meant))).statistic)


def node_error(model: Model, dialogs: Sequence[Dialog]) -> float:
    """Share by which the number of nodes is wrong, with as many clusters of each speaker as annotated actions."""
    turns = [turn for dialog in dialogs for turn in dialog.turns]
    vectors = model.encode([plain_utterance(turn.text) or turn.text for turn in turns]).numpy()
    action: dict[int, str] = {}
    for speaker in ("user", "system"):
        own = [i for i, turn in enumerate(turns) if turn.speaker == speaker]
        number = len({turns[i].action for i in own})
        found = cluster_actions(vectors[own], [turns[i].text for i in own], number=number)
        action |= {own[member]: f"{speaker} {n}" for n, one in enumerate(found) for member in one.members}
    named = [f"{turn.speaker}: {turn.action}" for turn in turns]
    extracted, annotated, at = [], [], 0
    for dialog in dialogs:
        here = range(at, at := at + len(dialog.turns))
        extracted.append([action[i] for i in here])
        annotated.append([named[i] for i in here])
    graphs = (flow_graph(transitions(each), min_edge_weight=0.02) for each in (extracted, annotated))
    return node_count_error(*graphs)


def _geometry(model: Model, parts: Mapping[str, list[dict[str, Any]]]) -> dict[str, float]:
    return dict(summary(model.encode([row["text"] for row in parts["unseen"]])))


def _over_hard(results: Sequence[Mapping[str, Any]], arm: str) -> dict[str, dict[str, Any]]:
    """How much more than hard targets, seed by seed."""
    ours, theirs = ([run["figures"] for run in results if run["arm"] == name] for name in (arm, "hard"))
    found = {}
    for figure in ours[0]:
        differences = [a[figure] - b[figure] for a, b in zip(ours, theirs, strict=True)]
        higher = sum(one > 0 for one in differences)
        p = float(binomtest(higher, len(differences)).pvalue)
        found[figure] = {
            "mean": statistics.mean(differences),
            "by_seed": differences,
            "higher": higher,
            "sign_test_p": p,
        }
    return found


def _short(figures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.2f}" for name, value in figures.items())
