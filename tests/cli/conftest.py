import json
from typing import NamedTuple

import pytest

from likewise.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def likewise(capfd, tmp_path, monkeypatch):
    """The command line, in an empty folder: ``likewise("train", "pairs", ...)``."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        captured = capfd.readouterr()
        return Ran(int(end.value.code or 0), captured.out, captured.err)

    return run


PAIRS = [
    ("how do I reset my password", "open the settings and choose a new password"),
    ("where is my invoice", "invoices are in the billing tab"),
    ("how do I delete my account", "write to support and we remove the account"),
    ("which trains go to the sea", "the blue line ends at the harbour"),
    ("when does the museum open", "doors open at nine every day"),
    ("what feeds a kitten", "kittens eat soft food four times a day"),
    ("how long does bread bake", "forty minutes in a hot oven"),
    ("who paints the bridge", "the city repaints it every ten years"),
]


@pytest.fixture
def pairs_file(tmp_path):
    path = tmp_path / "my.jsonl"
    rows = [{"question": q, "answer": a, "topic": f"t{i % 2}"} for i, (q, a) in enumerate(PAIRS)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path
