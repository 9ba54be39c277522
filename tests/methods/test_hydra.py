"""The two forms of the method against their losses, how partners are drawn, and the map of classes."""

import csv

import pytest
import torch
from torch import nn

import likewise
from likewise.encoders import ImageEncoderConfig, load_image_encoder
from likewise.errors import InputError
from likewise.losses import info_nce, own_vs_negatives
from likewise.methods.vision.hydra import Config, Hydra
from likewise.products import relations
from methods.table_tower import TEMPERATURE, Reads, batch_of, table

TINY = {"hidden": 8, "head_size": 4, "gate_embedding": 6, "gate_hidden": 5}
SMALL = {"encoder": "mlp-16", "image_size": 8, "channels": 1, "augment": "glyph", "batch_size": 16, "precision": "fp32"}
LABELS = [0, 1, 0, 2, 1]


def on_table(**settings):
    torch.manual_seed(0)
    made = Hydra(Config(temperature=TEMPERATURE, classes=("a", "b", "c"), **TINY, **settings), Reads(table(5))).double()
    made.projector = nn.Identity()
    if made.momentum_tower is not None:
        made.momentum_tower.tower[1] = nn.Identity()
    return made


def test_simlap_is_the_mean_of_both_directions_under_one_gate():
    method = on_table().eval()
    labels = torch.tensor(LABELS)
    partners = method._partners(labels)
    gate = method.gate(labels, partners)
    first, second = (method.encoder.table[i : i + 5] for i in (0, 100))
    both = [
        own_vs_negatives(one, other, gate, labels, partners, temperature=TEMPERATURE).mean()
        for one, other in ((first, second), (second, first))
    ]
    assert method(batch_of(5, LABELS)).loss.item() == pytest.approx(sum(both).item() / 2, rel=1e-9)


def test_identical_pairs_and_an_open_gate_on_classes_of_their_own_are_symmetric_info_nce():
    method = on_table(pairs="identical", gate="open")
    method.gate.num_classes = 5
    first, second = (torch.nn.functional.normalize(method.encoder.table[i : i + 5], dim=1) for i in (0, 100))
    expected = info_nce(first, second, temperature=TEMPERATURE, symmetric=True).mean()
    assert method(batch_of(5, [4, 0, 3, 1, 2])).loss.item() == pytest.approx(expected.item(), rel=1e-9)


def test_with_a_momentum_tower_pictures_are_told_apart_too_and_keys_have_no_gradient():
    method = on_table(objective="moco", beta=3.0).eval()
    output = method(batch_of(5, LABELS))
    queries = method.predictor(method.encoder.table[[*range(5), *range(100, 105)]]).chunk(2)
    keys = [method.momentum_tower.tower[0].table[i : i + 5] for i in (0, 100)]
    unit = [[torch.nn.functional.normalize(one, dim=1) for one in both] for both in (queries, keys)]
    told = [info_nce(unit[0][i], unit[1][1 - i], temperature=TEMPERATURE).mean() for i in (0, 1)]
    assert output.terms["instance"].item() == pytest.approx(sum(told).item() / 2 / 4, rel=1e-9)
    output.loss.backward()
    assert method.momentum_tower.tower[0].table.grad is None
    assert method.encoder.table.grad is not None


def test_the_momentum_tower_follows_behind_the_step():
    method = on_table(objective="moco", momentum=0.9)
    before = method.momentum_tower.tower[0].table.clone()
    with torch.no_grad():
        method.encoder.table += 1.0
    method.after_step()
    torch.testing.assert_close(method.momentum_tower.tower[0].table, before + 0.1)


def test_partners_are_of_the_batch_of_the_own_class_or_of_any_other_and_change_by_step():
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    arbitrary = on_table()
    drawn = []
    for _ in range(6):
        drawn.append(arbitrary._partners(labels).tolist())
        arbitrary.after_step()
    assert all(sorted(one) == sorted(labels.tolist()) for one in drawn)
    assert len({tuple(one) for one in drawn}) > 1
    assert arbitrary._partners(labels).tolist() == arbitrary._partners(labels).tolist()
    assert torch.equal(on_table(pairs="identical")._partners(labels), labels)
    distinct = on_table(pairs="distinct")._partners(labels)
    assert (distinct != labels).all()
    assert ((distinct >= 0) & (distinct < 3)).all()


