"""A tower at any depth and width: what its layers say in one pass, and smaller towers that share its weights."""

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch.nn import functional as F
from torch.testing import assert_close

from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError


def padded(tower):
    """Let a tower run its texts padded, as one that cannot run them end to end."""
    tower.position_offset = None
    tower.transformer.config._attn_implementation = "sdpa"
    return tower


@pytest.fixture(scope="module")
def pre_norm(tmp_path_factory):
    """A small fresh transformer that puts a norm behind its last layer."""
    from transformers import ModernBertConfig, ModernBertModel

    folder = tmp_path_factory.mktemp("pre-norm")
    config = ModernBertConfig(
        vocab_size=30522, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=64, pad_token_id=0, bos_token_id=101, eos_token_id=102, cls_token_id=101,
        sep_token_id=102,
    )  # fmt: skip
    torch.manual_seed(0)
    ModernBertModel(config).save_pretrained(folder)
    load_text_encoder("all-MiniLM-L6-v2").tower.tokenizer.save_pretrained(folder)
    return load_text_encoder(TextEncoderConfig(encoder=str(folder), max_tokens=64))


def test_each_layer_is_pooled_as_the_hidden_states_of_transformers_are(minilm, sentences):
    """Depth 0 is what goes into the first layer; the checkpoint's own hidden states are the reference, text by text."""
    tower = padded(load_text_encoder(TextEncoderConfig(encoder_layers=3)))
    with torch.no_grad():
        found = tower(tower.tokenizer(sentences), return_layers=[0, 1, 2, 3])
        for i, text in enumerate(sentences):
            inputs = tower.tower.tokenizer([text], return_tensors="pt")
            states = tower.transformer(**inputs, output_hidden_states=True).hidden_states
            assert_close(found[i], torch.stack([state[0].mean(0) for state in states]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", ["end to end", "padded"])
def test_a_smaller_tower_gives_the_bits_of_the_whole_ones_layer(minilm, sentences, way):
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=3))
    tower = tower if way == "end to end" else padded(tower)
    tokens = tower.tokenizer(sentences)
    with torch.no_grad():
        several = tower(tokens, return_layers=[2, 3, 1])
        for place, layers in enumerate([2, 3, 1]):
            cut = tower.truncated(layers=layers)
            assert cut.packs == tower.packs
            assert torch.equal(cut(tokens), several[:, place])
    expected = F.normalize(several[:, 2, :40], dim=-1)
    assert torch.equal(tower.truncated(1, 40).encode(sentences, precision="fp32"), expected)


def test_whole_depth_and_width_are_the_tower_itself(tiny_tower, sentences):
    whole = tiny_tower.encode(sentences, precision="fp32")
    same = tiny_tower.truncated(layers=2, dims=384)
    assert torch.equal(same.encode(sentences, precision="fp32"), whole)
    assert same.fingerprint == tiny_tower.fingerprint
    assert tiny_tower.truncated(layers=1).fingerprint != tiny_tower.fingerprint


def test_upper_layers_are_not_run_and_weights_are_shared(tiny_tower):
    cut = tiny_tower.truncated(layers=1, dims=8)
    ran = []
    for place, layer in enumerate(tiny_tower.transformer.encoder.layer):
        layer.register_forward_hook(lambda *_, place=place: ran.append(place))
    cut.encode(["a dog"])
    assert ran == [0]
    assert (tiny_tower.num_layers, cut.num_layers, cut.dim) == (2, 1, 8)
    assert cut.token_embedding is tiny_tower.token_embedding
    assert cut.part == {"layers": 1, "dims": 8}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_saved_smaller_model_opens_in_sentence_transformers_with_equal_vectors(
    tmp_path, tiny_tower, sentences, precision
):
    cut = tiny_tower.truncated(layers=1, dims=24)
    cut.save(tmp_path / "small")
    vectors = cut.encode(sentences, precision=precision)
    again = load_text_encoder(tmp_path / "small")
    assert torch.equal(again.encode(sentences, precision=precision), vectors)
    assert (again.fingerprint, again.num_layers) == (cut.fingerprint, 1)
    theirs = SentenceTransformer(str(tmp_path / "small"), device="cpu").encode(sentences)
    assert_close(torch.tensor(theirs), vectors, rtol=1e-4, atol=1e-6 if precision == "fp32" else 2e-2)
    assert (vectors.norm(dim=1) - 1).abs().max() < 1e-5


