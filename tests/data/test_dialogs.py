"""Dialogs from transcripts, and from files of many."""

import json

import pytest

from likewise.data import Dialog, Turn, open_dialogs
from likewise.errors import InputError

TURNS = (Turn("system", "How can I help?"), Turn("user", "A taxi: at 10:30."))


def said(dialogs):
    return [dialog.turns for dialog in dialogs]


def test_a_folder_holds_a_dialog_a_file(tmp_path):
    (tmp_path / "b.txt").write_text("Agent: How can I help?\n\nCustomer: A taxi: at 10:30.\n")
    (tmp_path / "a.tsv").write_text("agent\tHow can I help?\ncustomer\tA taxi: at 10:30.\n")
    transcript = [
        {"ParticipantRole": "AGENT", "Content": "How can I help?"},
        {"ParticipantRole": "CUSTOMER", "Content": "A taxi: at 10:30."},
        {"ParticipantRole": "CUSTOMER", "Content": " "},
    ]
    (tmp_path / "c.json").write_text(json.dumps({"Transcript": transcript}))
    (tmp_path / "notes.md").write_text("no dialog")
    found = open_dialogs(tmp_path)
    assert [dialog.name for dialog in found] == ["a", "b", "c"]
    assert said(found) == [TURNS] * 3


def test_an_empty_line_ends_a_dialog_in_a_file_of_its_own(tmp_path):
    file = tmp_path / "talks.txt"
    file.write_text(
        "\ufeffAgent: How can I help?\r\nCustomer: A taxi: at 10:30.\r\n\r\n\r\nuser: bye\n", encoding="utf-8"
    )
    assert open_dialogs(file) == [Dialog("talks", TURNS), Dialog("talks 2", (Turn("user", "bye"),))]


TURN_ROWS = [{"speaker": "system", "text": "How can I help?"}, {"speaker": "user", "text": "A taxi: at 10:30."}]


@pytest.mark.parametrize(
    "content",
    [
        TURN_ROWS,
        {"turns": TURN_ROWS},
        [{"turns": TURN_ROWS}],
        {"one": {"log": [{"tag": None, "text": None, "turn": "[start]"}, *TURN_ROWS]}},
        [{"turns": [{"role": "agent", "utterance": one["text"]} for one in TURN_ROWS[:1]] + TURN_ROWS[1:]}],
        [TURN_ROWS],
    ],
)
def test_json_in_many_forms(tmp_path, content):
    file = tmp_path / "talk.json"
    file.write_text(json.dumps(content))
    assert said(open_dialogs(file)) == [TURNS]


def test_lines_of_json_are_dialogs_or_turns(tmp_path):
    whole, turns = tmp_path / "whole.jsonl", tmp_path / "turns.jsonl"
    whole.write_text("".join(json.dumps({"id": n, "domain": "taxi", "turns": TURN_ROWS}) + "\n" for n in ("x", "y")))
    turns.write_text("".join(json.dumps({"dialog": n, **row}) + "\n" for n in (1, 2) for row in TURN_ROWS))
    assert open_dialogs(whole) == [Dialog("x", TURNS, "taxi"), Dialog("y", TURNS, "taxi")]
    assert open_dialogs(turns) == [Dialog("1", TURNS), Dialog("2", TURNS)]


def test_trajectories_bring_their_domain_and_actions(tmp_path):
    file = tmp_path / "trajectories.json"
    log = [
        {"tag": None, "text": None, "turn": "[start]"},
        {"tag": "user", "text": "hai", "turn": "USER: taxi-greet"},
        {"tag": "system", "text": "hello", "turn": "SYSTEM: request phone"},
        {"tag": None, "text": None, "turn": "[end]"},
    ]
    file.write_text(json.dumps({"SNG1": {"goal": {"taxi": {}}, "log": log}}))
    (found,) = open_dialogs(file)
    assert found == Dialog("SNG1", (Turn("user", "hai", "greet"), Turn("system", "hello", "request phone")), "taxi")


def test_who_the_user_is_can_be_said(tmp_path):
    file = tmp_path / "talk.txt"
    file.write_text("Dr. O'Neil: hello\nAnna: hi\n")
    assert [turn.speaker for turn in open_dialogs(file)[0].turns] == ["system", "system"]
    assert [turn.speaker for turn in open_dialogs(file, user_names=["anna"])[0].turns] == ["system", "user"]


def test_dialogs_of_one_name_are_told_apart(tmp_path):
    file = tmp_path / "talk.json"
    file.write_text(json.dumps([{"id": "x", "turns": TURN_ROWS}] * 2))
    assert [dialog.name for dialog in open_dialogs(file)] == ["x", "x (2)"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", "hello there\n", "a.txt, line 1: 'hello there' names no speaker"),
        ("a.tsv", "user\tx\ty\n", "a.tsv, line 1 has 3 columns"),
        ("a.json", "{", "a.json is no JSON"),
        (
            "a.json",
            '{"turns": [{"text": "x"}]}',
            "a.json, turn 1 is no turn; it is an object with 'speaker' and 'text'",
        ),
        ("a.json", '{"x": 5}', "a.json, 'x' is no dialog"),
        ("a.jsonl", '{"turns": 3}\n', "a.jsonl, line 1 is no dialog"),
        ("a.csv", "x", "a.csv: dialogs are read from files that end in .txt, .tsv, .json, .jsonl"),
        ("a.txt", "\n", "holds no dialog in which anything is said"),
        ("a.txt", b"user: \xff\xfe", "a.txt is not valid UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, says):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says):
        open_dialogs(file)


def test_nothing_there_and_nothing_in_it(tmp_path):
    (tmp_path / "talk.txt").write_text("user: hi")
    with pytest.raises(InputError, match=r"there is no file or folder .*tlk.txt': did you mean .*talk.txt'"):
        open_dialogs(tmp_path / "tlk.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no dialogs; files that end in"):
        open_dialogs(tmp_path / "empty")
