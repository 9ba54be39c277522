"""Independent components: isotropic to the promised digits, for new vectors too, and honest about what they are not."""

import pytest
import torch
from torch.testing import assert_close

from likewise.errors import InputError
from likewise.geometry import mean_cosine
from likewise.memory import IndependentComponents


def cone(number=600, width=6):
    """Vectors in a narrow cone, as those of an untrained language model are."""
    generator = torch.Generator().manual_seed(0)
    independent = torch.rand(number, width, generator=generator) ** 3
    return 4.0 + independent @ torch.randn(width, width, generator=generator)


def test_the_fitted_vectors_become_isotropic():
    raw = cone()
    ica = IndependentComponents.fit(raw)
    made = ica(raw).double() / 100
    assert made.mean(0).abs().max() < 1e-6
    assert_close(made.T @ made / len(made), torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-3)
    assert mean_cosine(raw) > 0.5
    assert abs(mean_cosine(made)) < 0.01
    assert 0 < ica.iterations < 1000


def test_components_are_found_up_to_order_and_sign():
    generator = torch.Generator().manual_seed(1)
    sources = torch.rand(4000, 3, generator=generator, dtype=torch.float64) - 0.5
    mixed = sources @ torch.randn(3, 3, generator=generator, dtype=torch.float64)
    found = IndependentComponents.fit(mixed)(mixed)
    alike = torch.corrcoef(torch.cat([sources, found], 1).T)[:3, 3:].abs()
    assert (alike.max(0).values > 0.99).all()
    assert sorted(alike.argmax(0).tolist()) == [0, 1, 2]


def test_the_scale_is_the_standard_deviation():
    made = IndependentComponents.fit(cone(), scale=7.0)(cone())
    assert_close(made.std(0, correction=0), torch.full((6,), 7.0), rtol=1e-4, atol=0)


def test_new_vectors_are_mapped_as_the_fitted_ones_were():
    raw = cone()
    ica = IndependentComponents.fit(raw)
    assert_close(torch.cat([ica(raw[:1]), ica(raw[1:3])]), ica(raw)[:3])
    # The map is affine, so the vector of a mean is the mean of the vectors.
    assert_close(ica(raw[:4].mean(0, keepdim=True)), ica(raw)[:4].mean(0, keepdim=True), rtol=1e-4, atol=1e-3)


def test_a_direction_without_variation_becomes_zeros_and_not_rounding():
    raw = cone()
    raw[:, 5] = 3.0 - raw[:, :5].sum(1)  # as after a layer norm: the numbers of every vector sum to one value
    made = IndependentComponents.fit(raw)(raw)
    assert torch.equal(made[:, 5], torch.zeros(len(made)))
    assert_close(made[:, :5].std(0, correction=0), torch.full((5,), 100.0), rtol=1e-3, atol=0)


def test_the_same_seed_gives_the_same_map():
    first, again = IndependentComponents.fit(cone()), IndependentComponents.fit(cone())
    assert torch.equal(first.matrix, again.matrix)
    assert not torch.allclose(IndependentComponents.fit(cone(), seed=1).matrix, first.matrix)


def test_too_few_vectors_are_refused():
    with pytest.raises(InputError, match="6 directions need at least as many vectors, and there are 5"):
        IndependentComponents.fit(cone(5))


def test_it_says_where_the_components_have_not_settled():
    said = []
    ica = IndependentComponents.fit(cone(), max_iterations=1, warn=said.append)
    assert len(said) == 1
    assert "have not settled after 1 iterations" in said[0]
    made = ica(cone()) / 100
    assert_close(made.T @ made / len(made), torch.eye(6), rtol=0, atol=1e-3)  # isotropic all the same
