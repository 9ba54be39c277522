"""How the browser for the tests is found or installed; apt-get is a stand-in that writes down what it was told."""

import os
import shutil
import subprocess
import sys

import pytest

import browser

APT = '#!/bin/sh\necho "$@" >> "{log}"\n{then}\n'
MAKES_CHROMIUM = 'case "$*" in *install*) echo "#!/bin/sh" > "{folder}/chromium"; chmod +x "{folder}/chromium";; esac'


def program(path, text="#!/bin/sh\n"):
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A PATH with nothing on it but what a test puts there."""
    monkeypatch.delenv("LIKEWISE_BROWSER", raising=False)
    monkeypatch.setattr(browser, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def with_apt(folder, then):
    for name in ("env", "chmod"):
        (folder / name).symlink_to(shutil.which(name, path=os.defpath + ":/usr/bin:/bin"))
    program(folder / "sudo", '#!/bin/sh\nshift\n[ "$1" = true ] && exit 0\nexec "$@"\n')
    log = folder / "apt.log"
    program(folder / "apt-get", APT.format(log=log, then=then))
    return log


def test_the_variable_comes_first_and_is_the_only_one_looked_at(machine, monkeypatch):
    program(machine / "chromium")
    mine = program(machine / "mine")
    monkeypatch.setenv("LIKEWISE_BROWSER", str(mine))
    assert browser.find() == mine
    monkeypatch.setenv("LIKEWISE_BROWSER", str(machine / "none"))
    assert browser.find() is None


def test_the_usual_names_are_looked_for_in_order(machine, monkeypatch):
    assert browser.find() is None
    app = program(machine / "Google Chrome")
    monkeypatch.setattr(browser, "PLACES", (str(app),))
    assert browser.find() == app
    for name in reversed(browser.NAMES):
        assert browser.find() != machine / name
        program(machine / name)
        assert browser.find() == machine / name


def test_a_browser_that_is_there_is_printed_and_nothing_installed(machine, capfd):
    log = with_apt(machine, "exit 1")
    program(machine / "chromium")
    assert browser.main() is None
    assert capfd.readouterr().out == f"{machine / 'chromium'}\n"
    assert not log.exists()


def test_the_package_of_the_distribution_is_installed(machine, capfd):
    log = with_apt(machine, MAKES_CHROMIUM.format(folder=machine))
    assert browser.main() is None
    assert log.read_text().splitlines() == ["-q update", "-q install -y --no-install-recommends chromium"]
    assert capfd.readouterr().out == f"{machine / 'chromium'}\n"


@pytest.mark.parametrize("apt", [None, "exit 100", "exit 0"])
def test_where_nothing_helps_there_is_a_sentence(machine, apt):
    if apt:
        with_apt(machine, apt)
    assert browser.main() == browser.MISSING


def test_as_a_program_it_says_so_and_fails():
    environment = {**os.environ, "LIKEWISE_BROWSER": "/no/such/browser"}
    ended = subprocess.run([sys.executable, browser.__file__], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert (ended.stdout, ended.stderr.strip()) == ("", browser.MISSING)


def test_a_test_without_a_browser_fails_and_is_not_skipped(machine):
    with pytest.raises(pytest.fail.Exception, match="install the package chromium or Google Chrome"):
        browser.required()
    program(machine / "chromium")
    assert browser.required() == machine / "chromium"
