"""What sways a model's similarities, told of any model."""

import csv
import json

import pytest
import torch

import likewise
from likewise.artefact import Model
from likewise.errors import InputError
from likewise.geometry import correlation_within, partial_correlation
from likewise.products import products_of
from likewise.products.bias import Bias
from likewise.sampling import surface_similarity

PAIRS = [
    (4.8, "a man plays the guitar", "somebody makes music"),
    (4.2, "a dog sleeps", "the dog is asleep on the floor"),
    (2.5, "a man eats bread", "a man bakes bread"),
    (1.0, "a man plays the guitar", "a man plays the ball"),
    (0.4, "the river bends", "two cats fight"),
    (0.2, "a dog sleeps", "trains leave every hour from the second platform"),
    (3.1, "kennel", "a small house for a dog"),
]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.tsv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["score", "sentence1", "sentence2"])
        writer.writerows(PAIRS)
    return str(path)


def test_the_figures_are_those_of_their_definitions(data, minilm):
    figures = Bias(data=data, bins=2).run(Model(minilm, {}, {}, None)).figures
    score, first, second = zip(*PAIRS, strict=True)
    one, other = (minilm.encode(side, precision="fp32") for side in (first, second))
    cosine = torch.nn.functional.cosine_similarity(one.double(), other.double())
    surface = surface_similarity(first, second)
    apart = [-abs(len(a.split()) - len(b.split())) for a, b in zip(first, second, strict=True)]
    assert figures["pairs"] == 7
    assert figures["overlap"] == pytest.approx(partial_correlation(cosine, surface, score), rel=1e-9)
    assert figures["overlap_in_bins"] == pytest.approx(correlation_within(cosine, surface, score, bins=2), rel=1e-9)
    assert figures["length"] == pytest.approx(partial_correlation(cosine, apart, score), rel=1e-9)
    assert 0.5 < figures["spearman"] <= 1
    assert -1 <= figures["overlap_of_people"] <= 1
    by_length = Bias(data=data, measure="length").run(Model(minilm, {}, {}, None)).figures
    assert by_length["overlap"] != figures["overlap"]


def test_a_packaged_model_has_it_from_the_command_line(data, capfd):
    from likewise.cli import main

    assert "bias" in products_of("all-MiniLM-L6-v2")
    with pytest.raises(SystemExit) as end:
        main(["use", "all-MiniLM-L6-v2", "bias", "--data", data, "--json"])
    assert end.value.code == 0
    found = json.loads(capfd.readouterr().out)
    assert found["figures"]["pairs"] == 7
    assert found["rows"] == []


def test_without_pairs_of_any_kind_it_says_what_to_give(minilm):
    with pytest.raises(InputError, match="no pairs are given, and this model keeps nothing"):
        likewise.use("all-MiniLM-L6-v2", "bias")
    with pytest.raises(InputError, match="bins is 0"):
        Bias(data="x", bins=0).run(Model(minilm, {}, {}, None))
