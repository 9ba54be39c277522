"""A method's rows are prepared once, it may train in rounds, and what it keeps reaches its products."""

import csv
import json
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

import likewise
from likewise import artefact
from likewise.api import train_run
from likewise.data import Column, Text
from likewise.errors import InputError
from likewise.heads import unit_vectors
from likewise.losses import info_nce
from likewise.methods import METHODS, MethodEntry
from likewise.methods.base import Contrast, Paper, StepOutput, TextMethod
from likewise.products import Product, ProductResult, get_product, products_of, use
from likewise.run_config import RunConfig
from likewise.views import TextInput, TextViews

SMALL = {"encoder_layers": 1, "max_tokens": 16, "batch_size": 4, "precision": "fp32", "steps": 3, "lr": 1e-3}
ROWS = [{"text": f"sentence about thing number {i}"} for i in range(8)]


@dataclass(frozen=True)
class Config:
    """Settings of the method of these tests."""

    rounds: int = 1
    """How often it is trained."""
    fail: bool = False
    """Whether preparing fails."""


class Weighted(TextMethod[Config]):
    """SimCSE on rows that know the text before them and a vector of the round before."""

    paper = Paper("none", "nowhere")
    columns = (Column("text", Text),)
    products: ClassVar = {"nearest": f"{__name__}:Nearest"}
    prepared: ClassVar[list] = []

    def rounds(self):
        return self.config.rounds

    def prepare(self, table, stages, previous=None):
        if self.config.fail:
            raise InputError("the rows cannot be prepared.")
        fingerprint = previous.fingerprint if previous else None

        def make():
            self.prepared.append(fingerprint)
            texts = [row["text"] for row in table]
            return [{"text": one, "other": other} for one, other in zip(texts, texts[1:] + texts[:1], strict=True)]

        columns = [Column("text", Text), Column("other", Text)]
        return stages.table("pairs", columns, make, depends_on={"table": table.fingerprint, "previous": fingerprint})

    def views(self):
        return TextViews(self.encoder.tokenizer, {"text": TextInput("text"), "other": TextInput("other")})

    def training_step(self, batch):
        query, key = (unit_vectors(x) for x in self.encoder.together(batch["text"], batch["other"]))
        loss = info_nce(query, key, temperature=0.05).mean()
        return StepOutput({"loss": loss}, contrast=Contrast(query.detach(), key.detach(), 0.05))

    def kept(self):
        return {"names": ["a", "b"], "table": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "scale": 2.5}


@dataclass(frozen=True)
class Nearest(Product):
    """Finds a name."""

    summary: ClassVar[str] = "Find the nearest name"
    argument: ClassVar[str | None] = "text"

    text: str = ""
    """What is looked up."""
    k: int = 1
    """How many."""

    def run(self, model):
        rows = [{"rank": i + 1, "name": name} for i, name in enumerate(model.kept["names"][: self.k])]
        dims = model.embedder.encode([self.text]).shape[1]
        return ProductResult(figures={"dims": dims, "scale": model.kept["scale"]}, rows=rows)


@pytest.fixture(autouse=True)
def weighted(monkeypatch):
    monkeypatch.setitem(METHODS, "weighted", MethodEntry(f"{__name__}:Weighted", "Only in tests"))
    Weighted.prepared.clear()


