"""Pooling of the top layers: worked out by hand, as the official poolers do, end to end as padded, saved and loaded."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from likewise.encoders import load_text_encoder
from likewise.errors import InputError
from likewise.heads import TopLayersPool

ROWS = torch.tensor([[9.0, 9.0], [1.0, 2.0], [3.0, 4.0], [100.0, 100.0]])
MASK = torch.tensor([[1, 1, 1, 0]])


def padded(*layers, mask=MASK):
    return {"all_layer_embeddings": tuple(layers), "attention_mask": mask}


def pooled(pool, features):
    return pool(features)["sentence_embedding"]


@pytest.mark.parametrize(
    ("reduce", "use_cls", "expected"),
    [
        ("mean", False, [2.0, 3.0]),
        ("mean", True, [13 / 3, 5.0]),
        ("sqrt", False, [4 / 2**0.5, 6 / 2**0.5]),
        ("sqrt", True, [13 / 3**0.5, 15 / 3**0.5]),
        ("max", False, [3.0, 4.0]),
        ("max", True, [9.0, 9.0]),
    ],
)
def test_the_first_token_is_left_out_unless_asked_for_and_padding_always(reduce, use_cls, expected):
    pool = TopLayersPool(1, "mean", reduce, use_cls, width=2)
    assert_close(pooled(pool, padded(ROWS[None])), torch.tensor([expected]))


def test_layers_lie_side_by_side_or_are_averaged():
    layers = [ROWS[None] * scale for scale in (7.0, 1.0, 10.0)]
    assert pooled(TopLayersPool(2, width=2), padded(*layers)).tolist() == [[2.0, 3.0, 20.0, 30.0]]
    assert pooled(TopLayersPool(2, "mean", width=2), padded(*layers)).tolist() == [[11.0, 16.5]]
    assert TopLayersPool(3, width=5).get_embedding_dimension() == 15
    assert TopLayersPool(3, "mean", width=5).get_embedding_dimension() == 5


@given(
    lengths=st.lists(st.integers(2, 5), min_size=1, max_size=5),
    m=st.integers(1, 3),
    mode=st.sampled_from(["concat", "mean"]),
    reduce=st.sampled_from(["mean", "sqrt", "max"]),
    use_cls=st.booleans(),
)
def test_texts_end_to_end_give_what_a_plain_loop_over_padded_ones_gives(lengths, m, mode, reduce, use_cls):
    generator = torch.Generator().manual_seed(sum(lengths))
    layers = [torch.randn(len(lengths), max(lengths), 3, generator=generator, dtype=torch.float64) for _ in range(4)]
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    pool = TopLayersPool(m, mode, reduce, use_cls, width=3)
    expected = []
    for row, length in enumerate(lengths):
        tokens = []
        for place in range(0 if use_cls else 1, length):
            top = [layer[row, place] for layer in layers[-m:]]
            tokens.append(torch.cat(top) if mode == "concat" else sum(top) / m)
        total = sum(tokens)
        scaled = {"mean": total / len(tokens), "sqrt": total / len(tokens) ** 0.5}
        expected.append(torch.stack(tokens).max(0).values if reduce == "max" else scaled[reduce])
    assert_close(pooled(pool, padded(*layers, mask=mask)), torch.stack(expected), rtol=1e-9, atol=1e-12)
    flat = [torch.cat([layer[row, :length] for row, length in enumerate(lengths)])[None] for layer in layers]
    ends = torch.tensor([0, *lengths]).cumsum(0)
    end_to_end = pooled(pool, {"all_layer_embeddings": tuple(flat), "cu_seq_lens_q": ends})
    assert_close(end_to_end, torch.stack(expected), rtol=1e-9, atol=1e-12)


def test_an_embedding_does_not_depend_on_its_batch(tiny_tower, sentences):
    tower = tiny_tower.pooled_by(TopLayersPool(2, width=384)).eval()
    assert tower.packs
    together = tower(tower.tokenizer(sentences))
    for text, vector in zip(sentences, together, strict=True):
        assert_close(tower(tower.tokenizer([text]))[0], vector, rtol=1e-5, atol=1e-6)


def test_it_is_saved_with_its_tower_and_opens_here_without_trust_and_there_with_it(tiny_tower, tmp_path):
    from sentence_transformers import SentenceTransformer

    tower = tiny_tower.pooled_by(TopLayersPool(2, "concat", "sqrt", True, width=384)).served()
    tower.save(tmp_path / "model")
    loaded = load_text_encoder(str(tmp_path / "model"))
    assert loaded.fingerprint == tower.fingerprint
    vectors = tower.encode(["a dog", "the river"], precision="fp32")
    assert torch.equal(loaded.encode(["a dog", "the river"], precision="fp32"), vectors)
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu", trust_remote_code=True)
    assert_close(torch.from_numpy(theirs.encode(["a dog", "the river"])), vectors, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="mixes several layers"):
        loaded.truncated(layers=1)


def test_another_setting_is_another_fingerprint(tiny_tower):
    prints = {
        tiny_tower.pooled_by(TopLayersPool(1, reduce=reduce, use_cls=cls, width=384)).fingerprint
        for reduce in ("mean", "sqrt", "max")
        for cls in (True, False)
    }
    assert len(prints) == 6


def test_a_text_of_padding_alone_is_refused_and_not_divided_by_zero():
    with pytest.raises(InputError, match="no token left to pool over"):
        TopLayersPool(1, width=2)(padded(ROWS[None], mask=torch.tensor([[1, 0, 0, 0]])))
    with pytest.raises(InputError, match="no token left to pool over"):
        TopLayersPool(1, use_cls=True, width=2)(padded(ROWS[None], mask=torch.tensor([[0, 0, 0, 0]])))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"m": 0}, "m is 0"),
        ({"m": 1, "mode": "sum"}, "mode is 'sum'; accepted are concat, mean"),
        ({"m": 1, "reduce": "min"}, "reduce is 'min'; accepted are mean, sqrt, max"),
    ],
)
def test_settings_that_cannot_be_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        TopLayersPool(**arguments, width=2)


def test_more_layers_than_there_are_are_refused():
    with pytest.raises(ValueError, match="3 layers are pooled, but the encoder has 2"):
        TopLayersPool(3, width=2)(padded(ROWS[None], ROWS[None], ROWS[None]))
