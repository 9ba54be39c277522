"""Calibration: by hand, rotations that are found again, and what keeps a rotation out."""

import logging

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from likewise.encoders import Calibrator, calibration
from likewise.encoders.calibration import mutual_neighbours, procrustes
from likewise.errors import InputError

ROWS = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 4.0]], dtype=torch.float64)


def clouds(number, dim=12, seed=0):
    """Rows of an uneven space, of which no two directions are alike."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(number, dim, generator=generator, dtype=torch.float64)
    return rows * torch.linspace(3, 0.3, dim, dtype=torch.float64) + rows[:, :1].square()


def rotation(dim, size=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn).Q if size is None else torch.matrix_exp(size * (drawn - drawn.T))


def test_shift_and_scale_by_hand():
    calibrator = Calibrator.fit({"en": ROWS}, "en")
    domain = calibrator.domains["en"]
    torch.testing.assert_close(domain.shift, torch.tensor([3.0, 4.0], dtype=torch.float64))
    torch.testing.assert_close(1 / domain.matrix.diagonal(), torch.full((2,), 1.63299316, dtype=torch.float64))
    torch.testing.assert_close(
        calibrator.transform(ROWS, "en"),
        torch.tensor([[-1.22474487, -1.22474487], [0.0, 1.22474487], [1.22474487, 0.0]], dtype=torch.float64),
    )


def test_procrustes_finds_the_rotation_and_is_always_orthogonal():
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(procrustes(ROWS, ROWS @ turn), turn, rtol=0, atol=1e-12)
    for seed in range(5):
        found = procrustes(clouds(20, seed=seed), clouds(20, seed=seed + 9))
        torch.testing.assert_close(found.T @ found, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-12)


def test_dead_coordinates_are_left_alone_and_weak_ones_are_not_blown_up():
    rows = clouds(100)
    rows[:, 3] = 5.0
    rows[:, 4] = rows[:, 4] * 1e-9
    scale = Calibrator.fit({"en": rows}, "en").domains["en"].matrix.diagonal()
    std = rows.std(0, correction=0)
    assert scale[3] == 1
    assert scale[4] == pytest.approx(float(1 / (1e-3 * std.median())))
    torch.testing.assert_close(scale[5:], 1 / std[5:])


def test_mutual_neighbours_are_those_of_a_loop():
    x, y = (normalize(clouds(n, seed=n), dim=1).numpy() for n in (17, 23))
    cosine = x @ y.T
    near_x = np.sort(cosine, axis=1)[:, -4:].mean(1)
    near_y = np.sort(cosine, axis=0)[-4:].mean(0)
    csls = 2 * cosine - near_x[:, None] - near_y[None]
    pairs = [(i, int(csls[i].argmax())) for i in range(17) if csls[:, csls[i].argmax()].argmax() == i]
    found = mutual_neighbours(torch.from_numpy(x), torch.from_numpy(y), k=4)
    assert list(zip(found.x.tolist(), found.y.tolist(), strict=True)) == pairs
    assert found.score == pytest.approx(np.mean([csls[pair] for pair in pairs]))


def accuracy(calibrator, rows, turned):
    x = normalize(calibrator.transform(turned, "de"), dim=1)
    y = normalize(calibrator.transform(rows, "en"), dim=1)
    return float(((x @ y.T).argmax(1) == torch.arange(len(x))).double().mean())


def spaces(turn):
    """One space and a turned, stretched, moved copy of it: sentences to fit on, and others that are each other's."""
    fitted, other, measured = clouds(300, seed=1), clouds(300, seed=2), clouds(200, seed=3)
    move = lambda rows: 3 * rows @ turn + 7  # noqa: E731
    return {"en": fitted, "de": torch.cat([move(other), move(fitted[:150])])}, measured, move(measured)


def test_translations_turn_a_language_to_the_pivot():
    data, measured, turned = spaces(rotation(12))
    anchors = clouds(40, seed=4)
    pairs = {"de": (3 * anchors @ rotation(12) + 7, anchors)}
    plain = Calibrator.fit(data, "en")
    calibrated = Calibrator.fit(data, "en", rotate="procrustes", anchors=pairs)
    before, after = calibrated.scores["de"]
    assert after > before
    assert accuracy(plain, measured, turned) < 0.2
    assert accuracy(calibrated, measured, turned) > 0.6


def test_a_small_turn_is_found_without_translations(monkeypatch):
    monkeypatch.setattr(calibration, "STEPS", 20)
    data, measured, turned = spaces(rotation(12, size=0.15))
    plain = Calibrator.fit(data, "en")
    calibrated = Calibrator.fit(data, "en", rotate="unsupervised", seed=1)
    again = Calibrator.fit(data, "en", rotate="unsupervised", seed=1)
    assert torch.equal(calibrated.domains["de"].matrix, again.domains["de"].matrix)
    assert accuracy(calibrated, measured, turned) > accuracy(plain, measured, turned) + 0.1


def test_a_rotation_that_brings_nothing_closer_is_not_kept():
    data, _, _ = spaces(rotation(12))
    wrong = {"de": (clouds(30, seed=5), clouds(30, seed=6))}
    data["de"] = clouds(300, seed=1)  # lies as the pivot does already
    calibrator = Calibrator.fit(data, "en", rotate="procrustes", anchors=wrong)
    before, after = calibrator.scores["de"]
    assert after < before
    assert torch.equal(calibrator.domains["de"].matrix, Calibrator.fit(data, "en").domains["de"].matrix)


def test_the_adversarial_map_is_a_rotation_and_draws_from_no_global_generator(monkeypatch):
    monkeypatch.setattr(calibration, "STEPS", 5)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    found = calibration._adversarial(clouds(60), clouds(60, seed=1), seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(found @ found.T, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-9)
    assert not torch.equal(found, torch.eye(12, dtype=torch.float64))


def test_few_sentences_are_told(caplog):
    with caplog.at_level(logging.WARNING):
        Calibrator.fit({"en": clouds(24), "de": clouds(23)}, "en")
    assert [record.getMessage() for record in caplog.records] == [
        "there are 23 sentences of 'de' for embeddings of 12 numbers; mean and deviation take 24 or more"
    ]


@pytest.mark.parametrize(("call", "says"), [
    (lambda: Calibrator.fit({"en": ROWS}, "em"), "did you mean 'en'"),
    (lambda: Calibrator.fit({"en": ROWS}, "en", rotate="procrustus"), "did you mean 'procrustes'"),
    (lambda: Calibrator.fit({"en": ROWS, "de": ROWS}, "en", rotate="procrustes"), "no translations of 'de' into 'en'"),
    (lambda: Calibrator.fit({"en": ROWS, "de": ROWS[:1]}, "en"), "there is 1 sentence of 'de'"),
    (lambda: Calibrator.fit({"en": ROWS}, "en").transform(ROWS, "de"), "unknown language 'de'"),
])  # fmt: skip
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
