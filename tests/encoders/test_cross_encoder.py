"""Pairs read as one text, and models of other libraries that score them."""

import pytest
import torch
from torch.testing import assert_close

from likewise.data.assets import packaged_encoder
from likewise.encoders import CrossEncoder, JointEncoder, Tokens, load_cross_encoder
from likewise.errors import InputError

PAIRS = [("a small house for a dog", "kennel"), ("bread", "the river bends around the old town"), ("a", "b")]


def sides(pairs):
    return [a for a, _ in pairs], [b for _, b in pairs]


def test_a_pair_is_one_text_with_both_sides_told_apart(tiny_tower):
    tokens = tiny_tower.tokenizer.pairs(*sides(PAIRS))
    inner = tiny_tower.tokenizer.tokenizer
    for (a, b), ids, segments in zip(
        PAIRS, tokens.ids.split(tokens.lengths.tolist()), tokens.segments.split(tokens.lengths.tolist()), strict=True
    ):
        made = inner(a, b)
        assert ids.tolist() == made["input_ids"]
        assert segments.tolist() == made["token_type_ids"]


def test_what_is_too_long_is_cut_on_both_sides_together(tiny_tower):
    tokens = tiny_tower.tokenizer.pairs(["word " * 100], ["other"])
    assert tokens.lengths.tolist() == [32]
    assert tokens.segments[-2:].tolist() == [1, 1]  # the short side is whole


def test_segments_go_where_their_tokens_go():
    rows = [[5, 6, 7], [8], [9, 10]]
    tokens = Tokens(*vars(Tokens.from_lists(rows)).values())
    tokens = Tokens(tokens.ids, tokens.lengths, 0, torch.tensor([0, 0, 1, 0, 0, 1]))
    index = torch.tensor([2, 0])
    assert tokens.select(index).segments.tolist() == [0, 1, 0, 0, 1]
    assert tokens.repeat(2).segments.tolist() == [0, 0, 1, 0, 0, 1] * 2
    assert tokens.followed_by(tokens).segments.tolist() == [0, 0, 1, 0, 0, 1] * 2
    assert tokens.padded_segments().tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert tokens.to("cpu").segments.tolist() == [0, 0, 1, 0, 0, 1]
    with pytest.raises(ValueError, match="pairs with segments and single texts cannot share one pass"):
        tokens.followed_by(Tokens.from_lists([[1]]))


def test_pairs_end_to_end_score_as_padded_ones_do(tiny_tower):
    torch.manual_seed(0)
    joint = JointEncoder(tiny_tower, 2).eval()
    assert tiny_tower.packs
    tokens = tiny_tower.tokenizer.pairs(*sides(PAIRS))
    ids, mask = tokens.padded(0)
    with torch.no_grad():
        scores = joint(tokens)
        model = tiny_tower.transformer
        model.config._attn_implementation = "sdpa"
        hidden = model(input_ids=ids, attention_mask=mask, token_type_ids=tokens.padded_segments()).last_hidden_state
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        assert_close(scores, joint.head(pooled), rtol=1e-4, atol=1e-5)


def test_scoring_is_in_evaluation_mode_in_the_order_of_the_pairs_and_counts_passes(tiny_tower):
    joint = JointEncoder(tiny_tower, 1).train()
    scores = joint.score(PAIRS, batch_size=2)
    assert torch.equal(scores, joint.score(PAIRS, batch_size=2))
    assert joint.training
    assert joint.passes == 6
    assert_close(joint.score(PAIRS[::-1]), scores.flip(0), rtol=1e-4, atol=1e-5)
    assert joint.score([]).shape == (0, 1)
    assert isinstance(joint, CrossEncoder)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A sequence classifier as transformers saves it, of one layer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = str(packaged_encoder("all-MiniLM-L6-v2"))
    torch.manual_seed(1)
    names = {0: "no", 1: "maybe", 2: "yes"}
    model = AutoModelForSequenceClassification.from_pretrained(
        source, num_labels=3, num_hidden_layers=1, id2label=names, label2id={v: k for k, v in names.items()}
    )
    folder = tmp_path_factory.mktemp("classifier")
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder, model.eval()


def test_a_classifier_of_transformers_gives_its_logits_and_its_names(classifier):
    folder, model = classifier
    loaded = load_cross_encoder(str(folder))
    assert loaded.score_names == ("no", "maybe", "yes")
    from transformers import AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(folder)(*sides(PAIRS), padding=True, return_tensors="pt")
    with torch.no_grad():
        assert_close(loaded.score(PAIRS), model(**inputs).logits, rtol=1e-4, atol=1e-5)
    assert loaded.passes == 3
    assert loaded.fingerprint == load_cross_encoder(str(folder)).fingerprint
    assert loaded.score([]).shape == (0, 3)
    assert isinstance(loaded, CrossEncoder)


def test_a_cross_encoder_of_sentence_transformers_is_opened_too(classifier, tmp_path):
    from sentence_transformers import CrossEncoder as Foreign

    folder, _ = classifier
    Foreign(str(folder), device="cpu").save_pretrained(str(tmp_path / "saved"))
    assert_close(load_cross_encoder(str(tmp_path / "saved")).score(PAIRS), load_cross_encoder(str(folder)).score(PAIRS))


def test_an_encoder_of_single_texts_is_refused_for_its_head_would_be_random():
    with pytest.raises(
        InputError, match=r"does not score pairs: it is a BertModel. Give a cross-encoder, or train one"
    ):
        load_cross_encoder("all-MiniLM-L6-v2")