def test_a_smaller_model_can_be_cut_again_and_trained(tiny_tower, sentences):
    twice = tiny_tower.truncated(dims=100).truncated(layers=1, dims=10)
    expected = tiny_tower.truncated(1, 10).encode(sentences, precision="fp32")
    assert torch.equal(twice.encode(sentences, precision="fp32"), expected)
    twice(twice.tokenizer(sentences)).sum().backward()
    assert tiny_tower.token_embedding.grad is not None


def test_a_final_norm_is_applied_to_every_layer(pre_norm, sentences):
    """The norm behind the last layer of a pre-norm transformer belongs to every depth: a cut one applies it too."""
    tokens = pre_norm.tokenizer(sentences)
    with torch.no_grad():
        found = pre_norm(tokens, return_layers=[1, 2, 3])
        for layers in (1, 2, 3):
            assert torch.equal(found[:, layers - 1], pre_norm.truncated(layers)(tokens))
    assert len(pre_norm.truncated(2).transformer.config.layer_types) == 2


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_gradients_through_layers_are_those_of_a_pass_for_each(tiny_tower, sentences, micro_batch):
    tokens = tiny_tower.tokenizer(sentences)
    weights = torch.linspace(-1, 1, 8 * 2 * 384).view(8, 2, 384)

    def gradients(features):
        tiny_tower.zero_grad(set_to_none=True)
        (features * weights).sum().backward()
        return {name: p.grad for name, p in tiny_tower.named_parameters() if p.grad is not None}

    apart = gradients(torch.stack([tiny_tower.truncated(layers=1)(tokens), tiny_tower(tokens)], 1))
    tiny_tower.micro_batch = micro_batch
    together = gradients(tiny_tower(tokens, return_layers=[1, 2]))
    assert apart.keys() == together.keys()
    for name, gradient in apart.items():
        assert_close(together[name], gradient, rtol=1e-4, atol=1e-4)  # sums over 8 texts of features of size 1


def test_texts_encoded_together_have_layers_too_and_no_texts_have_none(tiny_tower, sentences):
    first, second = tiny_tower.tokenizer(sentences[:3]), tiny_tower.tokenizer(sentences[3:])
    with torch.no_grad():
        found = tiny_tower.together(first, second, return_layers=[1, 2])
        assert_close(found[1], tiny_tower(second, return_layers=[1, 2]), rtol=1e-4, atol=1e-5)
    assert tiny_tower(tiny_tower.tokenizer([]), return_layers=[0, 2]).shape == (0, 2, 384)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"layers": 0}, "layers is 0; the model '.*small-minilm' has 2, use 1 to 2"),
        ({"layers": 3}, "layers is 3"),
        ({"dims": 0}, "dims is 0; an embedding of '.*small-minilm' has 384 numbers, keep 1 to 384"),
        ({"dims": 385}, "dims is 385"),
    ],
)
def test_sizes_that_are_not_there_are_refused(tiny_tower, given, says):
    with pytest.raises(InputError, match=says):
        tiny_tower.truncated(**given)


def test_towers_without_layers_of_their_own_are_refused(tiny_tower, sentences):
    tokens = tiny_tower.tokenizer(sentences)
    with pytest.raises(InputError, match="has 2 layers, so there is no output of layer 3"):
        tiny_tower(tokens, return_layers=[3])
    mixed = load_text_encoder(TextEncoderConfig(encoder_layers=2, pooling="last_two"))
    for use in (lambda: mixed(tokens, return_layers=[1]), lambda: mixed.truncated(layers=1)):
        with pytest.raises(InputError, match="mixes several layers"):
            use()
    assert mixed.truncated(dims=7).encode(["a"]).shape == (1, 7)
    with torch.no_grad():
        assert torch.equal(mixed(tokens, return_layers=[2])[:, 0], mixed(tokens))
    tiny_tower.transformer.config.num_hidden_layers = 5  # as one that runs its layers several times
    with pytest.raises(InputError, match="no list of transformer layers"):
        tiny_tower(tokens, return_layers=[1])
