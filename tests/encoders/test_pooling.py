"""Reading a text at the mask token of a prompt: one vector a text, here and wherever the saved model is opened."""

import pickle

import pytest
import torch
from torch.testing import assert_close

import likewise
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError

TEXTS = ["a dog", "bread, and butter", "the river bends around the old town before it reaches the sea"]


def features_of(encoder, texts):
    """What the encoder makes of texts before it normalises."""
    return encoder.encode_tokens(encoder.tokenizer(texts), precision="fp32")


def wrapped(text):
    return f'This sentence : "{text}" means [MASK] .'


def at_the_mask(tower, texts):
    """The hidden vectors of the mask tokens, as the paper's code reads them, one text at a time."""
    tokenizer = tower.tower.tokenizer
    found = []
    for text in texts:
        tokens = tower.tokenizer([wrapped(text)])
        states = tower.eval().token_features(tokens)
        found.append(states[tokens.ids == tokenizer.mask_token_id])
    return torch.cat(found)


def test_the_vector_is_the_hidden_one_at_the_mask(tiny_tower):
    prompted = tiny_tower.pooled("prompt")
    assert prompted.pooling == "prompt"
    found = features_of(prompted, TEXTS)
    assert found.shape == (3, 384)
    assert_close(found, at_the_mask(tiny_tower, TEXTS), rtol=1e-4, atol=1e-5)
    assert_close(prompted.eval()(prompted.tokenizer(TEXTS)), found, rtol=1e-4, atol=1e-5)


def test_without_packing_it_is_the_same(tiny_tower):
    prompted = tiny_tower.pooled("prompt")
    tokens = prompted.tokenizer(TEXTS)
    tokens = tokens.select(prompted.order(tokens))
    assert prompted.packs
    packed = prompted.eval()._run(prompted.tower, tokens)
    prompted.transformer.config._attn_implementation = "sdpa"
    assert_close(prompted._run(prompted.tower, tokens, packed=False), packed, rtol=1e-4, atol=1e-5)


def test_a_long_text_is_cut_and_the_template_is_not(tiny_tower):
    prompted = tiny_tower.pooled("prompt")
    long = "the river bends around the old town " * 20
    tokens = prompted.tokenizer([long, ""])
    assert tokens.lengths.tolist() == [32, 10]
    words = prompted.tower.tokenizer.convert_ids_to_tokens(tokens.ids[:32])
    assert words[:5] == ["[CLS]", "this", "sentence", ":", '"']
    assert words[-5:] == ['"', "means", "[MASK]", ".", "[SEP]"]


@pytest.mark.parametrize("text", ["a [MASK] dog", "[MASK]"])
def test_a_text_that_holds_the_mask_token_itself_is_refused(tiny_tower, text):
    prompted = tiny_tower.pooled("prompt")
    with pytest.raises(InputError, match=r"'(a )?\[MASK\].*holds the token \[MASK\] itself.*read"):
        prompted.encode(["a dog", text])
    assert tiny_tower.encode([text]).shape == (1, 384)  # of no harm to other poolings


def test_a_text_whose_mask_was_cut_off_is_refused(tiny_tower):
    from dataclasses import replace

    tokenizer = replace(tiny_tower.tokenizer, once=tiny_tower.tower.tokenizer.mask_token_id)
    with pytest.raises(InputError, match=r"is left without the token \[MASK\]"):
        tokenizer([wrapped("word " * 100)])


def test_a_limit_that_leaves_no_room_for_the_text_is_refused():
    with pytest.raises(InputError, match="max_tokens is 10; the pooling 'prompt' needs 11 and more"):
        load_text_encoder(TextEncoderConfig(encoder_layers=1, max_tokens=10, pooling="prompt"))


def test_an_encoder_without_a_mask_token_is_refused(tiny_tower):
    tiny_tower.tower.tokenizer.mask_token = None
    with pytest.raises(InputError, match="this encoder has none; use mean or cls"):
        tiny_tower.pooled("prompt")


def test_asked_for_when_loading_it_is_the_same(tiny_tower, small_encoder):
    loaded = load_text_encoder(TextEncoderConfig(str(small_encoder), max_tokens=32, pooling="prompt"))
    assert loaded.fingerprint == tiny_tower.pooled("prompt").fingerprint
    assert loaded.fingerprint != tiny_tower.fingerprint
    expected = tiny_tower.pooled("prompt").encode(TEXTS, precision="fp32")
    assert_close(loaded.encode(TEXTS, precision="fp32"), expected, rtol=1e-4, atol=1e-5)


def test_the_saved_model_keeps_it_and_sentence_transformers_opens_it(tmp_path, tiny_tower):
    from sentence_transformers import SentenceTransformer

    prompted = tiny_tower.pooled("prompt")
    prompted.save(tmp_path / "model")
    ours = prompted.encode(TEXTS, precision="fp32")
    loaded = load_text_encoder(tmp_path / "model")
    assert (loaded.pooling, loaded.fingerprint) == ("prompt", prompted.fingerprint)
    assert_close(loaded.encode(TEXTS, precision="fp32"), ours, rtol=1e-4, atol=1e-5)
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(TEXTS)
    assert_close(torch.from_numpy(theirs), ours, rtol=1e-4, atol=1e-5)
    plain = loaded.pooled("mean")  # the template goes with the pooling
    own = tiny_tower.encode(TEXTS, precision="fp32")
    assert_close(plain.encode(TEXTS, precision="fp32"), own, rtol=1e-4, atol=1e-5)
    assert_close(likewise.load(tmp_path / "model", pooling="mean").encode(TEXTS, precision="fp32"), own)


def test_all_poolings_share_the_weights_and_say_what_they_are(tiny_tower):
    for name in ("cls", "mean", "last", "weighted", "prompt"):
        other = tiny_tower.pooled(name)
        assert other.pooling == name
        assert other.token_embedding is tiny_tower.token_embedding
    first = [tiny_tower.eval().token_features(tiny_tower.tokenizer([text]))[0].detach() for text in TEXTS]
    found = features_of(tiny_tower.pooled("cls"), TEXTS)
    assert_close(found, torch.stack(first), rtol=1e-4, atol=1e-5)
    assert load_text_encoder(TextEncoderConfig(encoder_layers=2, pooling="first_last")).pooling is None
    with pytest.raises(InputError, match="unknown pooling of the last layer 'first_last'"):
        tiny_tower.pooled("first_last")


def test_where_to_read_is_not_learned_and_goes_to_workers(tiny_tower):
    prompted = tiny_tower.pooled("prompt")
    assert not any(p.requires_grad for p in prompted.tower[1].parameters())
    tokenizer = pickle.loads(pickle.dumps(prompted.tokenizer))
    assert torch.equal(tokenizer(TEXTS).ids, prompted.tokenizer(TEXTS).ids)
    prompted(prompted.tokenizer(TEXTS)).sum().backward()
    assert tiny_tower.token_embedding.grad is not None


def test_learned_tokens_and_the_prompt_go_together():
    settings = TextEncoderConfig(encoder_layers=1, max_tokens=40, pooling="prompt", soft_prompt=2)
    encoder = load_text_encoder(settings)
    assert encoder.encode(["a dog"]).shape == (1, 384)
    assert encoder.tokenizer(["a dog"]).lengths.item() == 14


def test_one_process_and_micro_batches_agree(tiny_tower):
    prompted = tiny_tower.pooled("prompt").eval()
    tokens = prompted.tokenizer([*TEXTS, *TEXTS])
    whole = prompted(tokens)
    prompted.micro_batch = 2
    assert_close(prompted(tokens), whole, rtol=1e-4, atol=1e-5)
