"""The checks of the specification on the nested loss, and its parity with the codes that were published."""

import copy
import itertools
import math
import random
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from likewise.errors import InputError
from likewise.losses import InfoNCE, Nested2D, NestedDraw, RowLosses, nested_widths
from likewise.losses.nested import compression, kl_rows
from likewise.memory import KeyQueue

TEACHER, STUDENT = torch.tensor([[1.0, 0.0, -1.0, 2.0]]).double(), torch.tensor([[0.0, 1.0, 0.0, 1.0]]).double()
VARIANTS = ("paper", "improved", "sbert", "ese")


def sample(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_loss(query, key, temperature):
    """The in-batch softmax over cosines, pair by pair."""

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    total = 0.0
    for i, row in enumerate(query):
        scores = [cosine(row, other) / temperature for other in key]
        total += math.log(sum(math.exp(s - max(scores)) for s in scores)) + max(scores) - scores[i]
    return total / len(query)


def plain_kl(teacher, student, temperature):
    """Mean over rows of the divergence over coordinates."""

    def softmax(values):
        powers = [math.exp(v / temperature) for v in values]
        return [p / sum(powers) for p in powers]

    total = 0.0
    for p, r in zip(map(softmax, teacher), map(softmax, student), strict=True):
        total += sum(a * math.log(a / b) for a, b in zip(p, r, strict=True))
    return total / len(teacher)


def test_the_divergence_of_the_specification():
    assert kl_rows(TEACHER, STUDENT, 1.0).item() == pytest.approx(0.32781333, abs=1e-8)
    raw = kl_rows(TEACHER, STUDENT, 0.3).item()
    assert raw == pytest.approx(0.68340191, abs=1e-8)
    assert (raw * 0.3, raw * 0.09) == pytest.approx((0.20502057, 0.06150617), abs=1e-8)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("paper", 0.06150617), ("improved", 0.20502057 * math.log(3)), ("sbert", 0.20502057)],
)
def test_each_variant_scales_the_divergence_as_its_code_does(variant, expected):
    nested = Nested2D(InfoNCE(), (2,), (1, 2), variant, kl_temperature=0.3)
    features = torch.stack([STUDENT, TEACHER], 1)
    terms = nested({"query": features, "key": features}, NestedDraw((1,), 2, 2, (1, 2)))
    assert terms["kl"].item() == pytest.approx(expected, abs=1e-8)


def test_equal_features_diverge_by_nothing_and_a_constant_changes_nothing():
    student = TEACHER.clone().requires_grad_()
    rows = kl_rows(TEACHER, student, 0.7)
    assert rows.item() == pytest.approx(0.0, abs=1e-12)
    (gradient,) = torch.autograd.grad(rows.sum(), student)
    assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)
    assert_close(kl_rows(TEACHER + 5, STUDENT - 3, 1.0), kl_rows(TEACHER, STUDENT, 1.0), rtol=1e-9, atol=0)


