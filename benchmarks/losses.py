"""The time of contrastive losses, forward and backward: the engine against whole matrices and against the peers.

The unit is the product: the time that this processor takes, in the same round, for one matrix product N x N x D in
float32. A scheme that does not keep the N x N scores needs four of them (scores, scores again, two gradients).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.nn import functional as F

from benchmarks.side_by_side import Bar, Case, as_results, at_least, at_most, show, show_bars, take_turns, threads
from benchmarks.stored import store
from likewise import pairwise
from likewise.losses import info_nce

DIM = 384
TEMPERATURE = 0.05
LARGEST_METRIC_NT_XENT = 512
"""Most rows for the NTXentLoss of pytorch-metric-learning, which compares each positive pair with each negative pair:
64 GiB for 4,096 rows."""
PEERS = ("open_clip_torch", "pytorch-metric-learning", "lightly")


def run(
    rounds: Annotated[int, typer.Option(help="Timings of each contender and size.")] = 7,
    largest: Annotated[int, typer.Option(help="Most rows; the larger sizes are left out.")] = 16_384,
) -> None:
    """Time every form of the loss at every size, print, and store."""
    sizes = [n for n in (4096, 8192, 16_384) if n <= largest]
    symmetric = [_symmetric(n, rounds) for n in sizes]
    show("symmetric, float32", symmetric, of="likewise")
    one_way = [_one_direction(n, rounds) for n in sizes]
    show("one direction, float32", one_way, of="likewise")
    rounded = [_rounded(n, rounds) for n in sizes]
    show("symmetric, bfloat16 operands", rounded, of="likewise bf16")
    small = [
        _small(n, form, rounds) for form in ("one direction", "symmetric") for n in (64, 128, 256, 512, 1024, 2048)
    ]
    show("small batches, float32", small, of="likewise")
    forms = [_forms(n, rounds) for n in sizes[:2]]
    show("what is added to the plain loss", forms, of="plain")
    peers = [_labels(4096, rounds), _two_views(256, rounds), _two_views(2048, rounds), _sigmoid(4096, rounds)]
    show("peers with one set of rows, and with a sigmoid", peers, of="likewise")
    error = _gradient_error(min(largest, 8192))
    print(f"relative gradient error with bfloat16 operands: {error:.2e}")

    bars = _bars(symmetric, one_way, rounded, small, forms, peers, error)
    show_bars(bars)
    path = store(
        "losses",
        [0],
        as_results([*symmetric, *one_way, *rounded, *small, *forms, *peers]),
        packages=PEERS,
        threads=threads(),
        bars=[bar.as_dict() for bar in bars],
        gradient_error_bf16=error,
        settings={"dim": DIM, "temperature": TEMPERATURE, "rounds": rounds},
    )
    print(path)


def _bars(
    symmetric: list[Case],
    one_way: list[Case],
    rounded: list[Case],
    small: list[Case],
    forms: list[Case],
    peers: list[Case],
    error: float,
) -> list[Bar]:
    bars = []
    for case, faster in zip(symmetric, (1.7, 1.55, 2.3), strict=False):
        n = case.case["N"]
        bars += [
            at_most(f"symmetric, N {n:,}: products", case.ratio("likewise", "product"), 4.6),
            at_least(f"symmetric, N {n:,}: dense / likewise", case.ratio("dense", "likewise"), faster),
            at_least(f"symmetric, N {n:,}: open_clip / likewise", case.ratio("open_clip", "likewise"), faster),
        ]
    bars += [
        at_most(f"one direction, N {case.case['N']:,}: products", case.ratio("likewise", "product"), 4.4)
        for case in one_way
    ]
    bars += [
        at_least("bf16 operands, N 8,192: dense fp32 / likewise bf16", case.ratio("dense fp32", "likewise bf16"), 3.0)
        for case in rounded
        if case.case["N"] == 8192
    ]
    bars.append(at_most("bf16 operands: relative gradient error against float64", error, 1e-2))
    bars += [
        at_least(f"{case.case['form']}, N {case.case['N']}: dense / likewise", case.ratio("dense", "likewise"), 1.0)
        for case in small
        if case.case["N"] in (64, 256, 1024)
    ]
    for case in forms:
        n = case.case["N"]
        bars += [
            at_most(f"labels, N {n:,}: times the plain case", case.ratio("labels", "plain"), 1.2),
            at_most(f"scale per row, N {n:,}: times the plain case", case.ratio("scale per row", "plain"), 1.2),
            at_most(f"score_mod, N {n:,}: times the plain case", case.ratio("score_mod", "plain"), 2.5),
        ]
    bars.append(at_least("SupCon, N 4,096: pytorch-metric-learning / likewise", peers[0].ratio(
        "pytorch-metric-learning", "likewise"), 3.0))  # fmt: skip
    return bars


def _rows(n: int, seed: int = 0) -> Tensor:
    """Unit vectors that receive a gradient."""
    made = torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed))
    return F.normalize(made, dim=1).requires_grad_()


def _pairs(n: int) -> tuple[Tensor, Tensor]:
    """Queries, and keys that look like them."""
    query = _rows(n)
    key = F.normalize(query.detach() + _rows(n, 1).detach(), dim=1).requires_grad_()
    return query, key


def _step(loss: Callable[[], Tensor], *inputs: Tensor) -> Callable[[], None]:
    """Return one forward and backward pass with fresh gradients."""

    def step() -> None:
        for x in inputs:
            x.grad = None
        loss().backward()

    return step


def _product(query: Tensor, key: Tensor) -> Callable[[], object]:
    out = torch.empty(len(query), len(key))
    return lambda: torch.mm(query.detach(), key.detach().T, out=out)


def dense(query: Tensor, key: Tensor, *, symmetric: bool) -> Tensor:
    """The loss as it is usually written, with all scores in memory."""
    scores = query @ key.T / TEMPERATURE
    target = torch.arange(len(query))
    loss = F.cross_entropy(scores, target)
    return (loss + F.cross_entropy(scores.T, target)) / 2 if symmetric else loss


def _symmetric(n: int, rounds: int) -> Case:
    from open_clip.loss import ClipLoss

    query, key = _pairs(n)
    clip = ClipLoss(cache_labels=True)
    scale = torch.tensor(1 / TEMPERATURE)
    return take_turns(
        {"form": "symmetric", "N": n, "D": DIM},
        {
            "likewise": _step(lambda: info_nce(query, key, temperature=TEMPERATURE, symmetric=True).mean(), query, key),
            "dense": _step(lambda: dense(query, key, symmetric=True), query, key),
            "open_clip": _step(lambda: clip(query, key, scale), query, key),
            "product": _product(query, key),
        },
        rounds=rounds,
    )


def _one_direction(n: int, rounds: int) -> Case:
    query, key = _pairs(n)
    return take_turns(
        {"form": "one direction", "N": n, "D": DIM},
        {
            "likewise": _step(lambda: info_nce(query, key, temperature=TEMPERATURE).mean(), query, key),
            "dense": _step(lambda: dense(query, key, symmetric=False), query, key),
            "product": _product(query, key),
        },
        rounds=rounds,
    )


def _rounded(n: int, rounds: int) -> Case:
    query, key = _pairs(n)

    def ours() -> Tensor:
        return info_nce(query, key, temperature=TEMPERATURE, symmetric=True, precision="bf16").mean()

    def autocast() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return dense(query, key, symmetric=True)

    low = [x.detach().bfloat16() for x in (query, key)]
    out = torch.empty(n, n, dtype=torch.bfloat16)
    return take_turns(
        {"form": "symmetric, bf16", "N": n, "D": DIM},
        {
            "likewise bf16": _step(ours, query, key),
            "dense fp32": _step(lambda: dense(query, key, symmetric=True), query, key),
            "dense autocast": _step(autocast, query, key),
            "product": _product(query, key),
            "bf16 product": lambda: torch.mm(low[0], low[1].T, out=out),
        },
        rounds=rounds,
    )


def _small(n: int, form: str, rounds: int) -> Case:
    query, key = _pairs(n)
    symmetric = form == "symmetric"
    return take_turns(
        {"form": form, "N": n, "D": DIM},
        {
            "likewise": _step(
                lambda: info_nce(query, key, temperature=TEMPERATURE, symmetric=symmetric).mean(), query, key
            ),
            "dense": _step(lambda: dense(query, key, symmetric=symmetric), query, key),
        },
        rounds=3 * rounds,
        warm_up=3,
        repeat=max(1, 2**19 // n**2 * 2),
    )


def _forms(n: int, rounds: int) -> Case:
    query, key = _pairs(n)
    labels = torch.arange(n) // 4
    temperature = torch.full((n,), TEMPERATURE)
    shift = torch.linspace(0, 1, n)

    def shifted(score: Tensor, row: pairwise.Side, column: pairwise.Side) -> Tensor:
        return score + torch.tanh(score) * column[0]

    forms: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: info_nce(query, key, temperature=TEMPERATURE).mean(),
        "labels": lambda: info_nce(query, key, temperature=TEMPERATURE, labels=labels).mean(),
        "scale per row": lambda: info_nce(query, key, temperature=temperature).mean(),
        "score_mod": lambda: info_nce(query, key, temperature=TEMPERATURE, score_mod=shifted, columns=(shift,)).mean(),
    }
    return take_turns(
        {"form": "one direction", "N": n, "D": DIM},
        {name: _step(form, query, key) for name, form in forms.items()},
        rounds=rounds,
    )


def _labels(n: int, rounds: int) -> Case:
    from pytorch_metric_learning.losses import SupConLoss

    rows, labels = _rows(n), torch.arange(n) // 4
    peer = SupConLoss(temperature=0.1)
    return take_turns(
        {"form": "SupCon, 4 rows a class", "N": n, "D": DIM},
        {
            "likewise": _step(lambda: info_nce(rows, None, temperature=0.1, labels=labels).mean(), rows),
            "pytorch-metric-learning": _step(lambda: peer(rows, labels), rows),
        },
        rounds=rounds,
    )


def _two_views(n: int, rounds: int) -> Case:
    from lightly.loss import NTXentLoss as Lightly
    from pytorch_metric_learning.losses import NTXentLoss as Metric

    first, second = _pairs(n)
    labels = torch.arange(n).repeat(2)
    lightly, metric = Lightly(temperature=0.1), Metric(temperature=0.1)

    def both() -> Tensor:
        return torch.cat([first, second])

    contenders = {
        "likewise": _step(lambda: info_nce(both(), None, temperature=0.1, labels=labels).mean(), first, second),
        "lightly": _step(lambda: lightly(first, second), first, second),
    }
    if 2 * n <= LARGEST_METRIC_NT_XENT:
        contenders["pytorch-metric-learning"] = _step(lambda: metric(both(), labels), first, second)
    return take_turns({"form": "NT-Xent, two views", "N": 2 * n, "D": DIM}, contenders, rounds=rounds)


def _sigmoid(n: int, rounds: int) -> Case:
    from open_clip.loss import SigLipLoss

    query, key = _pairs(n)
    scale, bias = torch.tensor(10.0), torch.tensor(-10.0)
    peer = SigLipLoss()

    def shifted(score: Tensor, row: pairwise.Side, column: pairwise.Side) -> Tensor:
        return score - 10.0

    def ours() -> Tensor:
        every = pairwise.sum(query, key, value=F.softplus, scale=10.0, score_mod=shifted)
        own = 10.0 * torch.linalg.vecdot(query, key) - 10.0  # softplus(-x) = softplus(x) - x
        return (every - own).mean()

    return take_turns(
        {"form": "sigmoid", "N": n, "D": DIM},
        {
            "likewise": _step(ours, query, key),
            "open_clip": _step(lambda: peer(query, key, scale, bias), query, key),
        },
        rounds=rounds,
    )


def _gradient_error(n: int) -> float:
    """Largest error of the gradients of both sides with bfloat16 operands, relative to their length in float64."""
    query, key = _pairs(n)
    info_nce(query, key, temperature=TEMPERATURE, symmetric=True, precision="bf16").mean().backward()
    exact = [x.detach().double().requires_grad_() for x in (query, key)]
    info_nce(*exact, temperature=TEMPERATURE, symmetric=True).mean().backward()
    errors = [
        float(torch.linalg.norm(x.grad.double() - y.grad) / torch.linalg.norm(y.grad))
        for x, y in zip((query, key), exact, strict=True)
        if x.grad is not None and y.grad is not None
    ]
    return max(errors)
