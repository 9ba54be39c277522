"""What the site takes from the code and from stored results, so that the two cannot disagree.

A page holds markers, which are HTML comments and so invisible where the page is read as a file::

    <!-- generated: methods -->           a table of all methods
    <!-- generated: about NAME -->        paper and columns of a method
    <!-- generated: settings NAME -->     every setting of a method with the default that holds for it
    <!-- generated: results NAME -->      a section with the figures stored in benchmarks/results/NAME.json

mkdocs calls ``on_page_markdown`` for each page (``hooks`` in ``mkdocs.yml``). Where no result over at least three
seeds is stored, nothing is said.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from likewise.cli.methods import shown_default
from likewise.errors import unknown
from likewise.methods import METHODS, get_method
from likewise.run_config import RunConfig

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
FEWEST_SEEDS = 3
"""Figures from fewer seeds are not shown."""
MARKER = re.compile(r"^<!-- generated: (\w+) ?([\w-]*) -->$", re.MULTILINE)
GROUPS = {
    "settings": "Settings of the method",
    "encoder": "Encoder",
    "training": "Training",
    "data": "Data",
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what the markers stand for into a page; called by mkdocs."""
    return fill(markdown)


def fill(markdown: str, results: Path = RESULTS) -> str:
    """Replace the markers of a page.

    Args:
        markdown: The page as written.
        results: Folder of the stored results.

    Raises:
        InputError: A marker names something that does not exist.
    """

    def replacement(marker: re.Match[str]) -> str:
        kind, name = marker.groups()
        if kind == "results":
            return measured(results / f"{name}.json")
        makers = {"about": about, "settings": settings}
        if kind == "methods":
            return methods()
        if kind not in makers:
            raise unknown("marker", kind, [*makers, "methods", "results"])
        return makers[kind](name)

    return MARKER.sub(replacement, markdown)


def methods() -> str:
    """Return a table of all methods, each linked to its page beside the one with the marker."""
    rows = []
    for name, entry in METHODS.items():
        kind = get_method(name)
        needed = ", ".join(f"`{column.name}`" for column in kind.columns if column.required)
        rows.append((f"[{name}]({name}.md)", entry.summary, needed, str(kind.paper)))
    return table(("method", "for", "columns it needs", "paper"), rows)


def about(name: str) -> str:
    """Return paper and columns of a method."""
    kind = get_method(name)
    columns = [
        (
            f"`{column.name}`",
            f"{column.kind.name}{', one or more' if column.many else ''}",
            column.needed,
            column.help,
        )
        for column in kind.columns
    ]
    return f"Paper: {kind.paper}.\n\n" + table(("column", "holds", "needed", "what it is"), columns)


def settings(name: str) -> str:
    """Return every setting of a method, group by group, as command-line options."""
    options = RunConfig.options(name)
    parts = []
    for group, title in GROUPS.items():
        rows = [(f"`--{s.name.replace('_', '-')}`", shown_default(s.default), s.help) for s in options[group]]
        parts.append(f"### {title}\n\n" + table(("setting", "default", "meaning"), rows))
    return "\n\n".join(parts)


def measured(path: Path) -> str:
    """Return a section with stored figures over all seeds; nothing where there is no file or there are too few seeds.

    ``results`` holds a run a seed, either ``{"seed", "before", "after", "seconds"}`` or, where several ways of training
    are compared, ``{"arm", "seed", "figures"}`` beside one ``"untrained": {"figures"}``. ``"about"`` may say what the
    figures are.
    """
    if not path.exists():
        return ""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if len(stored["seeds"]) < FEWEST_SEEDS:
        return ""
    compared = _arms(stored) if "arm" in stored["results"][0] else _before_and_after(stored)
    seeds = [str(seed) for seed in stored["seeds"]]
    versions = ", ".join(f"{package} {version}" for package, version in stored["versions"].items())
    about = f"{stored['about']} " if "about" in stored else ""
    return (
        f"## Measured\n\n{about}Mean over the seeds {', '.join(seeds)}; in brackets the lowest and the "
        f"highest:\n\n{compared}\n\nMeasured by `{stored['command']}` on {stored['processor']}, {stored['date']}, with "
        f"{versions}. Every run is in `benchmarks/results/{path.name}`."
    )


def _before_and_after(stored: Mapping[str, Any]) -> str:
    runs: Sequence[Mapping[str, Any]] = stored["results"]
    rows = [
        (figure, *(spread([run[side][figure] for run in runs], ".3f") for side in ("before", "after")))
        for figure in runs[0]["after"]
    ]
    seconds = spread([run["seconds"] for run in runs], ".0f")
    return table(("figure", "before", "after"), rows) + f"\n\nA run took {seconds} seconds."


def _arms(stored: Mapping[str, Any]) -> str:
    runs: Sequence[Mapping[str, Any]] = stored["results"]
    figures = list(runs[0]["figures"])
    arms = {"untrained": [stored["untrained"]]}
    for run in runs:
        arms.setdefault(run["arm"], []).append(run)
    rows = [
        (arm, *(spread([run["figures"][figure] for run in several], ".2f") for figure in figures))
        for arm, several in arms.items()
    ]
    return table(("", *figures), rows)


def spread(values: Sequence[float], form: str) -> str:
    """Return mean, lowest and highest of some values.

    Example:
        >>> spread([0.25, 0.75], ".2f"), spread([2.0, 2.0], ".0f")
        ('0.50 (0.25 to 0.75)', '2')
    """
    mean, low, high = (f"{value:{form}}" for value in (statistics.mean(values), min(values), max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a Markdown table.

    Example:
        >>> print(table(("a", "b"), [("1", "x | y")]))
        | a | b |
        |---|---|
        | 1 | x \| y |
    """
    lines = [head, *rows]
    shown = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([shown[0], "|" + "---|" * len(head), *shown[1:]])
