"""Do temperatures tell frequent digits from rare ones, and does a small batch stand for all? iSogCLR's stand-in study.

``isogclr``: digits made long-tailed (class c keeps 130 x 20^(-c / 9) of its training digits, at least 6), batches of
32, three arms from the same fresh weights with equal steps, paired by seed: ``simclr``, ``sogclr`` and ``isogclr``, at
(first) temperature 0.3. Measured on the balanced test digits: a linear probe fitted to all 1,300 training digits, and
nearest neighbours. Of every ``isogclr`` model: the rank correlation of a row's temperature with the size of its class,
and the mean temperature of the classes of more than 60 rows (head) and of fewer than 15 (tail).

``estimator``: no training. 400 rows of 20 clusters, two fixed unit vectors each (d = 16). The gradient that batches of
8 give, over 10 passes, is compared with the gradient of the loss over all rows at once: by the batch's own normaliser,
and by the average that each row carries (gamma 0.3), after 20 passes to warm it.

Settings are those of the specification; nothing was chosen by these figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from benchmarks.digits import ORIGIN, SHARED, TRAIN, digit_study
from benchmarks.options import Seeds, Work, Workers
from benchmarks.stored import store_study
from likewise.data import Column, Image, Label, open_table
from likewise.data.splits import long_tailed
from likewise.losses import global_contrast
from likewise.memory import GlobalContrastState

if TYPE_CHECKING:
    from likewise.studies import StudyResult

HEAD_ROWS, IMBALANCE, FEWEST = 130, 20.0, 6
EPOCHS = 80
BATCH = 32
HEAD, TAIL = 60, 15
"""Rows above which a class is called frequent, and below which it is called rare."""
ARMS: Mapping[str, Mapping[str, Any]] = {
    "simclr": {"method": "simclr", "temperature": 0.3},
    "sogclr": {"method": "isogclr", "temperature": 0.3, "individual_temperatures": False},
    "isogclr": {"method": "isogclr", "temperature": 0.3, "rho": 0.3, "gradient_weight": 0.9},
}
OURS = {"batch_size": BATCH, "head_size": 32}


def run(
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
) -> None:
    """Run the study, look at the temperatures and at the estimator, and store the figures."""
    from likewise.studies import study

    sizes = long_tail(work / "long-tailed")
    steps = EPOCHS * round(sum(sizes.values()) / BATCH)
    content = digit_study(
        "isogclr on long-tailed digits",
        "Do temperatures tell frequent digits from rare ones, and what does that do to the space?",
        ARMS,
        baseline="simclr",
        steps=steps,
        seeds=seeds,
        data=str(work / "long-tailed"),
        **OURS,
    )
    made = study({**content, "keep_models": True}, work / "isogclr", runs=work / "runs", workers=workers, say=print)
    path = store_study(
        "isogclr",
        made,
        settings={**SHARED, **OURS, "steps": steps, "arms": ARMS},
        data={"origin": ORIGIN, "rows": sizes},
        temperatures=temperatures(made),
        estimator=[estimator(temperature, seed) for temperature in (0.05, 0.1, 0.3) for seed in range(seeds)],
    )
    print(made.report, path)


def long_tail(folder: Path) -> dict[str, int]:
    """Write a folder of pictures for each digit, and return how many each has."""
    table = open_table(TRAIN, columns=[Column("image", Image), Column("label", Label)])
    chosen = long_tailed(table.values("label"), IMBALANCE, head_rows=HEAD_ROWS, min_rows=FEWEST).tolist()
    sizes: dict[str, int] = {}
    for number, row in zip(chosen, table.rows(chosen), strict=True):
        path = folder / row["label"] / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        row["image"].rgb().convert("L").save(path)
        sizes[row["label"]] = sizes.get(row["label"], 0) + 1
    return dict(sorted(sizes.items()))


def temperatures(made: StudyResult) -> list[dict[str, Any]]:
    """What the temperatures of each trained model say of the classes."""
    import likewise

    found = []
    for seed in made.found.plan.config.seeds:
        model = made.found.plan.runs["isogclr", seed].model
        kept = likewise.artefact.load_model(model).kept
        result = likewise.use(model, "temperatures")
        sizes = torch.bincount(kept["labels"])[kept["labels"]]
        groups = {"head": sizes > HEAD, "tail": sizes < TAIL}
        means = {name: float(kept["temperatures"][rows].mean()) for name, rows in groups.items()}
        found.append({"seed": seed, "spearman": result.figures["spearman"], **means})
    return found


def estimator(
    temperature: float,
    seed: int,
    *,
    rows: int = 400,
    clusters: int = 20,
    dim: int = 16,
    batch: int = 8,
    gamma: float = 0.3,
    warm: int = 20,
    passes: int = 10,
) -> dict[str, float]:
    """Cosine of what small batches say of the gradient with the gradient over all rows, by both normalisers."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(clusters, dim, generator=random)
    items = centres[torch.arange(rows) % clusters] + 0.5 * torch.randn(rows, dim, generator=random)
    views = [normalize(items + 0.3 * torch.randn(rows, dim, generator=random), dim=1) for _ in range(2)]
    everything, never = torch.arange(rows), torch.full((rows,), -torch.inf)
    whole = _gradient(views, everything, temperature, never, 1.0)[0]
    state = GlobalContrastState(rows, temperature=temperature, robust=None)
    sums = {"batch": torch.zeros_like(whole), "global": torch.zeros_like(whole)}
    for number in range(warm + passes):
        for part in torch.randperm(rows, generator=random).split(batch):
            _, log_average = state.read(part)
            gradient, averages = _gradient(views, part, temperature, log_average, gamma)
            state.update(part, averages, averages)
            if number >= warm:
                sums["global"][part] += gradient
                sums["batch"][part] += _gradient(views, part, temperature, never[part], 1.0)[0]
    cosines = {name: cosine_similarity(total.flatten(), whole.flatten(), dim=0).item() for name, total in sums.items()}
    return {"temperature": temperature, "seed": seed, **cosines}


def _gradient(
    views: Sequence[Tensor], part: Tensor, temperature: float, log_average: Tensor, gamma: float
) -> tuple[Tensor, Tensor]:
    """The gradient along the sphere in both views of some rows ``[b, 2 d]``, and their new averages."""
    first, second = (view[part].clone().requires_grad_() for view in views)
    found = global_contrast(first, second, part, temperature=temperature, log_average=log_average, gamma=gamma)
    found.rows.mean().backward()
    along = []
    for x in (first, second):
        gradient = x.grad if x.grad is not None else torch.zeros_like(x)
        at = x.detach()
        along.append(gradient - at * (gradient * at).sum(1, keepdim=True))
    return torch.cat(along, dim=1), found.log_average