def test_a_batch_of_one_class_trains_nothing_and_says_so_once(caplog):
    method = on_table()
    for _ in range(2):
        output = method(batch_of(5, [1] * 5))
        assert output.loss.item() == 0.0
    output.loss.backward()
    assert not method.encoder.table.grad.any()
    assert sum("trains nothing" in record.message for record in caplog.records) == 1


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    likewise.train("hydra", digits[:60], out=folder, steps=3, progress=False, **SMALL, **TINY)
    return folder


def test_relations_are_those_of_the_gate_in_evaluation_mode(trained, tmp_path):
    from likewise.artefact import load_model
    from likewise.heads import PairGate

    found = likewise.use(trained, "relations", top=3, out=str(tmp_path / "map"))
    assert found.figures == {"classes": 10, "pairs": 55, "dimensions": 4}
    assert len(found.rows) == 3
    with (tmp_path / "map" / "relations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 55
    gate = PairGate.of(load_model(trained).kept["gate"])
    for row in rows[:5]:
        open_ones = gate(*(torch.tensor([int(row[name])]) for name in ("first", "second")))[0] > 0.5
        assert row["dimensions"].split() == [str(i) for i in open_ones.nonzero()[:, 0].tolist()]
        assert int(row["open"]) == int(open_ones.sum())
    of_three = likewise.use(trained, "relations", label="3").rows
    assert len(of_three) == 10
    assert all("3" in (row["first"], row["second"]) for row in of_three)


def test_the_map_is_a_page_on_which_classes_of_like_relations_stand_together(trained, tmp_path, browse):
    likewise.use(trained, "relations", label="3", out=str(tmp_path / "map"))
    seen = browse(tmp_path / "map" / "relations.html")
    seen.assert_sound()
    assert "All 10 classes" in seen.page.inner_text("body")
    mean = torch.full((6, 6), 0.1)
    for block in ([0, 3, 5], [1, 2, 4]):
        mean[torch.tensor(block)[:, None], torch.tensor(block)] = 0.9
    order = relations._neighbours_together(mean)
    assert sorted(map(sorted, (order[:3], order[3:]))) == [[0, 3, 5], [1, 2, 4]]
    assert relations._neighbours_together(mean[:2, :2]) == [0, 1]
    many = torch.rand(70, 70, generator=torch.Generator().manual_seed(0))
    many[:10], many[:, :10] = 0, 0
    assert set(relations._neighbours_together(many)) == set(range(10, 70))


def test_the_tower_alone_is_the_model(trained, digits):
    assert likewise.load(trained).dim == 16


def test_what_cannot_be_used_is_said_in_a_sentence(trained, digits, tmp_path):
    for settings, message in (
        ({"top": 0}, "top is 0"),
        ({"threshold": 1.0}, r"threshold is 1\.0"),
        ({"label": "13"}, "unknown class '13'"),
    ):
        with pytest.raises(InputError, match=message):
            likewise.use(trained, "relations", **settings)
    for settings, message in (
        ({"head_size": 0}, "head_size is 0"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"beta": -1.0}, r"beta is -1\.0"),
        ({"momentum": 0.5}, "momentum is of the objective moco"),
    ):
        with pytest.raises(InputError, match=message):
            Config(**settings)
    encoder = load_image_encoder(ImageEncoderConfig(encoder="mlp-8", image_size=8, channels=1))
    with pytest.raises(InputError, match=r"momentum is 1\.0"):
        Hydra(Config(objective="moco", momentum=1.0, **TINY), encoder)
    one_class = [{**row, "label": 3} for row in digits[:20]]
    with pytest.raises(InputError, match="at least 2 classes"):
        likewise.train("hydra", one_class, out=tmp_path / "run", progress=False, **SMALL)
