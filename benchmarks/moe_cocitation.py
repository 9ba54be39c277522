"""Do experts keep two domains apart that ask for opposite things? The stand-in experiment of moe-cocitation.

Texts are names of icons with a style ("arrow left, thin"), from the package py-phosphor-icons. Two domains hold the
same texts: in SHAPE two texts belong together where the icon is the same, in STYLE where the style is. One dense
encoder cannot please both; one that is told the domain by a token, or has an expert for it, can.

Arms, from the first two layers of all-MiniLM-L6-v2 with mean pooling and 150 steps of 48 pairs: two specialists (each
on its own domain), one dense encoder, one dense encoder with domain tokens, and experts with enforced routing in all
layers or in the last one. Measured by F1max on pairs of icons that no arm has seen, as many that belong together as
not, in each domain (2/3 is trivial): of every pair either the icon or the style is the same, so that what belongs
together in one domain is exactly what does not in the other. Everything but the arms' difference is alike; the pairs
and the number of steps were tried on the seed 100, which is not reported.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import likewise
from benchmarks.options import Seeds, Work
from benchmarks.stored import store
from likewise.data.assets import PackageAsset, fetch
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.evaluation import get_task

ICONS = PackageAsset(
    title="names of the Phosphor icons",
    package="py-phosphor-icons",
    version="0.1.1",
    sha256="ab7e0636f012b887b95b246ca142e8612c868363bbfcd6a4a282c83ef4164420",
    root="py_phosphor_icons/search/metadata.json",
    members={"": "e4e935133fe6984aaebad905ba97a22213bfd141a3ff07ef2a16e6d4ec6c5317"},
    licence="MIT",
)
STYLES = ("thin", "light", "regular", "bold", "fill", "duotone")
HELD_OUT = 300
"""Icons that are only measured on."""
TEST_PAIRS = 600
"""Pairs of each domain that belong together, and as many that do not."""
BASE: dict[str, Any] = {"encoder": "all-MiniLM-L6-v2", "encoder_layers": 2, "pooling": "mean", "max_tokens": 32}
SETTINGS = {
    **BASE,
    "steps": 150,
    "batch_size": 48,
    "lr": 2e-4,
    "warmup": 0.1,
    "head": "none",
    "normalise": True,
    "temperature": 0.05,
    "checkpoint_every": 10_000,
}
ARMS: dict[str, dict[str, Any]] = {
    "dense": {"experts": False, "domain_token": False},
    "dense with domain token": {"experts": False},
    "experts": {},
    "experts in the last layer": {"expert_layers": 1},
}
DOMAINS = ("shape", "style")


def run(
    work: Work,
    seeds: Seeds = 3,
    first_seed: Annotated[int, typer.Option(help="The first of them.")] = 0,
    keep: Annotated[bool, typer.Option(help="Store the figures.")] = True,
) -> None:
    """Train every arm with every seed, measure, and store the figures."""
    train, test = _files(work)
    task = get_task("pair_classification")
    opened = {domain: task.open(test[domain]) for domain in DOMAINS}
    untrained = _measured(load_text_encoder(TextEncoderConfig(**BASE)), opened)
    results = []
    for seed in range(first_seed, first_seed + seeds):
        specialists: dict[str, float] = {}
        for domain in DOMAINS:
            model = _trained(work / f"specialist-{domain}-{seed}", train[domain], seed, {})
            specialists |= _measured(model, {domain: opened[domain]})
        results.append({"arm": "two specialists", "seed": seed, "figures": specialists})
        for name, settings in ARMS.items():
            model = _trained(work / f"{name.replace(' ', '-')}-{seed}", train["both"], seed, settings)
            results.append({"arm": name, "seed": seed, "figures": _measured(model, opened)})
        print(seed, untrained, *results[-5:], sep="\n", flush=True)
    if keep:
        path = store(
            "moe-cocitation",
            list(range(first_seed, first_seed + seeds)),
            results,
            untrained={"figures": untrained},
            about="F1max times 100 on pairs of icons that were not trained on; 66.67 is trivial.",
            settings={**SETTINGS, "arms": ARMS},
            data={
                "texts": "names of icons with a style, py-phosphor-icons 0.1.1 (MIT)",
                "held_out_icons": HELD_OUT,
                "test_pairs": 2 * TEST_PAIRS,
            },
        )
        print(path)


def _trained(out: Path, data: Path, seed: int, settings: dict[str, Any]) -> Any:
    if (out / "likewise.json").exists():
        return likewise.load(out)
    shutil.rmtree(out, ignore_errors=True)
    return likewise.train("moe-cocitation", data, out=out, seed=seed, progress=False, **{**SETTINGS, **settings})


def _measured(model: Any, opened: Mapping[str, Any]) -> dict[str, float]:
    task = get_task("pair_classification")
    return {domain: 100 * task.measure(model, one, bootstrap=0).metrics["f1"] for domain, one in opened.items()}


def _files(work: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Write pairs to train on and to measure on."""
    work.mkdir(parents=True, exist_ok=True)
    icons = [entry["name"].replace("-", " ") for entry in json.loads(fetch(ICONS).read_text(encoding="utf-8"))]
    random = np.random.default_rng(0)
    icons = [icons[place] for place in random.permutation(len(icons))]
    train = {domain: list(_pairs(icons[HELD_OUT:], domain, random)) for domain in DOMAINS}
    train["both"] = [row for pair in zip(train["shape"], train["style"], strict=True) for row in pair]
    test = {domain: _test(icons[:HELD_OUT], domain, random) for domain in DOMAINS}
    files = (
        {name: work / f"train-{name}.jsonl" for name in train},
        {name: work / f"test-{name}.jsonl" for name in test},
    )
    for paths, contents in zip(files, (train, test), strict=True):
        for name, rows in contents.items():
            paths[name].write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return files


def _text(icon: str, style: str) -> str:
    return f"{icon}, {style}"


def _pairs(icons: list[str], domain: str, random: np.random.Generator) -> Iterator[dict[str, str]]:
    """Yield four pairs of each icon: with itself in another style, or with another icon in the same style."""
    for number, icon in enumerate(icons):
        for _ in range(4):
            style, another = random.choice(STYLES, 2, replace=False)
            if domain == "shape":
                second = _text(icon, another)
            else:
                other = icons[(number + 1 + int(random.integers(len(icons) - 1))) % len(icons)]
                second = _text(other, style)
            yield {"first": _text(icon, style), "second": second, "domain": domain}


def _test(icons: list[str], domain: str, random: np.random.Generator) -> list[dict[str, Any]]:
    """Return pairs of which one thing is the same: what the domain asks for, or what the other domain asks for."""
    rows = []
    for label in (1, 0):
        for _ in range(TEST_PAIRS):
            one, other = random.choice(icons, 2, replace=False)
            style, another = random.choice(STYLES, 2, replace=False)
            same_icon = (domain == "shape") == bool(label)
            second = _text(one, another) if same_icon else _text(other, style)
            rows.append({"sentence1": _text(one, style), "sentence2": second, "label": label, "domain": domain})
    return rows
