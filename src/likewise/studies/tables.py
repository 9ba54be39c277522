"""What a study leaves for other programs and for a text editor: tidy tables in Parquet, and one in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from likewise.evaluation.result import Interval
from likewise.studies.compare import Comparison, Measured

__all__ = ["arm_costs", "markdown", "shown_interval", "write_tables"]


def write_tables(found: Comparison, folder: Path) -> None:
    """Write ``runs``, ``results``, ``differences``, ``curves`` and ``geometry`` as Parquet: one fact a row.

    Args:
        found: What the runs say.
        folder: An existing folder.
    """
    import pyarrow as pa
    from pyarrow import parquet

    differences = [
        {
            "arm": one.arm,
            "baseline": found.plan.config.baseline,
            "evaluation": one.evaluation,
            "metric": one.metric,
            "mean": one.mean,
            "difference": one.difference,
            "seeds_low": one.difference_over_seeds[0],
            "seeds_high": one.difference_over_seeds[1],
            "items_low": one.difference_over_items[0],
            "items_high": one.difference_over_items[1],
            "verdict": one.verdict,
        }
        for one in found.measured
    ]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = {
        "runs": found.runs,
        "results": found.results,
        "differences": differences,
        "curves": found.curves,
        "geometry": found.geometry,
    }
    for name, rows in tables.items():
        temporary = folder / f".{name}.writing"
        parquet.write_table(pa.Table.from_pylist([dict(row) for row in rows]), temporary)
        temporary.replace(folder / f"{name}.parquet")


def arm_costs(found: Comparison, arm: str) -> dict[str, float | None]:
    """Return what a run of an arm cost, as means over seeds: steps, encoded, seconds, peak_memory_mb."""
    rows = [row for row in found.runs if row["arm"] == arm and row["failure"] is None]

    def mean(name: str) -> float | None:
        values = [row[name] for row in rows if row[name] is not None]
        return sum(values) / len(values) if values else None

    return {name: mean(name) for name in ("steps", "encoded", "seconds", "peak_memory_mb")}


def shown_interval(ends: Interval, *, signed: bool = False) -> str:
    """Return an interval as tables show it.

    Example:
        >>> shown_interval((-0.01, 0.25), signed=True), shown_interval((math.nan, math.nan))
        ('-0.0100 to +0.2500', '-')
    """
    if any(map(math.isnan, ends)):
        return "-"
    form = "+.4f" if signed else ".4f"
    return f"{ends[0]:{form}} to {ends[1]:{form}}"


def markdown(found: Comparison) -> str:
    """Return the study's tables in Markdown: every evaluation, every arm, and what it cost."""
    config = found.plan.config
    lines = [f"# {config.name}", ""]
    if config.about:
        lines += [config.about, ""]
    lines += [
        f"Every arm gets {config.budget}, starts from `{found.plan.start['name']}` and trains on "
        f"{found.plan.data['rows']:,} rows; {len(config.seeds)} seeds. Intervals are 95 %: over items by bootstrap, "
        f"over seeds by Student's t. Differences are to '{config.baseline}', paired by seed and item.",
        "",
    ]
    for evaluation, metric in found.main_metrics().items():
        lines += [f"## {evaluation}: {metric}", "", "| " + " | ".join(TABLE) + " |", "|" + "---|" * len(TABLE)]
        lines += ["| " + " | ".join(table_row(one)) + " |" for one in found.of(evaluation, metric)]
        lines.append("")
    lines += ["## Cost of a run", "", "| " + " | ".join(COSTS) + " |", "|" + "---|" * len(COSTS)]
    lines += ["| " + " | ".join(cost_row(found, arm)) + " |" for arm in found.plan.arms]
    failed = [row for row in found.runs if row["failure"]]
    if failed:
        lines += ["", "## Failed", ""] + [f"- {row['arm']}, seed {row['seed']}: {row['failure']}" for row in failed]
    return "\n".join(lines) + "\n"


TABLE = ("arm", "mean", "each seed", "over items", "difference", "over seeds", "over items (paired)", "verdict")
COSTS = ("arm", "steps", "encoder passes", "seconds", "peak memory (MB)")


def table_row(one: Measured) -> tuple[str, ...]:
    """Return a row of a table whose columns are :data:`TABLE`."""
    return (
        one.arm,
        f"{one.mean:.4f}",
        " ".join(f"{value:.4f}" for value in (one.values if len({*one.values}) > 1 else one.values[:1])),
        shown_interval(one.over_items),
        "-" if math.isnan(one.difference) else f"{one.difference:+.4f}",
        shown_interval(one.difference_over_seeds, signed=True),
        shown_interval(one.difference_over_items, signed=True),
        one.verdict,
    )


def cost_row(found: Comparison, arm: str) -> tuple[str, ...]:
    """Return a row of a table whose columns are :data:`COSTS`."""
    cost = arm_costs(found, arm)
    return (arm, *("-" if value is None else f"{value:,.0f}" for value in cost.values()))
