import csv
import sys

import pytest

from likewise.errors import InputError
from likewise.training.log import CsvLog, Progress, TensorBoard


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_log_is_cut_back_to_where_the_run_goes_on(tmp_path):
    log = CsvLog(tmp_path / "metrics.csv")
    for step in range(1, 6):
        log.write({"step": step, "loss": 1 / step})
    again = CsvLog(tmp_path / "metrics.csv", resume_at=3)
    again.write({"step": 4, "loss": 0.25})
    assert [(row["step"], row["loss"]) for row in rows(tmp_path / "metrics.csv")] == [
        ("1", "1"), ("2", "0.5"), ("3", "0.333333333"), ("4", "0.25"),
    ]  # fmt: skip


def test_half_a_line_left_by_a_killed_run_is_cut_off(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,0.5\n2,0.4\n3")
    CsvLog(path, resume_at=3).write({"step": 3, "loss": 0.3})
    assert [row["step"] for row in rows(path)] == ["1", "2", "3"]
    assert rows(path)[-1]["loss"] == "0.3"


def test_a_log_cut_back_to_the_start_is_made_anew(tmp_path):
    CsvLog(tmp_path / "m.csv").write({"step": 1, "old": 1.0})
    CsvLog(tmp_path / "m.csv", resume_at=0).write({"step": 1, "new": 2.0})
    assert rows(tmp_path / "m.csv") == [{"step": "1", "new": "2"}]


def test_tensorboard_files_hold_every_figure(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path, wanted=True)
    board.write({"step": 1, "loss": 0.5, "lr": 0.1}, 1)
    board.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["loss", "lr"]
    assert events.Scalars("loss")[0].value == 0.5


def test_a_missing_tensorboard_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"package tensorboard is not installed, .* or leave --tensorboard out"):
        TensorBoard(tmp_path, wanted=True)


def test_outside_a_terminal_progress_is_a_line_a_tenth_on_stderr(capfd):
    with Progress(total=20) as progress:
        for step in range(1, 21):
            progress.step(step, {"step": step, "loss": 0.5, "seconds": step / 10})
    captured = capfd.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 10
    assert lines[-1] == "step 20/20  loss 0.5  about 0 s left"
