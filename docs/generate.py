"""What the site takes from the code and from stored results, so that the two cannot disagree.

A page holds markers, which are HTML comments and so invisible where the page is read as a file::

    <!-- generated: methods -->           a table of all methods
    <!-- generated: about NAME -->        paper and columns of a method
    <!-- generated: settings NAME -->     every setting of a method with the default that holds for it
    <!-- generated: tasks -->             a table of all evaluation tasks
    <!-- generated: task NAME -->         columns and options of an evaluation task
    <!-- generated: results NAME -->      a section with the figures stored in benchmarks/results/NAME.json, a study's
                                          too
    <!-- generated: spaces NAME -->       figures of several spaces as stored, a row a figure
    <!-- generated: bars -->              what all stored benchmarks promise, what was measured, and whether it is met
    <!-- generated: study NAME -->        what a stored study found: a table for each evaluation, and the geometry
    <!-- generated: means NAME -->        a stored study's means over its sets, and differences by seed
    <!-- generated: timings NAME -->      the contenders' times stored in benchmarks/results/NAME.json

mkdocs calls ``on_page_markdown`` for each page (``hooks`` in ``mkdocs.yml``). Where no result over at least three
seeds is stored, nothing is said.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from likewise.cli.methods import shown_default
from likewise.cli.options import flag_of
from likewise.data import Column
from likewise.data.columns import needed_columns
from likewise.errors import unknown
from likewise.evaluation.tasks import MTEB, TASKS, get_task
from likewise.methods import METHODS, get_method
from likewise.run_config import RunConfig

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
FEWEST_SEEDS = 3
"""Figures from fewer seeds are not shown."""
MOST_COLUMNS = 8
"""More figures than this go down, and the arms across."""
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
        makers: dict[str, Callable[[], str]] = {
            "about": lambda: about(name),
            "settings": lambda: settings(name),
            "methods": methods,
            "tasks": tasks,
            "task": lambda: task(name),
            "results": lambda: measured(results / f"{name}.json"),
            "spaces": lambda: spaces(results / f"{name}.json"),
            "study": lambda: study(results / f"{name}.json"),
            "means": lambda: means(results / f"{name}.json"),
            "bars": lambda: bars(sorted(results.glob("*.json"))),
            "timings": lambda: timings(results / f"{name}.json"),
        }
        if kind not in makers:
            raise unknown("marker", kind, makers)
        return makers[kind]()

    return MARKER.sub(replacement, markdown)


def methods() -> str:
    """Return a table of all methods, each linked to its page beside the one with the marker."""
    rows = []
    for name, entry in METHODS.items():
        kind = get_method(name)
        needed = _needed(kind.columns)
        rows.append((f"[{name}]({name}.md)", entry.summary, needed, str(kind.paper)))
    return table(("method", "for", "columns it needs", "paper"), rows)


def _needed(columns: Sequence[Column]) -> str:
    return ", ".join(" or ".join(f"`{column.name}`" for column in either) for either in needed_columns(columns))


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


def tasks() -> str:
    """Return a table of all evaluation tasks."""
    rows = []
    for found in TASKS.values():
        needed = _needed(found.columns)
        rows.append((f"`{found.name}`", f"{found.summary}", needed, f"`{found.main_metric}`"))
    rows.append((f"`{MTEB.name}`", MTEB.summary, "", "`main_score`"))
    return table(("task", "measures", "columns it needs", "quote"), rows)


def task(name: str) -> str:
    """Return columns and options of an evaluation task."""
    found = get_task(name)
    holds = [
        (f"`{column.name}`", f"{column.kind.name}{', one or more' if column.many else ''}", column.needed, column.help)
        for column in found.columns
    ]
    parts = [table(("column", "holds", "needed", "what it is"), holds)]
    settings = [one for several in found.options().values() for one in several]
    if settings:
        rows = [(f"`{flag_of(one)}`", shown_default(one.default), one.help) for one in settings]
        parts.append(table(("option", "default", "meaning"), rows))
    return "\n\n".join(parts)


def measured(path: Path) -> str:
    """Return a section with stored figures over all seeds; nothing where there is no file or there are too few seeds.

    ``results`` holds a run a seed, either ``{"seed", "before", "after", "seconds"}`` or, where several ways of training
    are compared, ``{"arm", "seed", "figures"}`` beside one ``"untrained": {"figures"}``; an arm may lack a figure.
    ``"about"`` may say what the figures are. Where a study was stored, the section holds what :func:`study` says.
    """
    if not path.exists():
        return ""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if len(stored["seeds"]) < FEWEST_SEEDS:
        return ""
    if "budget" in stored:
        return f"## Measured\n\n{study(path)}"
    compared = _arms(stored) if "arm" in stored["results"][0] else _before_and_after(stored)
    seeds = [str(seed) for seed in stored["seeds"]]
    about = f"{stored['about']} " if "about" in stored else ""
    return (
        f"## Measured\n\n{about}Mean over the seeds {', '.join(seeds)}; in brackets the lowest and the "
        f"highest:\n\n{compared}\n\n{origin(stored, path)}"
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
    figures = list(dict.fromkeys(figure for run in runs for figure in run["figures"]))
    arms = {"untrained": [stored["untrained"]]}
    for run in runs:
        arms.setdefault(run["arm"], []).append(run)

    def cell(arm: str, figure: str) -> str:
        values = [run["figures"][figure] for run in arms[arm] if figure in run["figures"]]
        return spread(values, ".2f") if values else "-"

    if len(figures) > MOST_COLUMNS:
        return table(("", *arms), [(figure, *(cell(arm, figure) for arm in arms)) for figure in figures])
    return table(("", *figures), [(arm, *(cell(arm, figure) for figure in figures)) for arm in arms])


def spaces(path: Path) -> str:
    """Return the figures of several spaces as stored, means over seeds: a row a figure, a column a space."""
    if not path.exists():
        return ""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    means: Mapping[str, Mapping[str, float]] = stored["summary"]
    figures = list(next(iter(means.values())))
    rows = [(f"`{figure}`", *(f"{of[figure]:.4g}" for of in means.values())) for figure in figures]
    return f"{table(('figure', *means), rows)}\n\n{origin(stored, path)}"


GEOMETRY = ("uniformity", "alignment", "positive_cosine", "tolerance", "effective_rank", "effective_negatives")
"""Figures of the space that a study's table shows, where they were measured."""


