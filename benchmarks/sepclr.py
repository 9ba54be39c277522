"""Does the salient code know what only targets have, and the common code what both sets share? SepCLR's stand-in.

Ten fixed random patterns of 8 x 8 pixels at random brightness (what both sets share); a target has a handwritten digit
at 0.7 over it (what only targets have). 1,300 training pictures, every other one a target; 497 other digits to test on,
as targets, and as many pictures without. Codes of four numbers: at 16 a linear probe reads everything off any code.

Arms, with equal steps and paired by seed: ``simclr``, one tower with a linear layer of four numbers that the loss is
taken on, on all pictures; and ``sepclr`` (salient weight 10, background weight 100) at three weights of the joint
entropy. Measured on the held-out targets: how well a linear probe, cross-validated, tells digit and pattern by each
code; and the mean squared length of the salient code of held-out background over that of targets. Weights are those of
the specification, and so is the length of the runs (100 epochs); a first run of a quarter of it gave less of all.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

import likewise
from benchmarks.digits import ORIGIN, SHARED
from benchmarks.options import Seeds
from benchmarks.stored import mean_and_spread, store
from likewise.encoders import ImageEncoder, ImageEncoderConfig, load_image_encoder
from likewise.heads import TappedHead
from likewise.products.salient import probed

SIZE, STEPS = 4, 1000
SETTINGS: dict[str, Any] = {**SHARED, "augment": "light", "encoder": "mlp-128-128"}
CODES: dict[str, Any] = {"common_size": SIZE, "salient_size": SIZE, "salient_weight": 10.0, "background_weight": 100.0}
WEIGHTS = (0.0, 0.1, 1.0)
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "simclr": ("projection-head", {"head": "linear", "head_size": SIZE, "keep": "post", "temperature": 0.5}),
    **{f"sepclr, leakage {weight:g}": ("sepclr", {**CODES, "leakage_weight": weight}) for weight in WEIGHTS},
}
LABELS = ("digit", "pattern")
ENCODER = ("encoder", "image_size", "channels")
ABOUT = (
    "Digits (in targets alone) over patterns (in both sets), told by a linear probe on held-out targets, in per cent; "
    "`background share`: mean squared length of the salient code of held-out background, in per cent of the targets'. "
    "Chance is about 10. simclr and untrained have one code of four numbers, shown as both."
)


def run(
    seeds: Seeds = 3,
    steps: Annotated[int, typer.Option(help="Optimiser steps of every arm.")] = STEPS,
) -> None:
    """Train every arm once a seed, probe its codes, and store."""
    train, test = pictures("train", 0.5), pictures("test", 1.0)
    test += [{**row, "target": "background"} for row in pictures("test", 0.0)]
    results: list[dict[str, Any]] = []
    torch.manual_seed(0)
    tower = load_image_encoder(ImageEncoderConfig(**{name: SETTINGS[name] for name in ENCODER}))
    fresh = tower.with_head(TappedHead("linear", tower.dim, out_features=SIZE), "post")
    for seed, (arm, (method, extra)) in itertools.product(range(seeds), ARMS.items()):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            rows = train if method == "sepclr" else [{"image": row["image"]} for row in train]
            settings = {**SETTINGS, **extra, "steps": steps, "seed": seed}
            model = likewise.train(method, rows, out=out, progress=False, **settings)
            figures = (
                _one_code(model, test)
                if isinstance(model, ImageEncoder) and method != "sepclr"
                else _two_codes(out, test)
            )
        results.append({"arm": arm, "seed": seed, "seconds": time.perf_counter() - began, "figures": figures})
        print(arm, seed, f"{results[-1]['seconds']:.0f} s", figures, flush=True)
    by_arm = {arm: mean_and_spread([run["figures"] for run in results if run["arm"] == arm]) for arm in ARMS}
    arms = {arm: {"method": method, **extra} for arm, (method, extra) in ARMS.items()}
    path = store(
        "sepclr",
        list(range(seeds)),
        results,
        settings={**SETTINGS, "steps": steps, "arms": arms},
        data={"origin": ORIGIN, "train": len(train), "test": len(test)},
        about=ABOUT,
        untrained={"figures": _one_code(fresh, test)},
        summary=by_arm,
    )
    print(path)


def pictures(part: str, targets: float) -> list[dict[str, Any]]:
    """Return the digits of a part over patterns, a share of them; the others are patterns alone."""
    from likewise.data import Column, Image, Label, open_table

    table = open_table(f"demo:digits:{part}", columns=[Column("image", Image), Column("label", Label)])
    patterns = np.random.default_rng(0).integers(0, 2, (10, 8, 8))
    random, rows = np.random.default_rng([1, len(table), int(10 * targets)]), []
    for i, row in enumerate(table):
        pattern, is_target = int(random.integers(10)), i % 2 < 2 * targets
        shown = patterns[pattern] * random.uniform(0.3, 1.0) * 0.5
        digit = np.asarray(row["image"].rgb().convert("L"), dtype=float) / 255
        shown = (shown + 0.7 * digit * is_target).clip(0, 1)
        kind = "target" if is_target else "background"
        picture = (255 * shown).astype(np.uint8)
        rows.append({"image": picture, "target": kind, "digit": row["label"], "pattern": pattern})
    return rows


def _two_codes(model: Path, test: list[dict[str, Any]]) -> dict[str, float]:
    found = likewise.use(model, "salient", data=test, labels=LABELS).figures
    named = {f"{label} by {space}": found[f"{label} on {space}"] for label in LABELS for space in ("salient", "common")}
    return {name: 100 * value for name, value in named.items()} | {"background share": 100 * found["background_share"]}


def _one_code(model: ImageEncoder, test: list[dict[str, Any]]) -> dict[str, float]:
    targets = [row for row in test if row["target"] == "target"]
    code = model.features([row["image"] for row in targets], precision="fp32").numpy()
    figures = {}
    for label in LABELS:
        value = 100 * probed(label, [str(row[label]) for row in targets], {"code": code})[f"{label} on code"]
        figures |= {f"{label} by salient": value, f"{label} by common": value}
    return figures
