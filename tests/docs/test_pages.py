"""Pages: one a method, generated parts that say what the code says, links that lead somewhere."""

import doctest
import json
import re

import pytest

from likewise.cli.options import flag_of
from likewise.errors import InputError
from likewise.evaluation import TASKS, get_task
from likewise.methods import METHODS, get_method
from likewise.run_config import RunConfig

LINK = re.compile(r"(?<!`)\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+?)$", re.MULTILINE)

STORED = {
    "name": "example",
    "command": "python -m benchmarks example",
    "date": "2026-01-02",
    "versions": {"likewise": "0.1.0", "torch": "2.6.0"},
    "processor": "two cores of something",
    "seeds": [0, 1, 2],
}
ENDING = (
    "Measured by `python -m benchmarks example` on two cores of something, 2026-01-02, with likewise 0.1.0, "
    "torch 2.6.0. Every run is in `benchmarks/results/example.json`."
)


def anchors(text):
    """The anchors that the headings of a page have, on the site and where the file is read on a host."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(text)}


def test_every_internal_link_leads_somewhere(pages):
    broken = []
    for name, page in pages.items():
        for target in LINK.findall(page.prose):
            if target.startswith(("http://", "https://")):
                continue
            place, _, anchor = target.partition("#")
            path = (page.path.parent / place).resolve() if place else page.path
            if not path.exists():
                broken.append(f"{name}: {target}")
            elif anchor and anchor not in anchors(path.read_text(encoding="utf-8")):
                broken.append(f"{name}: {target} (no such heading)")
    assert broken == []


def test_every_page_is_in_the_navigation(root, pages):
    navigation = (root / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = set(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE))
    assert listed == {name.removeprefix("docs/") for name in pages if name.startswith("docs/")}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_a_page_with_all_parts(method, pages, root):
    page = pages[f"docs/methods/{method}.md"]
    headings = HEADING.findall(page.prose)
    for part in ("What it does", "When to use it", "Data", "Example", "Where it differs from the paper", "Settings"):
        assert part in headings
    assert f"<!-- generated: about {method} -->" in page.text
    assert f"<!-- generated: settings {method} -->" in page.text
    assert re.search(r"^<!-- generated: results [\w-]+ -->$", page.text, re.MULTILINE)
    example = example_of(method)
    assert (root / example).is_file()
    assert f'--8<-- "{example}"' in page.text


def example_of(method):
    """Where the example of a method is: the same field and name as its file."""
    field, name = METHODS[method].where.partition(":")[0].split(".")[-2:]
    return f"examples/{field}/{name}.py"


@pytest.mark.parametrize("method", METHODS)
def test_the_generated_part_shows_every_column_and_setting_with_its_default(method, generate, pages):
    filled = generate.fill(pages[f"docs/methods/{method}.md"].text)
    assert str(get_method(method).paper) in filled
    for column in get_method(method).columns:
        assert f"| `{column.name}` | {column.kind.name}" in filled
    for settings in RunConfig.options(method).values():
        for setting in settings:
            row = f"| `--{setting.name.replace('_', '-')}` | {generate.shown_default(setting.default)} |"
            assert row in filled


def test_the_list_of_methods_is_complete(generate):
    table = generate.methods()
    for method, entry in METHODS.items():
        assert f"| [{method}]({method}.md) | {entry.summary} |" in table


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_a_section_with_its_file_its_command_and_the_figure_to_quote(task, generate, pages):
    page = pages["docs/evaluation.md"]
    assert f"<!-- generated: task {task} -->" in page.text
    assert re.search(rf"^likewise evaluate .*--task {task} ", page.text, re.MULTILINE)
    assert f"uote `{get_task(task).main_metric}`" in page.text or task in ("retrieval", "similarity")
    filled = generate.fill(page.text)
    row = next(line for line in filled.splitlines() if line.startswith(f"| `{task}` | "))
    assert get_task(task).summary in row
    assert row.endswith(f"| `{get_task(task).main_metric}` |")
    for column in get_task(task).columns:
        assert f"| `{column.name}` | {column.kind.name}" in filled
    for settings in get_task(task).options().values():
        for setting in settings:
            assert f"| `{flag_of(setting)}` | {generate.shown_default(setting.default)} |" in filled


def test_every_marker_of_every_page_is_known(generate, pages):
    for page in pages.values():
        assert "<!-- generated:" not in generate.fill(page.text)


def test_an_unknown_marker_is_an_error(generate):
    with pytest.raises(InputError, match="unknown marker 'settinks': did you mean 'settings'"):
        generate.fill("<!-- generated: settinks pairs -->")


def section_of(generate, folder, **stored):
    (folder / "example.json").write_text(json.dumps({**STORED, **stored}))
    return generate.fill("<!-- generated: results example -->", folder)


def test_stored_results_become_a_section(generate, tmp_path):
    runs = [
        {"seed": 0, "before": {"recall@1": 0.25}, "after": {"recall@1": 0.5}, "seconds": 100.0},
        {"seed": 1, "before": {"recall@1": 0.25}, "after": {"recall@1": 0.75}, "seconds": 120.0},
        {"seed": 2, "before": {"recall@1": 0.25}, "after": {"recall@1": 0.625}, "seconds": 110.0},
    ]
    section = section_of(generate, tmp_path, results=runs)
    assert section.startswith("## Measured\n\nMean over the seeds 0, 1, 2; in brackets the lowest and the highest:\n")
    assert "\n| recall@1 | 0.250 | 0.625 (0.500 to 0.750) |\n" in section
    assert "A run took 110 (100 to 120) seconds." in section
    assert section.endswith(ENDING)


def test_stored_results_of_several_ways_of_training_become_a_section(generate, tmp_path):
    runs = [
        {"arm": "plain", "seed": 0, "figures": {"2014": 50.0, "mean": 60.0}},
        {"arm": "plain", "seed": 1, "figures": {"2014": 52.0, "mean": 60.0}},
        {"arm": "other", "seed": 0, "figures": {"2014": 40.0, "mean": 41.0}},
        {"arm": "third", "seed": 0, "figures": {"mean": 42.0}},
    ]
    untrained = {"figures": {"2014": 30.0, "mean": 31.0}}
    section = section_of(generate, tmp_path, results=runs, untrained=untrained, about="Spearman x 100.")
    assert section.startswith("## Measured\n\nSpearman x 100. Mean over the seeds 0, 1, 2; in")
    assert (
        "|  | 2014 | mean |\n|---|---|---|\n| untrained | 30.00 | 31.00 |\n"
        "| plain | 51.00 (50.00 to 52.00) | 60.00 |\n| other | 40.00 | 41.00 |\n| third | - | 42.00 |\n"
    ) in section
    assert section.endswith(ENDING)


def test_a_stored_study_becomes_a_section_too(generate, tmp_path):
    def arm(name, values, difference, verdict):
        measured = {"evaluation": "STS", "metric": "spearman", "values": values, "difference": difference,
                    "difference_over_seeds": difference and [0.01, 0.03], "verdict": verdict}  # fmt: skip
        return {"arm": name, "measured": [measured], "geometry": {"uniformity": [-2.0, -2.0, -1.7]}}

    arms = [arm("simcse", [0.5, 0.6, 0.7], None, "baseline"), arm("esimcse", [0.6, 0.6, 0.66], 0.02, "better")]
    stored = {"results": arms, "budget": "60 optimiser steps", "baseline": "simcse"}
    section = section_of(generate, tmp_path, **stored)
    assert section.startswith("## Measured\n\nBudget of every arm: 60 optimiser steps; seeds 0, 1, 2.")
    assert "| simcse | 0.6000 | -1.900 |\n| esimcse | **0.6200 (+0.0200, +0.0100 to +0.0300)** | -1.900 |\n" in section
    assert section.endswith(ENDING)
    assert section == "## Measured\n\n" + generate.fill("<!-- generated: study example -->", tmp_path)


def test_means_over_sets_become_a_table_of_the_arms_from_low_to_high(generate, tmp_path):
    arms = {"plain": {"mean": 60.0}, "odd": {"mean": 59.5, "over_plain": [-0.25, -0.75]}}
    (tmp_path / "many.json").write_text(json.dumps({"baseline": "plain", "mean_over_sets": arms}))
    made = generate.fill("<!-- generated: means many -->", tmp_path).splitlines()
    assert made[2:] == ["| odd | 59.50 | -0.25, -0.75 |", "| plain | 60.00 |  |"]


def test_stored_timings_become_a_table_a_kind_of_work(generate, tmp_path):
    results = [
        {"case": {"form": "small", "N": 2048}, "seconds": {"ours": [0.01, 0.02, 0.03], "theirs": [0.03, 0.02, 0.12]}},
        {"case": {"form": "small", "N": 4096}, "seconds": {"ours": [1.0], "theirs": [2.5]}},
        {"case": {"form": "large", "N": 8192}, "seconds": {"ours": [2.0]}},
    ]
    (tmp_path / "example.json").write_text(json.dumps({**STORED, "threads": 2, "results": results}))
    filled = generate.fill("<!-- generated: timings example -->", tmp_path)
    assert (
        "| small | ours | theirs |\n|---|---|---|\n| N 2,048 | 20 ms | 30 ms (3.00) |\n"
        "| N 4,096 | 1.00 s | 2.50 s (2.50) |\n\n| large | ours |\n|---|---|\n| N 8,192 | 2.00 s |\n"
    ) in filled
    assert filled.endswith(ENDING.replace("something,", "something, 2 threads,"))


def test_promises_of_all_benchmarks_become_one_table(generate, tmp_path):
    bars = [
        {"what": "times theirs", "measured": 3.14159, "limit": 3, "at_most": False, "met": True},
        {"what": "MB", "measured": 612.0, "limit": 500, "at_most": True, "met": False},
    ]
    (tmp_path / "example.json").write_text(json.dumps({**STORED, "results": [], "bars": bars}))
    (tmp_path / "other.json").write_text(json.dumps({**STORED, "results": []}))
    assert generate.fill("<!-- generated: bars -->", tmp_path).splitlines()[2:] == [
        "| `example` | times theirs | 3.14 | at least 3 | yes |",
        "| `example` | MB | 612 | at most 500 | **no** |",
    ]


def test_nothing_is_said_about_fewer_than_three_seeds(generate, tmp_path):
    run = {"seed": 0, "before": {"recall@1": 0.25}, "after": {"recall@1": 0.5}, "seconds": 100.0}
    assert section_of(generate, tmp_path, results=[run], seeds=[0]) == ""


def test_nothing_is_said_where_no_result_is_stored(generate, tmp_path):
    assert generate.fill("before\n\n<!-- generated: results example -->\n\nafter", tmp_path) == "before\n\n\n\nafter"


def test_the_generators_own_examples_hold(generate):
    result = doctest.testmod(generate)
    assert result.attempted
    assert not result.failed
