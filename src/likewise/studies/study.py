"""A study from its file to its report; repeat the call to go on, and what is done is used again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from likewise.errors import InputError, RunError
from likewise.evaluation.result import Interval
from likewise.studies.compare import Comparison, collect
from likewise.studies.config import StudyConfig, read_study
from likewise.studies.digest import digest
from likewise.studies.plan import Plan, make_plan
from likewise.studies.report import write_report
from likewise.studies.schedule import run_all
from likewise.studies.tables import markdown, write_tables

__all__ = ["StudyResult", "study"]

PLAN = "plan.json"


@dataclass(frozen=True)
class StudyResult:
    """What a study made.

    Args:
        folder: Folder of the tables and the report.
        found: What the runs say.
    """

    folder: Path
    found: Comparison

    @property
    def report(self) -> Path:
        """The HTML report, one file that opens offline."""
        return self.folder / "report.html"

    @property
    def table(self) -> Path:
        """The tables in Markdown."""
        return self.folder / "table.md"

    def as_dict(self) -> dict[str, Any]:
        """Return the document that ``study --json`` writes."""
        plan = self.found.plan
        return {
            "name": plan.config.name,
            "out": str(self.folder),
            "report": str(self.report),
            "budget": str(plan.config.budget),
            "baseline": plan.config.baseline,
            "data": dict(plan.data),
            "start": dict(plan.start),
            "seeds": list(plan.config.seeds),
            "measured": [
                {
                    "arm": one.arm,
                    "evaluation": one.evaluation,
                    "metric": one.metric,
                    "mean": _number(one.mean),
                    "values": [_number(value) for value in one.values],
                    "over_items": _ends(one.over_items),
                    "difference": _number(one.difference),
                    "difference_over_seeds": _ends(one.difference_over_seeds),
                    "difference_over_items": _ends(one.difference_over_items),
                    "verdict": one.verdict,
                }
                for one in self.found.measured
            ],
            "runs": list(self.found.runs),
        }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value  # NaN is no JSON


def _ends(ends: Interval) -> list[float] | None:
    return None if math.isnan(ends[0]) else list(ends)


def study(
    source: StudyConfig | Path | str | Mapping[str, Any],
    out: Path | str,
    *,
    runs: Path | str | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> StudyResult:
    """Compare several methods or settings on the same data at equal budget.

    Args:
        source: A study's YAML file, or what it would hold; see :func:`likewise.studies.read_study`.
        out: Folder of the tables and the report: new, or of this same study, which then goes on.
        runs: Folder in which runs are kept and found again, by this study and by others; ``study-runs`` beside ``out``
            where not given. Several studies, and several processes of one study, can use it at a time.
        workers: Runs at a time, >= 1, each in a process of its own with its share of the cores.
        overwrite: Replace what another study left in ``out``.
        progress: Show progress on stderr.
        say: Told what is going on before the first run.

    Returns:
        What was made. Runs that failed are in it with their reason.

    Raises:
        InputError: The study cannot be read, its arms cannot be compared, or ``out`` holds another study.
        RunError: Interrupted, or every run of an arm has failed.

    Example:
        >>> study({"data": "notes.txt"}, "out")
        Traceback (most recent call last):
        ...
        likewise.errors.InputError: the study has no 'arms' (what is compared, by name); add it.
    """
    config = (
        source if isinstance(source, StudyConfig) else read_study(Path(source) if isinstance(source, str) else source)
    )
    if workers < 1:
        raise InputError(f"workers is {workers}; at least 1 run at a time is needed.")
    folder = Path(out)
    plan = _planned(config, folder, Path(runs) if runs is not None else folder.parent / "study-runs", overwrite, say)
    failed = run_all(plan.jobs(), workers=workers, show_progress=progress)
    failures = {
        place: failed[job.name]
        for job in plan.jobs()
        if job.name in failed
        for place, request in plan.runs.items()
        if request.key == job.request.key
    }
    for arm in plan.arms:
        if all((arm, seed) in failures for seed in config.seeds):
            raise RunError(f"every run of '{arm}' failed: {failures[arm, config.seeds[0]]}")
    found = collect(plan, failures)
    write_tables(found, folder)
    _write(folder / "table.md", markdown(found))
    write_report(found, folder / "report.html")
    return StudyResult(folder, found)


def _planned(config: StudyConfig, folder: Path, runs: Path, overwrite: bool, say: Callable[[str], None]) -> Plan:
    """Make the plan, or take up that of an earlier call."""
    if folder.is_file():
        raise InputError(f"{folder} is a file; --out needs a folder that is new, or of this study.")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        path, identity = folder / PLAN, digest(_content(config))
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        others = [one.name for one in folder.iterdir() if one.name != ".lock"]
        if known.get("study") != identity and others and not overwrite:
            what = f"another study ('{known['name']}')" if known else f"something else ({others[0]})"
            raise InputError(f"{folder} holds {what}; give another --out, or add --overwrite to replace its tables.")
        same = known.get("study") == identity
        plan = make_plan(config, runs, known["steps"] if same else {}, say)
        content = {
            "study": identity,
            "name": config.name,
            "steps": dict(plan.steps),
            "passes": dict(plan.passes),
            "data": dict(plan.data),
            "start": dict(plan.start),
            "runs": {f"{arm}, seed {seed}": str(request.folder) for (arm, seed), request in plan.runs.items()},
        }
        _write(path, json.dumps(content, indent=2, ensure_ascii=False))
        _write(folder / "study.json", json.dumps(_content(config), indent=2, ensure_ascii=False))
    return plan


def _content(config: StudyConfig) -> dict[str, Any]:
    import dataclasses

    content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return content


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
