"""Annotated dialogs as rows of utterances with actions."""

import json

import pytest

from likewise.data import Column, Label, Text, open_table
from likewise.errors import InputError

SINGLE = (Column("utterance", Text), Column("label", Label))
JOINT = (
    Column("utterance", Text),
    Column("acts", Label, required=False, many=True),
    Column("slots", Label, required=False, many=True),
)


def action(act, slot=""):
    return {"act": act, "slot": slot, "values": [], "canonical_values": []}


def turn(speaker, utterance, *actions):
    return {"speaker": speaker, "utterance": utterance, "frames": [{"service": "Hotels_1", "actions": list(actions)}]}


DIALOG = {
    "dialogue_id": "1_00000",
    "services": ["Hotels_1"],
    "turns": [
        turn("USER", "Find me a hotel", action("INFORM_INTENT", "intent")),
        turn("SYSTEM", "In which city?", action("REQUEST", "city")),
        turn("USER", "Boston, two rooms", action("INFORM", "city"), action("INFORM", "number_of_rooms")),
        turn("SYSTEM", "Booked. More?", action("NOTIFY_SUCCESS"), action("REQ_MORE")),
        turn("USER", "No, bye", action("NEGATE"), action("GOODBYE")),
    ],
}


@pytest.fixture
def folder(tmp_path):
    for number in (1, 2):
        (tmp_path / f"dialogues_00{number}.json").write_text(json.dumps([DIALOG]))
    (tmp_path / "schema.json").write_text("[]")
    return tmp_path


def test_each_turn_with_an_action_is_a_row(folder):
    table = open_table(folder / "dialogues_001.json", columns=SINGLE)
    assert list(table.stream()) == [
        {"utterance": "In which city?", "label": "request city"},
        {"utterance": "Boston, two rooms", "label": "inform city, number of rooms"},
        {"utterance": "Booked. More?", "label": "inform success, request more"},
        {"utterance": "No, bye", "label": "disagreement, good bye"},
    ]
    assert table.extra(1)["speaker"] == "user"
    assert table.extra(1)["dialog"] == "1_00000"


def test_a_folder_is_all_of_its_files_and_nothing_else(folder):
    table = open_table(folder, columns=JOINT)
    assert len(table) == 8
    assert table[2] == {"utterance": "Booked. More?", "acts": ["inform success", "request more"], "slots": []}
    assert table.where(5) == "dialogues_002.json, row 2"


def test_the_folder_of_dialog2flow_gives_acts_and_slots(tmp_path):
    (tmp_path / "dialog-acts.csv").write_text("utterance,label,dataset\nhi,greet,A\nwhere?,request,A\n")
    (tmp_path / "slots.csv").write_text("utterance,label,dataset\nwhere?,place,A\n")
    (tmp_path / "dialog-acts+slots.csv").write_text("utterance,label,dataset\nwhere?,request place,A\n")
    table = open_table(tmp_path, columns=JOINT)
    assert [(row["acts"], row["slots"]) for row in table.stream()] == [
        (["greet"], []), (["request"], []), ([], ["place"]),
    ]  # fmt: skip
    assert open_table(tmp_path / "dialog-acts+slots.csv", columns=SINGLE)[0]["label"] == "request place"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "dialogues_1.json cannot be read as JSON"),
        ('{"a": 1}', "dialogues_1.json is not of the Schema-Guided Dialogue form: it holds a list of dialogs"),
        ("[]", "dialogues_1.json has no rows"),
        (
            json.dumps([{"turns": [turn("USER", "  ", action("REQUEST", "city"))]}]),
            "row 1: column 'utterance' is empty",
        ),
    ],
)
def test_what_is_no_such_file_is_named(tmp_path, content, says):
    (tmp_path / "dialogues_1.json").write_text(content)
    with pytest.raises(InputError, match=says):
        open_table(tmp_path / "dialogues_1.json", columns=SINGLE)