def losses(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [row["loss"] for row in csv.DictReader(file)]


def test_what_a_method_keeps_comes_back_with_its_model_and_reaches_its_product(tmp_path):
    likewise.train("weighted", ROWS, out=tmp_path / "run", progress=False, **SMALL)
    model = artefact.load_model(tmp_path / "run")
    assert model.kept["names"] == ["a", "b"]
    assert torch.equal(model.kept["table"], torch.eye(2))
    assert model.about["method"] == "weighted"
    result = likewise.use(tmp_path / "run", "nearest", text="a dog", k=2)
    assert result.figures == {"dims": 384, "scale": 2.5}
    assert [row["name"] for row in result.rows] == ["a", "b"]


def test_rows_are_prepared_once_and_a_run_that_goes_on_finds_them(tmp_path):
    settings = {**SMALL, "checkpoint_every": 1}
    likewise.train("weighted", ROWS, out=tmp_path / "whole", progress=False, **settings)
    half = RunConfig.resolve("weighted", {"data": "(rows in memory)", **settings})
    run = tmp_path / "half"
    train_run(half, run, rows=ROWS, progress=False)
    (run / artefact.ABOUT).unlink()  # as if it had been killed before the model was written
    train_run(half, run, rows=ROWS, resume=True, progress=False)
    assert len(Weighted.prepared) == 2
    assert losses(run) == losses(tmp_path / "whole")
    assert (run / "prepared" / "pairs.jsonl").read_text().count("\n") == 8


def test_each_round_starts_from_the_same_weights_and_is_prepared_by_the_one_before(tmp_path):
    run = tmp_path / "run"
    model = likewise.train("weighted", ROWS, out=run, rounds=2, progress=False, **SMALL)
    once = likewise.train("weighted", ROWS, out=tmp_path / "once", progress=False, **SMALL)
    assert losses(run / "round-1") == losses(run) == losses(tmp_path / "once")
    assert Weighted.prepared[:2] == [None, once.fingerprint]
    about = json.loads((run / artefact.ABOUT).read_text())
    assert about["training"]["steps"] == 6
    assert about["training"]["kept_round"] == 2
    assert model.fingerprint == once.fingerprint


def test_a_round_may_go_on_from_the_one_before(tmp_path, monkeypatch):
    monkeypatch.setattr(Weighted, "continues", True)
    run = tmp_path / "run"
    likewise.train("weighted", ROWS, out=run, rounds=2, progress=False, **SMALL)
    assert float(losses(run)[0]) < float(losses(run / "round-1")[0])
    (run / artefact.ABOUT).unlink()
    first = losses(run)
    likewise.train("weighted", ROWS, out=run, rounds=2, resume=True, progress=False, **SMALL)
    assert losses(run) == first
    assert len(Weighted.prepared) == 2


def test_a_run_whose_rows_cannot_be_prepared_leaves_its_folder_free(tmp_path):
    with pytest.raises(InputError, match="cannot be prepared"):
        likewise.train("weighted", ROWS, out=tmp_path / "run", fail=True, progress=False, **SMALL)
    assert not (tmp_path / "run").exists()


def test_rows_that_are_prepared_cannot_be_streamed(tmp_path):
    (tmp_path / "texts.txt").write_text("one\ntwo\nthree\nfour\n")
    with pytest.raises(InputError, match="leave --streaming out"):
        likewise.train(
            "weighted", tmp_path / "texts.txt", out=tmp_path / "run", streaming=True, progress=False, **SMALL
        )


def test_a_product_and_a_setting_that_are_not_there_are_refused(tmp_path):
    likewise.train("weighted", ROWS, out=tmp_path / "run", progress=False, **SMALL)
    assert "nearest" in products_of(tmp_path / "run")
    with pytest.raises(InputError, match="did you mean 'nearest'"):
        get_product(tmp_path / "run", "nearst")
    with pytest.raises(InputError, match="kk"):
        use(tmp_path / "run", "nearest", kk=3)


def test_the_command_line_lists_products_and_uses_them(tmp_path, capfd):
    from likewise.cli import main

    def run(*words):
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return int(end.value.code or 0), *capfd.readouterr()

    model = tmp_path / "run"
    likewise.train("weighted", ROWS, out=model, progress=False, **SMALL)
    code, out, _ = run("use", model)
    assert (code, "Find the nearest name" in out) == (0, True)
    code, out, _ = run("use", model, "nearest", "a dog", "--k", 2, "--json")
    assert code == 0
    assert json.loads(out)["rows"] == [{"rank": 1, "name": "a"}, {"rank": 2, "name": "b"}]
    code, _, err = run("use", model, "nearst", "a dog")
    assert (code, "nearest" in err) == (1, True)
    code, _, err = run("use", model, "nearest")
    assert (code, "TEXT" in err) == (2, True)
    code, out, _ = run("use", model, "nearest", "--help")
    assert (code, "[default: 1]" in out) == (0, True)