class Seen(torch.nn.Module):
    """An objective that takes down what it is given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, query, key):
        self.given.append(query)
        assert query.is_contiguous()
        return RowLosses((query - key).square().sum(1), torch.ones(len(query), dtype=torch.bool))


@pytest.mark.parametrize(("normalise", "expected"), [(True, [0.6, 0.8]), (False, [3.0, 4.0])])
def test_vectors_are_cut_before_they_get_unit_norm(normalise, expected):
    seen = Seen()
    nested = Nested2D(seen, (2,), (1, 2), normalise=normalise)
    features = torch.tensor([[[3.0, 4.0, 0.0, 12.0]] * 2])
    nested({"query": features, "key": features}, nested.draw())
    assert [len(vectors[0]) for vectors in seen.given] == [4, 2, 4, 2]
    assert_close(seen.given[1][0], torch.tensor(expected))


def test_the_ladder_of_widths():
    assert nested_widths(768) == (8, 16, 32, 64, 128, 256, 512)
    assert nested_widths(384) == (8, 16, 32, 64, 128, 256)
    assert nested_widths(384, "sbert")[-1] == 384
    assert nested_widths(768, "ese") == (128,)
    assert nested_widths(64, "ese") == (32,)
    with pytest.raises(InputError, match="an embedding of 8 numbers has no width of 8 below it; give dims"):
        nested_widths(8)


def draws(nested, count=200):
    found = []
    for _ in range(count):
        found.append(nested.draw())
        nested.after_step()
    return found


@given(depth=st.integers(2, 7), seed=st.integers(0, 2**31 - 1))
def test_depths_are_drawn_below_the_last_and_widths_from_the_list(depth, seed):
    nested = Nested2D(InfoNCE(), (8, 16), tuple(range(1, depth + 1)))
    nested.seed.fill_(seed)
    found = draws(nested)
    assert {draw.below for draw in found} == {(layer,) for layer in range(1, depth)}
    assert {draw.width for draw in found} == {8, 16}
    assert all(draw.layers == (*draw.below, depth) and draw.width == draw.width_below for draw in found)


def test_what_takes_part_in_each_variant():
    torch.manual_seed(0)
    two = draws(Nested2D(InfoNCE(), (8,), (1, 2)))
    assert {draw.below for draw in two} == {(1,)}
    sbert = draws(Nested2D(InfoNCE(), (8, 16), (0, 1, 2), "sbert"))
    assert {draw.below for draw in sbert} == {(0,), (1,)}
    assert {(draw.width, draw.width_below) for draw in sbert} == set(itertools.product((8, 16), repeat=2))
    assert {draw.below for draw in draws(Nested2D(InfoNCE(), (8,), (0, 1, 2, 3, 4), "ese"), 5)} == {(0, 1, 2)}


def test_the_draw_is_a_function_of_seed_and_step_that_is_saved():
    torch.manual_seed(3)
    first = Nested2D(InfoNCE(), nested_widths(384), range(1, 7))
    torch.manual_seed(3)
    second = Nested2D(InfoNCE(), nested_widths(384), range(1, 7))
    torch.manual_seed(4)
    third = Nested2D(InfoNCE(), nested_widths(384), range(1, 7))
    assert draws(first, 30) == draws(second, 30)
    assert draws(third, 30) != draws(copy.deepcopy(third), 30)  # goes on, does not begin again
    third.load_state_dict(first.state_dict())
    assert first.draw() == first.draw()
    assert draws(first, 30) == draws(third, 30)


def features_of(layers, rows=5, dim=16, sets=("query", "key")):
    return {name: sample(rows, layers, dim, seed=seed) for seed, name in enumerate(sets)}


@pytest.mark.parametrize(
    ("variant", "layer", "student", "divergence", "whole"),
    [
        ("paper", 4, 1.0, 1.0, True),
        ("improved", 4, 0.25, 1.79175947, True),
        ("sbert", 4, 0.2, 0.3, False),
        ("sbert", 0, 1.0, 0.3, False),
    ],
)
def test_one_layer_and_one_width_equal_a_plain_loop(variant, layer, student, divergence, whole):
    nested = Nested2D(InfoNCE(0.1), (4, 8), (*range(variant != "sbert", 6), 6), variant)
    features = features_of(2)
    terms = nested(features, NestedDraw((layer,), 4, 8 if variant == "sbert" else 4, (layer, 6)))
    query, key = (x.tolist() for x in features.values())

    def loss(place, width):
        return plain_loss([row[place][:width] for row in query], [row[place][:width] for row in key], 0.1)

    expected = {"narrow": loss(1, 4), "lower_narrow": student * loss(0, 8 if variant == "sbert" else 4)}
    if whole:
        expected |= {"whole": loss(1, 16), "lower": student * loss(0, 16)}
    texts = query + key
    temperature = 0.3 if variant == "sbert" else 1.0
    expected["kl"] = divergence * plain_kl([t[1] for t in texts], [t[0] for t in texts], temperature)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-8)


def test_espresso_equals_a_plain_loop():
    nested = Nested2D(InfoNCE(0.1), (4,), (0, 1, 2, 3), "ese")
    features = features_of(3)
    draw = nested.draw()
    assert draw.layers == (0, 1, 3)
    terms = nested(features, draw)
    query, key = features.values()
    every = torch.cat([query, key])

    def loss(place, width):
        return plain_loss(query[:, place, :width].tolist(), key[:, place, :width].tolist(), 0.1)

    def aligned(place):
        target, kept = compression(every[:, place], 4).tolist(), every[:, place, :4].tolist()
        squares = [(a - b) ** 2 for t, k in zip(target, kept, strict=True) for a, b in zip(t, k, strict=True)]
        return sum(squares) / len(squares) + plain_kl(target, kept, 1.0)

    shares = [1 / 2, 1 / (2 * (1 + math.log(2)))]
    expected = {
        "whole": loss(2, 16),
        "narrow": loss(2, 4),
        "lower_narrow": sum(share * loss(place, 4) for place, share in enumerate(shares)),
        "compression": aligned(2) + sum(share * aligned(place) for place, share in enumerate(shares)),
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-9)


def test_the_compression_keeps_the_principal_directions_with_signs_of_its_own():
    features = sample(30, 12).requires_grad_()
    found = compression(features, 5)
    assert not found.requires_grad
    matrix = torch.softmax(features.detach().T @ features.detach() / 12**0.5, dim=-1)
    # Left singular vectors times values are the eigenvectors of A A^T, in descending order, times roots.
    squares, vectors = torch.linalg.eigh(matrix @ matrix.T)
    for place in range(5):
        vector = vectors[:, -1 - place]
        vector = vector * vector[vector.abs().argmax()].sign()
        assert_close(found[:, place], features.detach() @ vector * squares[-1 - place].sqrt(), rtol=1e-9, atol=1e-9)


def hidden_states():
    """The layers 0 to 4 of 10 texts of 16 numbers, with which the reference numbers below were computed."""
    ramp = torch.linspace(-1, 1, 160, dtype=torch.float64).view(10, 16)
    states = [(ramp * (3 + i)).sin() + 0.1 * i * torch.arange(16, dtype=torch.float64).cos() for i in range(5)]
    return torch.stack(states, 1)  # texts are query, positive, query, positive ...


@pytest.mark.parametrize(
    ("variant", "layer", "expected"),
    [
        # SeanLee97/AnglE, angle_emb/angle.py: AngleTDMSETrainer.compute_loss at commits 74e5ba2 and cf7eeb4, run on
        # these hidden states with l = cross-entropy of cosines times 20, depth and width (8) given.
        ("paper", 2, 53.81144962722067),
        ("improved", 2, 47.13132094590538),
        ("improved", 3, 47.94669165364084),
    ],
)
def test_parity_with_the_authors_code(variant, layer, expected):
    nested = Nested2D(InfoNCE(1 / 20), (8,), (1, 2, 3, 4), variant)
    texts = hidden_states()[:, [layer, 4]]
    terms = nested({"query": texts[::2], "key": texts[1::2]}, NestedDraw((layer,), 8, 8, (layer, 4)))
    assert sum(term.item() for term in terms.values()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("kl_weight", "expected"), [(0.0, 47.93039839528425), (1.0, 50.29680319218527)])
def test_parity_with_espresso(kl_weight, expected):
    # SeanLee97/AnglE at commit 5155458, AngleESETrainer.compute_loss on the same hidden states, width 8: without the
    # compression, and with svd_lowrank replaced by the whole decomposition with signs as here (chance, there).
    nested = Nested2D(InfoNCE(1 / 20), (8,), range(5), "ese", kl_weight=kl_weight)
    draw = nested.draw()
    texts = hidden_states()[:, list(draw.layers)]
    terms = nested({"query": texts[::2], "key": texts[1::2]}, draw)
    assert sum(term.item() for term in terms.values()) == pytest.approx(expected, rel=1e-9)


def test_parity_with_sentence_transformers(tiny_tower, monkeypatch):
    """Loss and gradients of its ``Matryoshka2dLoss`` on a tower of two layers that ends in its pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import losses

    from likewise.encoders import TextEncoder

    model = SentenceTransformer(modules=list(tiny_tower.tower)[:-1])
    ours = TextEncoder(model, "two layers", like=tiny_tower).eval()
    model.eval()
    texts = [["a dog runs", "trains leave every hour", "bread"], ["the dog is running", "a train each hour", "a loaf"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = losses.Matryoshka2dLoss(
            model, losses.MultipleNegativesRankingLoss(model), [384, 32], layer_weighting="linear"
        )
    nested = Nested2D(InfoNCE(1 / 20), (32, 384), (0, 1, 2), "sbert", detach_teacher=True)
    picks = iter([[1], [1], [0]])  # the width of the last layer, the depth, the width of that layer
    monkeypatch.setattr(random, "sample", lambda several, _: [several[next(picks)[0]]])
    model[0].auto_model.config._attn_implementation = "sdpa"
    columns = [{k: v for k, v in model.tokenize(side).items() if torch.is_tensor(v)} for side in texts]
    theirs(columns, torch.zeros(3)).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model[0].auto_model.config._attn_implementation = "likewise_packed"
    draw = NestedDraw((1,), 32, 384, (1, 2))
    query, key = (ours(ours.tokenizer(side), return_layers=draw.layers) for side in texts)
    sum(nested({"query": query, "key": key}, draw).values()).backward()
    for name, gradient in expected.items():
        assert_close(dict(model.named_parameters())[name].grad, gradient, rtol=1e-4, atol=1e-5)


def test_without_lower_layers_and_at_full_width_it_is_twice_the_objective():
    features = {name: vectors[:, -1:] for name, vectors in features_of(2).items()}
    loss = InfoNCE(0.1)
    whole = loss(*(F.normalize(vectors[:, 0], dim=-1) for vectors in features.values())).mean()
    paper = Nested2D(loss, (16,), (1, 2), layer_weight=0.0, kl_weight=0.0)
    terms = paper(features, paper.draw())
    assert paper.draw().layers == (2,)
    assert sum(terms.values()).item() == pytest.approx(2 * whole.item(), rel=1e-9)
    sbert = Nested2D(loss, (16,), (2,), "sbert")
    assert sum(sbert(features, sbert.draw()).values()).item() == pytest.approx(whole.item(), rel=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradient_is_that_of_finite_differences(variant):
    nested = Nested2D(InfoNCE(0.5), (4,), (0, 1, 2, 3) if variant in ("sbert", "ese") else (1, 2, 3), variant)
    draw = nested.draw()
    features = [x[:, : len(draw.layers), :6].contiguous().requires_grad_() for x in features_of(3, 3).values()]
    # The compression is a constant in the gradient; held as one here for the differences too.
    held = [compression(torch.cat([x.detach()[:, place] for x in features]), 4) for place in range(len(draw.layers))]

    def of_features(query, key):
        nested._aligned = lambda kept, width: _distance(kept[:, :width], held[_place(kept, query, key)])
        return sum(nested({"query": query, "key": key}, draw).values())

    def _place(kept, query, key):
        both = torch.cat([query, key])
        return next(place for place in range(both.shape[1]) if torch.equal(both[:, place], kept))

    def _distance(kept, target):
        return ((kept - target).square().mean(1) + kl_rows(target, kept, 1.0)).mean()

    assert torch.autograd.gradcheck(of_features, features)


@pytest.mark.parametrize("detach", [False, True])
def test_the_divergence_reaches_the_teacher_unless_it_is_detached(detach):
    nested = Nested2D(InfoNCE(0.5), (4,), (1, 2), detach_teacher=detach)
    features = {name: vectors.requires_grad_() for name, vectors in features_of(2).items()}
    nested(features, nested.draw())["kl"].backward()
    lower, last = features["query"].grad.unbind(1)
    assert lower.abs().sum() > 0
    assert bool(last.abs().sum() > 0) != detach


@pytest.mark.parametrize(
    ("weighting", "expected"), [("uniform", 1.0), ("linear", 0.25), ("log", 1 / (1 + math.log(4)))]
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_layers_can_be_weighted_as_another_variant_does(variant, weighting, expected):
    nested = Nested2D(InfoNCE(), (8,), (1, 2, 3, 4, 5), variant, layer_weighting=weighting)
    assert nested._layer_weight(3) == pytest.approx(expected)


def test_hard_negatives_and_a_learned_temperature_go_through_it():
    nested = Nested2D(InfoNCE(0.1, learnable=True), (8,), (1, 2))
    features = features_of(2, sets=("query", "key", "negatives"))
    terms = nested(features, nested.draw())
    without = nested({name: features[name] for name in ("query", "key")}, nested.draw())
    assert all(terms[name] > without[name] for name in ("whole", "narrow", "lower", "lower_narrow"))
    sum(terms.values()).backward()
    assert nested.base_loss.log_scale.grad.abs() > 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dims": ()}, "dims is (); give one width or more"),
        ({"dims": (8, 0)}, "dims is (8, 0)"),
        ({"dims": (8, 8)}, "dims is (8, 8)"),
        ({"dims": (8, 16), "variant": "ese", "layers": (0, 1, 2)}, "the variant 'ese' has one width"),
        ({"layers": (0, 1, 2)}, "layers is (0, 1, 2); each is a number of layers, 1 or more"),
        ({"layers": (2, 1)}, "ascending order"),
        ({"layers": (2, 2)}, "given once"),
        ({"layers": (2,)}, "needs at least two layers"),
        ({"layers": (1,), "variant": "ese"}, "needs at least two layers"),
        ({"kl_temperature": 0.0}, "kl_temperature is 0.0"),
        ({"kl_weight": -1.0}, "kl_weight is -1.0"),
        ({"layer_weight": math.nan}, "layer_weight is nan"),
        ({"variant": "papr"}, "did you mean 'paper'"),
        ({"layer_weighting": "lin"}, "linear"),
    ],
)
def test_what_cannot_be_is_refused(settings, says):
    given = {"dims": (8,), "layers": (1, 2), **settings}
    with pytest.raises(InputError) as refused:
        Nested2D(InfoNCE(), given.pop("dims"), given.pop("layers"), given.pop("variant", "paper"), **given)
    assert says in str(refused.value)


def test_an_objective_that_keeps_vectors_is_refused():
    class WithQueue(Seen):
        def __init__(self):
            super().__init__()
            self.queue = KeyQueue(4, 16)

    with pytest.raises(ValueError, match=r"the objective WithQueue keeps 'queue\.\w+' from call to call"):
        Nested2D(WithQueue(), (8,), (1, 2))


def test_features_of_other_depths_or_too_few_numbers_are_refused():
    nested = Nested2D(InfoNCE(), (8,), (1, 2))
    for features in (features_of(3), features_of(2, dim=6)):
        with pytest.raises(ValueError, match=r"Nested2D: query is \[5, .* is accepted"):
            nested(features, nested.draw())
