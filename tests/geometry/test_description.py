"""A description holds the single figures, is silent about healthy spaces, and names what is wrong with broken ones."""

import json
import subprocess
import sys

import pytest
import torch

import likewise
from likewise import geometry
from likewise.data import open_table
from likewise.data.columns import Column, Text
from likewise.encoders import TextEncoderConfig, load_text_encoder


def rows(count: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def names(found: geometry.Geometry) -> list[str]:
    return [finding.name for finding in found.findings]


def pairs(count: int, dim: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A healthy space: even directions, positives nearby."""
    x = rows(count, dim, seed)
    return x, x + 0.5 * rows(count, dim, seed + 1)


def test_every_figure_is_that_of_its_function_and_has_a_meaning():
    x, y = pairs(60, 8)
    labels, texts = [i % 3 for i in range(60)], [f"the {'long ' * (i % 5)}text {i}" for i in range(60)]
    found = geometry.describe(x, y, labels=labels, texts=texts, temperature=0.1)
    assert list(found.figures) == list(geometry.FIGURES)
    false, shares = geometry.false_negatives(x, y), geometry.false_negatives(x, y, share_of_positive=1.0)
    hubs, entropy = geometry.hubness(x), geometry.penalty_entropy(x, y, temperature=0.1)
    unit = [torch.nn.functional.normalize(side, dim=1) for side in (x, y)]
    cosines = unit[0] @ unit[1].T
    others = ~torch.eye(60, dtype=torch.bool)
    expected = {
        **geometry.summary(x, y),
        "isotropy": geometry.isotropy(x),
        "centered_effective_rank": geometry.effective_rank(unit[0], center=True),
        "dead_dimensions": geometry.spectrum(unit[0]).dead_dimensions,
        "explained_by_first": geometry.spectrum(unit[0]).explained[0],
        "dimensions_for_90": geometry.spectrum(unit[0]).dimensions_for(0.9),
        "tolerance": geometry.tolerance(x, labels),
        "same_label_negatives": geometry.false_negatives(x, y, labels=labels).labels,
        "length_bias": geometry.length_bias(x, [len(text.split()) for text in texts]),
        "frequency_bias": geometry.frequency_bias(x, texts),
        "pair_rows": 60,
        "neighbours": 10,
        "hubness": hubs.skewness,
        "anti_hubs": hubs.anti_hubs,
        "largest_hub": hubs.largest,
        "duplicates": geometry.duplicates(x),
        "hardest_negative_cosine": float(cosines.masked_fill(~others, -2).amax(1).mean()),
        "negative_cosine": float(cosines[others].mean()),
        "negatives_above_positive": shares.pairs,
        "false_negative_rows": false.rows,
        "false_negative_pairs": false.pairs,
        "centroid_gap": geometry.centroid_gap(x, y),
        "separability": geometry.separability(x, y),
        "cross_uniformity": geometry.cross_uniformity(x, y),
        "temperature": 0.1,
        "penalty_entropy": float(entropy.mean()),
        "effective_negatives": geometry.effective_negatives(x, y, temperature=0.1),
        "effective_negatives_share": geometry.effective_negatives(x, y, temperature=0.1) / 59,
    }
    assert found.figures.keys() == expected.keys()
    for name, value in expected.items():
        assert found.figures[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    assert found.histograms == geometry.similarity_histograms(x, y)
    assert found.spectrum == pytest.approx(geometry.spectrum(unit[0]).values, abs=1e-6)
    assert found.findings == ()


def test_what_is_not_given_is_not_described():
    found = geometry.describe(rows(30, 4))
    assert {"alignment", "tolerance", "length_bias", "temperature"}.isdisjoint(found.figures)
    assert list(found.histograms) == ["negatives", "hardest_negatives"]
    with_positives = geometry.describe(rows(9, 4), rows(9, 4, 1))
    assert "separability" not in with_positives.figures  # nine pairs cannot be split


def test_it_is_json():
    document = json.loads(json.dumps(geometry.describe(rows(30, 4), rows(30, 4, 1)).as_dict()))
    assert document.keys() == {"figures", "spectrum", "histograms", "findings"}
    assert document["findings"][0].keys() == {"level", "name", "message"}
    assert sum(document["histograms"]["positives"]["counts"]) == 30


def test_figures_of_pairs_are_computed_on_a_seeded_sample_and_the_others_on_all():
    x, y = pairs(400, 6)
    found = geometry.describe(x, y, labels=[i % 4 for i in range(400)], max_rows=100, seed=3)
    assert (found.figures["rows"], found.figures["pair_rows"], found.figures["uniformity_rows"]) == (400, 100, 100)
    assert sum(found.histograms["negatives"].counts) == 100 * 99
    assert found.figures["uniformity"] == pytest.approx(geometry.uniformity(x, max_rows=100, seed=3), rel=1e-5)
    whole = geometry.describe(x, y, labels=[i % 4 for i in range(400)], max_rows=None)
    for name in ("effective_rank", "mean_cosine", "alignment", "tolerance", "dead_dimensions"):
        assert found.figures[name] == whole.figures[name]
    assert whole.figures["pair_rows"] == 400
    again = geometry.describe(x, y, labels=[i % 4 for i in range(400)], max_rows=100, seed=3)
    assert again.figures == found.figures


# Healthy spaces


@pytest.fixture(scope="module")
def definitions() -> list[dict[str, str]]:
    """Definitions and words of WordNet, drawn at random."""
    table = open_table("demo:wordnet", columns=(Column("query", Text), Column("positive", Text)))
    return table.rows(torch.randperm(len(table), generator=torch.Generator().manual_seed(0))[:400].tolist())


@pytest.mark.parametrize("layers", [None, 2])
def test_nothing_is_said_of_a_healthy_encoder(layers, definitions, minilm):
    """The packaged encoder, and two layers of it as they are cut off: untrained, but no broken space."""
    model = minilm if layers is None else load_text_encoder(TextEncoderConfig(encoder_layers=layers))
    queries, words = [row["query"] for row in definitions], [row["positive"] for row in definitions]
    x, y = model.encode(queries), model.encode(words)
    for count in (20, 50, 400):
        for temperature in (0.01, 0.05, 0.2):
            found = geometry.describe(x[:count], y[:count], texts=queries[:count], temperature=temperature)
            assert found.findings == (), (count, temperature)
        assert geometry.describe(y[:count], temperature=0.05).findings == ()


def test_nothing_is_said_of_a_space_in_training(definitions, tmp_path):
    model = likewise.train("pairs", definitions[:300], out=tmp_path / "run", steps=10, batch_size=32, lr=2e-4,
                           encoder_layers=2, progress=False)  # fmt: skip
    x, y = (model.encode([row[side] for row in definitions[300:]]) for side in ("query", "positive"))
    assert geometry.describe(x, y, temperature=0.05).findings == ()


@pytest.mark.parametrize(("count", "dim"), [(20, 384), (50, 384), (300, 384), (800, 384), (400, 16), (100, 3)])
def test_nothing_is_said_of_random_directions(count, dim):
    x, y = pairs(count, dim)
    assert geometry.describe(x, y, temperature=0.05).findings == ()


def test_nothing_is_said_of_a_handful_of_rows():
    assert geometry.describe(torch.ones(19, 4)).findings == ()
    assert names(geometry.describe(torch.ones(20, 4))) == ["constant"]


# Broken spaces


def rank_three(count: int, dim: int) -> torch.Tensor:
    return rows(count, 3) @ rows(3, dim, 1)


def with_hubs(count: int, dim: int) -> torch.Tensor:
    x = rows(count, dim)
    x[:, 0] += 5
    x[::400] = x.mean(dim=0)
    return x


def dead(count: int, dim: int, share: float) -> torch.Tensor:
    x = rows(count, dim)
    x[:, : round(share * dim)] = 0
    return x


def in_a_cone(count: int, dim: int, cosine: float) -> torch.Tensor:
    """Rows with this mean cosine."""
    common = torch.zeros(dim)
    common[1] = (dim * cosine / (1 - cosine)) ** 0.5
    return rows(count, dim) + common


BROKEN = {
    "constant": lambda: geometry.describe(rows(1, 32).repeat(300, 1)),
    "low_rank": lambda: geometry.describe(rank_three(300, 32)),
    "cone": lambda: geometry.describe(in_a_cone(300, 32, 0.95)),
    "positives": lambda: geometry.describe(pairs(300, 32)[0], pairs(300, 32)[1].roll(1, 0)),
    "gap": lambda: geometry.describe(in_a_cone(300, 32, 0.6), -in_a_cone(300, 32, 0.6) + 2 * rows(300, 32)),
    "dead_dimensions": lambda: geometry.describe(dead(300, 32, 0.25)),
    "duplicates": lambda: geometry.describe(torch.cat([rows(300, 32), rows(300, 32)[:40]])),
    "hubs": lambda: geometry.describe(with_hubs(1200, 32)),
    "flat_temperature": lambda: geometry.describe(*pairs(300, 32), temperature=5.0),
    "sharp_temperature": lambda: geometry.describe(*pairs(300, 32), temperature=1e-4),
    "length": lambda: geometry.describe(
        torch.cat([rows(300, 8), 10 * _clock(300)], dim=1), texts=["word " * (1 + i % 30) for i in range(300)]
    ),
}


def _clock(count: int) -> torch.Tensor:
    """Directions that tell the length of the text, up to 29 words more."""
    angle = (torch.arange(count) % 30) / 30
    return torch.stack([angle.cos(), angle.sin()], dim=1)


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_space_is_named_by_a_finding_of_its_own(name):
    found = BROKEN[name]()
    assert names(found) == [name]
    (finding,) = found.findings
    assert finding.level == "warning"
    assert ": " in finding.message
    assert finding.message.endswith(".")  # says what to do


def test_a_nearly_constant_encoder_is_constant():
    x = torch.ones(300, 32) + 0.05 * rows(300, 32)
    assert geometry.effective_rank(x, center=True) > 25  # what is left of the directions is noise
    assert names(geometry.describe(x)) == ["constant"]


def test_messages_hold_the_figures():
    (finding,) = geometry.describe(rank_three(500, 384)).findings
    assert finding.message.startswith("effective rank 3.0 of 384: the space has collapsed")


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in ("flat_temperature", "length")])
def test_findings_do_not_depend_on_order_length_of_rows_or_a_rotation(name):
    """The broken spaces again, each row at another length, shuffled and turned."""
    calls = []
    plain = geometry.describe

    def changed(x, y=None, **options):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(5))
        rotation = torch.linalg.qr(rows(x.shape[1], x.shape[1], 6)).Q
        lengths = torch.rand(len(x), 1, generator=torch.Generator().manual_seed(7)) + 0.5
        sides = [None if side is None else (lengths * side)[order] @ rotation for side in (x, y)]
        calls.append(len(x))
        return plain(*sides, **options)

    expected = BROKEN[name]()
    geometry.describe = changed
    try:
        found = BROKEN[name]()
    finally:
        geometry.describe = plain
    assert calls
    assert names(found) == names(expected)
    for figure in ("centered_effective_rank", "mean_cosine", "uniformity", "dead_dimensions", "duplicates"):
        assert found.figures[figure] == pytest.approx(expected.figures[figure], rel=1e-3, abs=1e-3), figure


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: geometry.describe(torch.ones(1, 3)), "describe: 1 row given; at least 2"),
        (lambda: geometry.describe(torch.ones(3, 3), torch.ones(2, 3)), r"describe: x is \[3, 3\] but y is \[2, 3\]"),
        (lambda: geometry.describe(torch.eye(3), labels=["a", "b", "a"]), "class 'b' has one row"),
        (lambda: geometry.describe(torch.eye(3), texts=["a"]), "for 3 rows"),
        (lambda: geometry.describe(torch.eye(3), temperature=0), "temperature is 0"),
        (lambda: geometry.describe(torch.eye(3), max_rows=1), "max_rows is 1"),
        (lambda: geometry.describe(torch.zeros(3, 3)), "row 0 is all zeros"),
    ],
)
def test_what_cannot_be_described_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


MEMORY = """
import sys, torch
from likewise import geometry
torch.set_num_threads(1)

def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

def describe(count):
    x = torch.randn(count, 16, generator=torch.Generator().manual_seed(0))
    geometry.describe(x, x + 0.3, labels=torch.arange(count) % 5, temperature=0.05, max_rows=None)

describe(64)  # what a first call sets up
before = peak_mb()
describe(int(sys.argv[1]))
print(peak_mb() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_memory_is_that_of_the_rows_and_not_of_the_pairs():
    """All pairs of 6,000 rows take 144 MB a copy; the rows take 0.4 MB."""
    done = subprocess.run([sys.executable, "-c", MEMORY, "6000"], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100
