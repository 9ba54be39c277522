import subprocess
import sys
import textwrap

import pytest

from likewise.errors import InputError, RunError
from likewise.training.folder import RESOLVED, hold_run_folder, read_settings, refuse_changes, write_settings

NOTHING = frozenset()


def test_a_folder_with_something_in_it_is_not_taken(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with (
        pytest.raises(InputError, match="exists and is not empty; give another --out"),
        hold_run_folder(tmp_path, False),
    ):
        pass
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_run_that_is_there_is_offered_to_be_resumed(tmp_path):
    write_settings(tmp_path, {"method": "pairs"})
    with pytest.raises(InputError, match="add --resume"), hold_run_folder(tmp_path, False):
        pass


def test_there_must_be_a_run_to_resume(tmp_path):
    with pytest.raises(InputError, match="no run in"), hold_run_folder(tmp_path / "new", True):
        pass
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="is a file"), hold_run_folder(tmp_path / "out", False):
        pass


def test_two_processes_cannot_hold_one_folder(tmp_path):
    write_settings(tmp_path, {"method": "pairs"})
    other = textwrap.dedent(
        """
        import pathlib, sys
        from likewise.errors import RunError
        from likewise.training.folder import hold_run_folder
        try:
            with hold_run_folder(pathlib.Path(sys.argv[1]), True):
                print("held")
        except RunError as error:
            print(error)
        """
    )
    command = [sys.executable, "-W", "ignore", "-c", other, str(tmp_path)]
    with hold_run_folder(tmp_path, True):
        refused = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "another run is using" in refused
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "held\n"


def test_a_killed_holder_does_not_keep_the_folder(tmp_path):
    write_settings(tmp_path, {"method": "pairs"})
    script = (
        "import os, pathlib, signal, sys\n"
        "from likewise.training.folder import hold_run_folder\n"
        "with hold_run_folder(pathlib.Path(sys.argv[1]), True):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    with hold_run_folder(tmp_path, True):
        pass


def test_every_changed_setting_is_named_with_both_values():
    saved = {"method": "pairs", "training": {"lr": 1e-5, "seed": 0, "workers": 0}, "settings": {"temperature": 0.05}}
    wanted = {"method": "pairs", "training": {"lr": 2e-5, "seed": 0, "workers": 4}, "settings": {"temperature": 0.1}}
    with pytest.raises(InputError) as error:
        refuse_changes(saved, wanted, frozenset({"workers"}))
    assert "lr was 1e-05 and is now 2e-05" in str(error.value)
    assert "temperature was 0.05 and is now 0.1" in str(error.value)
    assert "workers" not in str(error.value)
    refuse_changes(saved, saved, NOTHING)


def test_settings_come_back_and_bad_files_are_named(tmp_path):
    write_settings(tmp_path, {"method": "pairs", "data": {"columns": ["query=question"]}})
    assert read_settings(tmp_path / RESOLVED) == {"method": "pairs", "data": {"columns": ["query=question"]}}
    (tmp_path / "broken.yaml").write_text("a: [1")
    for name, says in (("none.yaml", "does not exist"), ("broken.yaml", "cannot be read as YAML")):
        with pytest.raises(InputError, match=says):
            read_settings(tmp_path / name)
    assert issubclass(RunError, RuntimeError)