def study(path: Path) -> str:
    """Return what a stored study found; nothing where there is no file or there are too few seeds.

    A row for each arm: the mean over seeds of the figure to quote of each evaluation, its difference from the baseline
    with the 95 % interval over seeds, whether it is told apart (over seeds and over items), and the geometry.
    """
    if not path.exists():
        return ""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if len(stored["seeds"]) < FEWEST_SEEDS:
        return ""
    arms: Sequence[Mapping[str, Any]] = stored["results"]
    evaluations = [f"{one['evaluation']} ({one['metric']})" for one in arms[0]["measured"]]
    figures = [figure for figure in GEOMETRY if any(arm["geometry"].get(figure) for arm in arms)]
    rows = [
        (
            arm["arm"],
            *(_compared(one) for one in arm["measured"]),
            *(
                f"{statistics.mean(arm['geometry'][figure]):.3f}" if arm["geometry"].get(figure) else "-"
                for figure in figures
            ),
        )
        for arm in arms
    ]
    return (
        f"Budget of every arm: {stored['budget']}; seeds {', '.join(map(str, stored['seeds']))}. Means over seeds; in "
        f"brackets the difference from '{stored['baseline']}' with its 95 % interval over seeds. **Bold**: told apart "
        "from it, over seeds and over test items.\n\n"
        + table(("arm", *evaluations, *figures), rows)
        + f"\n\n{origin(stored, path)}"
    )


def means(path: Path) -> str:
    """Return the mean over its sets of each arm of a stored study, lowest first, and how far it is from the baseline.

    ``mean_over_sets`` holds them, of :func:`benchmarks.stored.mean_over_sets`. Nothing where there is no file.
    """
    if not path.exists():
        return ""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    arms: Mapping[str, Mapping[str, Any]] = stored["mean_over_sets"]
    over = f"over_{stored['baseline']}"
    rows = [
        (arm, f"{of['mean']:.2f}", ", ".join(f"{one:+.2f}" for one in of.get(over, ())))
        for arm, of in sorted(arms.items(), key=lambda item: item[1]["mean"])
    ]
    return table(("mean over the sets", "mean", f"over '{stored['baseline']}', by seed"), rows)


def _compared(one: Mapping[str, Any]) -> str:
    mean = f"{statistics.mean(one['values']):.4f}"
    if one["difference"] is None:
        return mean
    ends = "" if one["difference_over_seeds"] is None else ", {:+.4f} to {:+.4f}".format(*one["difference_over_seeds"])
    text = f"{mean} ({one['difference']:+.4f}{ends})"
    return f"**{text}**" if one["verdict"] in ("better", "worse") else text


def bars(paths: Iterable[Path]) -> str:
    """Return a table of what benchmarks promise: work, figure, limit, and whether it is met."""
    rows = []
    for path in paths:
        for bar in json.loads(path.read_text(encoding="utf-8")).get("bars", ()):
            sign = "at most" if bar["at_most"] else "at least"
            met = "yes" if bar["met"] else "**no**"
            rows.append((f"`{path.stem}`", bar["what"], f"{bar['measured']:.3g}", f"{sign} {bar['limit']:g}", met))
    return table(("benchmark", "what", "measured", "promised", "met"), rows)


def timings(path: Path) -> str:
    """Return the medians of all contenders, a table for each kind of work, and how they were measured.

    In brackets: how many times as long as the first contender it took, the median over rounds of the ratio within one.
    """
    if not path.exists():
        return ""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for case in stored["results"]:
        groups.setdefault((case["case"]["form"], *case["seconds"]), []).append(case)
    tables = []
    for (form, first, *others), cases in groups.items():
        rows = []
        for case in cases:
            sizes = ", ".join(f"{name} {value:,}" for name, value in case["case"].items() if name != "form")
            seconds: Mapping[str, Sequence[float]] = case["seconds"]
            ratios = {
                name: statistics.median(a / b for a, b in zip(seconds[name], seconds[first], strict=True))
                for name in others
            }
            cells = [f"{duration(statistics.median(seconds[name]))} ({ratios[name]:.2f})" for name in others]
            rows.append((sizes, duration(statistics.median(seconds[first])), *cells))
        tables.append(table((form, first, *others), rows))
    return "\n\n".join([*tables, origin(stored, path)])


def origin(stored: Mapping[str, Any], path: Path) -> str:
    """Return by what, on what and when a stored result was measured."""
    versions = ", ".join(f"{package} {version}" for package, version in stored["versions"].items())
    threads = f", {stored['threads']} threads" if "threads" in stored else ""
    return (
        f"Measured by `{stored['command']}` on {stored['processor']}{threads}, {stored['date']}, with {versions}. "
        f"Every run is in `benchmarks/results/{path.name}`."
    )


def duration(seconds: float) -> str:
    """Return a time in the unit that shows it best.

    Example:
        >>> duration(0.0123), duration(4.5)
        ('12.3 ms', '4.50 s')
    """
    return f"{seconds * 1000:.3g} ms" if seconds < 0.1 else f"{seconds:.2f} s"


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
