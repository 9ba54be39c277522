"""Studies that are killed, interrupted, or run beside each other lose nothing and find the same."""

import json
import signal
from pathlib import Path

import pytest
import yaml

import commands
from studies.conftest import content, write_files


@pytest.fixture
def place(tmp_path) -> Path:
    write_files(tmp_path)
    shared = {**content()["shared"], "checkpoint_every": 1}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content(budget={"steps": 14}, shared=shared, seeds=1)))
    return tmp_path


def start(place: Path, *more: str) -> commands.Command:
    return commands.start("study", "study.yaml", *more, "--json", cwd=place)


def finish(study: commands.Command) -> dict:
    out, err = study.communicate()
    assert study.returncode == 0, err
    return json.loads(out)


def measured(document: dict) -> list:
    return [(one["arm"], one["metric"], one["values"], one["difference"]) for one in document["measured"]]


def wait_for_steps(runs: Path, steps: int, study: commands.Command) -> None:
    def there() -> bool:
        return any(len(log.read_text().splitlines()) > steps for log in runs.glob("*/train/metrics.csv"))

    commands.wait_until(there, study)


def test_a_killed_an_interrupted_and_a_whole_study_find_the_same(place):
    process = start(place, "--out", "killed", "--runs", "a")
    wait_for_steps(place / "a", 2, process)
    process.kill()
    process.communicate()
    process = start(place, "--out", "killed", "--runs", "a")  # waits for what the orphan is still at
    wait_for_steps(place / "a", 5, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 1
    assert "stopped; " in err
    assert "Repeat the command to go on" in err
    assert "Traceback" not in err
    document = finish(start(place, "--out", "killed", "--runs", "a"))
    whole = start(place, "--out", "one", "--runs", "b")
    beside = start(place, "--out", "two", "--runs", "b")  # two at a time share the runs
    assert measured(finish(whole)) == measured(finish(beside)) == measured(document)
    assert len(list((place / "b").glob("*/measures"))) == 3
