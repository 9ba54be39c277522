"""Timing contenders against each other in one run, and holding the ratios against what was promised.

Machines are shared and noisy, so nothing is said about seconds alone: contenders take turns, each round in another
order, and what is quoted is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

Contender = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One piece of work and how long each contender took for it.

    Args:
        case: What the work was: sizes and kind.
        seconds: Every repetition of each contender; the rounds stand side by side.
    """

    case: Mapping[str, Any]
    seconds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """Return the median of a contender's seconds."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """Return how many times as long as ``to`` the contender took: the median of the rounds' ratios."""
        return statistics.median(a / b for a, b in zip(self.seconds[name], self.seconds[to], strict=True))


@dataclass(frozen=True)
class Bar:
    """A promise and what was measured of it.

    Args:
        what: Work, contenders and unit.
        measured: The figure.
        limit: What it has to be.
        at_most: Whether the limit is from above.
    """

    what: str
    measured: float
    limit: float
    at_most: bool

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for storing."""
        return {**asdict(self), "met": self.met}


def at_most(what: str, measured: float, limit: float) -> Bar:
    """Promise that a figure is no more than ``limit``."""
    return Bar(what, measured, limit, at_most=True)


def at_least(what: str, measured: float, limit: float) -> Bar:
    """Promise that a figure is no less than ``limit``."""
    return Bar(what, measured, limit, at_most=False)


def take_turns(
    case: Mapping[str, Any], contenders: Mapping[str, Contender], *, rounds: int, warm_up: int = 1, repeat: int = 1
) -> Case:
    """Time contenders in turns.

    Args:
        case: What the work is, for the result.
        contenders: What is timed, by name; each call does the whole work.
        rounds: Timings of each.
        warm_up: Calls of each that are not timed.
        repeat: Calls in a timing, for work that is too short to time; seconds are those of one.
    """
    names = list(contenders)
    for name in names:
        for _ in range(warm_up):
            contenders[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in [*names[number % len(names) :], *names[: number % len(names)]]:
            gc.collect()
            began = time.perf_counter()
            for _ in range(repeat):
                contenders[name]()
            seconds[name].append((time.perf_counter() - began) / repeat)
    return Case(dict(case), seconds)


def show(title: str, cases: Sequence[Case], *, of: str) -> None:
    """Print medians and, in brackets, ratios to one contender."""
    table = Table(title=title, title_justify="left")
    names = list(dict.fromkeys(name for case in cases for name in case.seconds))
    for column in ("work", *names):
        table.add_column(column, justify="left" if column == "work" else "right")
    for case in cases:
        cells = [
            f"{_seconds(case.median(name))} ({case.ratio(name, of):.2f})" if name in case.seconds else ""
            for name in names
        ]
        table.add_row(described(case.case), *cells)
    Console().print(table)


def show_bars(bars: Sequence[Bar]) -> None:
    """Print what was promised and what was measured."""
    table = Table("promise", "measured", "limit", "")
    for bar in bars:
        sign = "<=" if bar.at_most else ">="
        table.add_row(bar.what, f"{bar.measured:.3g}", f"{sign} {bar.limit:g}", "met" if bar.met else "NOT MET")
    Console().print(table)


def described(case: Mapping[str, Any]) -> str:
    """Return a case in words."""
    return ", ".join(str(value) if isinstance(value, str) else f"{name} {value:,}" for name, value in case.items())


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value >= 0.1 else f"{value * 1000:.2f} ms"


def as_results(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return cases for storing."""
    return [asdict(case) for case in cases]


def threads() -> int:
    """Return how many threads compute."""
    return torch.get_num_threads()
