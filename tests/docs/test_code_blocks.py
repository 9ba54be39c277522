"""Code blocks of the pages: commands that parse, Python that runs, and a guide that writes a real file."""

import inspect
import json
import re
import shlex
import subprocess

import pytest

import likewise
from likewise.cli import main
from likewise.methods import METHODS

FILES = {
    "my.jsonl": [{"question": f"How do I get my {x} back?", "answer": f"Ask for the {x} at desk {i}."} for i, x in
                 enumerate(("money", "coat", "key", "parcel", "book", "umbrella"))],
    "held_out.jsonl": [{"question": "Where is my money?", "answer": "Ask for the money at desk 0."},
                       {"question": "I miss my coat.", "answer": "Ask for the coat at desk 1."}],
}  # fmt: skip
STS = "score\tsentence1\tsentence2\n5\ta dog ran\ta dog runs\n3\ta dog ran\ta cat ran\n0\ta dog ran\tprices fell\n"
VERB = re.compile(r"`likewise ([a-z]+)")


def commands_of(block):
    """The likewise commands of a bash block, each as its words behind ``likewise``."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        for command in re.split(r"&&|\||;", line):
            words = shlex.split(command, comments=True)
            for place, word in enumerate(words):
                first = place == 0 and word.rpartition("/")[2] == "likewise"
                if first or words[place - 1 : place + 1] == ["-m", "likewise"]:
                    found.append(words[place + 1 :])
                    break
    return found


def ends_with(code, words):
    with pytest.raises(SystemExit) as exit_:
        main(words)
    return exit_.value.code == code


def test_commands_are_found_in_a_block():
    block = "a; .venv/bin/likewise quickstart\nrun -m likewise train pairs \\\n --out x | cat  # likewise\nls likewise"
    assert commands_of(block) == [["quickstart"], ["train", "pairs", "--out", "x"]]


def test_a_wrong_verb_or_option_is_noticed(capsys):
    assert ends_with(2, ["trane", "pairs", "--help"])
    assert ends_with(2, ["train", "pairs", "--temprature", "0.1", "--help"])
    assert "--temperature" in capsys.readouterr().err


def test_every_command_of_the_pages_has_a_known_verb_and_known_options(pages, capsys):
    commands = {
        " ".join(words): words for page in pages.values() for b in page.blocks("bash") for words in commands_of(b)
    }
    assert commands
    wrong = [text for text, words in commands.items() if not ends_with(0, [*words, "--help"])]
    capsys.readouterr()
    assert wrong == []


def test_every_verb_in_the_prose_exists(pages, capsys):
    verbs = {verb for page in pages.values() for verb in VERB.findall(page.prose)}
    assert verbs
    wrong = [verb for verb in verbs if not ends_with(0, [verb, "--help"])]
    capsys.readouterr()
    assert wrong == []


def test_every_verb_is_in_the_table_of_verbs(pages):
    import typer

    from likewise.cli.app import _build

    listed = VERB.findall(pages["docs/index.md"].text.partition("## Verbs")[2])
    assert sorted(listed) == sorted(typer.main.get_command(_build([])).commands)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the files that the pages speak of, as the working directory."""
    for name, rows in FILES.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "sts.tsv").write_text(STS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


PYTHON_PAGES = (
    "README.md",
    "docs/python.md",
    "docs/search.md",
    "docs/classify.md",
    "docs/evaluation.md",
    "docs/geometry.md",
)


@pytest.mark.parametrize("name", PYTHON_PAGES)
def test_the_python_of_a_page_runs(name, pages, desk, capsys):
    blocks = pages[name].blocks("python")
    assert blocks
    if "likewise.train(" not in blocks[0]:  # the page begins where another one ends
        likewise.train(
            "pairs", "my.jsonl", columns={"query": "question", "positive": "answer"}, out="runs/faq", steps=1
        )
    names = {}
    for block in blocks:
        exec(compile(block, name, "exec"), names)  # noqa: S102 - the pages are our own
    assert capsys.readouterr().out


def test_all_python_of_the_pages_is_looked_at(pages):
    elsewhere = {
        "docs/add-a-method.md",
        "docs/studies.md",
        *(f"docs/methods/{name}.md" for name in METHODS),
    }  # compared, run as examples, or with the tests of studies
    assert {name for name, page in pages.items() if page.blocks("python")} == {*PYTHON_PAGES, *elsewhere}


def test_the_guide_to_adding_a_method_writes_pairs_line_by_line(pages):
    from likewise.methods.retrieval import pairs

    def lines(text):
        return [line for line in text.splitlines() if line.strip()]

    guide = "\n".join(pages["docs/add-a-method.md"].blocks("python"))
    assert lines(guide) == lines(inspect.getsource(pairs))


def test_the_guide_has_ten_steps(pages):
    steps = re.findall(r"^## (\d+)\. ", pages["docs/add-a-method.md"].text, re.MULTILINE)
    assert steps == [str(number) for number in range(1, 11)]


def test_the_readme_gives_two_commands_of_one_line_and_ci_runs_the_second_word_for_word(pages, root):
    readme = pages["README.md"].text
    first, second = (
        readme.partition(f"<!-- {name} command -->\n```bash\n")[2].partition("\n```")[0] for name in ("first", "test")
    )
    assert first == "python -m venv .venv && .venv/bin/pip install . && .venv/bin/likewise quickstart"
    assert second == (
        'python -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/python tests/browser.py'
        " && .venv/bin/pytest -n 2"
    )
    shown = subprocess.run(["bash", ".ci/run", "--commands"], cwd=root, check=True, capture_output=True, text=True)
    assert shown.stdout.splitlines()[0] == second
