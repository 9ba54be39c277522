import json
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from torch.testing import assert_close

from likewise.encoders import TextEncoder, TextEncoderConfig, Tokens, load_text_encoder
from likewise.encoders.base import Encoder
from likewise.encoders.packing import SLACK, Run, packed_attention, runs_of
from likewise.encoders.pretrained import Pooling
from likewise.errors import InputError

POOLINGS = Pooling.__args__


def gradients(tower, tokens, micro_batch):
    tower.zero_grad(set_to_none=True)
    tower.micro_batch = micro_batch
    features = tower(tokens)
    weights = torch.linspace(-1, 1, features.numel()).view_as(features)
    (features * weights).sum().backward()
    return {name: p.grad.clone() for name, p in tower.named_parameters() if p.grad is not None}


def test_texts_end_to_end_give_what_the_padded_pass_gives(minilm, sentences):
    tokens = minilm.tokenizer(sentences)
    tokens = tokens.select(minilm.order(tokens))
    assert minilm.packs
    with torch.no_grad():
        packed = minilm._run(minilm.tower, tokens, packed=True)
        plain, minilm.tower[0].auto_model.config._attn_implementation = (
            minilm.tower[0].auto_model.config._attn_implementation,
            "sdpa",
        )
        padded = minilm._run(minilm.tower, tokens, packed=False)
        minilm.tower[0].auto_model.config._attn_implementation = plain
    assert_close(packed, padded, rtol=1e-4, atol=1e-5)


LENGTHS = [[3, 3, 4], [1], [2, 2, 2], [1, 5, 6, 6, 7, 20]]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("causal", [False, True])
def test_packed_attention_equals_a_plain_loop_over_texts(lengths, causal):
    generator = torch.Generator().manual_seed(0)
    total = sum(lengths)
    query, key, value = (torch.randn(1, 2, total, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    runs = runs_of(torch.tensor(lengths))
    output, _ = packed_attention(torch.nn.Module(), query, key, value, None, runs=runs, is_causal=causal)
    assert output.shape == (1, total, 2, 5)
    start = 0
    for length in lengths:
        for head in range(2):
            for i in range(start, start + length):
                seen = range(start, i + 1 if causal else start + length)
                scores = [float(query[0, head, i] @ key[0, head, j]) / 5**0.5 for j in seen]
                weights = torch.softmax(torch.tensor(scores, dtype=torch.float64), 0)
                assert_close(output[0, i, head], weights @ value[0, head, list(seen)])
        start += length


def test_the_gradient_of_packed_attention_is_that_of_finite_differences():
    runs = runs_of(torch.tensor([2, 3, 3, 5]))
    inputs = [torch.randn(1, 1, 13, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(
        lambda q, k, v: packed_attention(torch.nn.Module(), q, k, v, None, runs=runs)[0], inputs
    )


@pytest.mark.parametrize("lengths", [[4, 4, 4], [2, 3, 3, 5, 40, 41], [300, 310]])
def test_bfloat16_attends_as_float32_does(lengths):
    """Short texts are multiplied out, long ones go through the fused kernel: the same but for rounding."""
    torch.manual_seed(0)
    runs = runs_of(torch.tensor(lengths))
    inputs = [torch.randn(1, 2, sum(lengths), 8) for _ in range(3)]
    seen = []
    weight = torch.randn(1, sum(lengths), 2, 8)
    for dtype in (torch.float32, torch.bfloat16):
        leaves = [x.to(dtype).requires_grad_() for x in inputs]
        output = packed_attention(torch.nn.Module(), *leaves, None, runs=runs)[0].float()
        seen.append([output.detach(), *(x.float() for x in torch.autograd.grad((output * weight).sum(), leaves))])
    for rounded, exact in zip(seen[1], seen[0], strict=True):
        assert torch.linalg.vector_norm(rounded - exact) < 0.01 * torch.linalg.vector_norm(exact)


def test_texts_encoded_together_have_the_vectors_they_have_apart(tiny_tower, sentences):
    first, second = tiny_tower.tokenizer(sentences[:3]), tiny_tower.tokenizer(sentences[3:])
    with torch.no_grad():
        for found, expected in zip(
            tiny_tower.together(first, second), (tiny_tower(first), tiny_tower(second)), strict=True
        ):
            assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_texts_with_prompts_of_their_own_are_encoded_apart(tiny_tower, sentences):
    tiny_tower.tower.prompts["query"] = "find: "
    queries, others = tiny_tower.tokenizer(sentences[:3], "query"), tiny_tower.tokenizer(sentences[3:])
    with torch.no_grad():
        found = tiny_tower.together(queries, others)
        assert [len(x) for x in found] == [3, len(sentences) - 3]
        assert_close(found[0], tiny_tower(queries), rtol=1e-4, atol=1e-5)


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30).map(sorted))
def test_runs_cover_every_token_once_and_pad_little(lengths):
    runs = runs_of(torch.tensor(lengths))
    assert [run.start for run in runs] == [0, *(run.stop for run in runs[:-1])]
    assert runs[-1].stop == sum(lengths)
    assert sum(run.texts for run in runs) == len(lengths)
    assert all(run.texts * run.tokens <= SLACK * (run.stop - run.start) for run in runs)
    assert all(isinstance(run, Run) and (run.place is None) == (run.mask is None) for run in runs)


def padded(tower):
    """Let a tower run its texts padded, as one that cannot run them end to end."""
    tower.position_offset = None
    tower.transformer.config._attn_implementation = "sdpa"
    return tower


@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("way", ["end to end", "padded"])
def test_features_of_tokens_are_those_of_each_text_alone(tiny_tower, sentences, way, micro_batch):
    tower = tiny_tower if way == "end to end" else padded(tiny_tower)
    tower.micro_batch = micro_batch
    tokens = tower.tokenizer(sentences * 5)  # more than one padded pass
    with torch.no_grad():
        features = tower.token_features(tokens)
        padded(tower)
        alone = [tower.tower[0]({"input_ids": ids[None], "attention_mask": torch.ones_like(ids[None])})
                 for ids in tokens.ids.split(tokens.lengths.tolist())]  # fmt: skip
    assert features.dtype == torch.float32
    assert_close(features, torch.cat([one["token_embeddings"][0] for one in alone]), rtol=1e-4, atol=1e-5)


def test_the_mean_of_a_texts_tokens_is_its_vector(tiny_tower, sentences):
    tokens = tiny_tower.tokenizer(sentences)
    with torch.no_grad():
        means = [part.mean(0) for part in tiny_tower.token_features(tokens).split(tokens.lengths.tolist())]
        assert_close(torch.stack(means), tiny_tower(tokens), rtol=1e-4, atol=1e-5)


def test_gradients_through_tokens_do_not_depend_on_the_micro_batch(tiny_tower, sentences):
    tokens, seen = tiny_tower.tokenizer(sentences), []
    for micro_batch in (None, 3):
        tiny_tower.micro_batch = micro_batch
        tiny_tower.zero_grad(set_to_none=True)
        features = tiny_tower.token_features(tokens)
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
        seen.append({name: p.grad.clone() for name, p in tiny_tower.named_parameters() if p.grad is not None})
    assert seen[0].keys() == seen[1].keys()
    for name, gradient in seen[0].items():
        assert_close(seen[1][name], gradient, rtol=1e-4, atol=1e-4)  # sums over 8 texts of features of size 1


def test_no_texts_have_no_tokens_and_give_every_weight_a_gradient_of_zero(tiny_tower):
    features = tiny_tower.token_features(tiny_tower.tokenizer([]))
    assert features.shape == (0, 384)
    features.sum().backward()
    trained = {name: p.grad for name, p in tiny_tower.named_parameters() if "pooler" not in name}
    assert all(grad is not None and not grad.any() for grad in trained.values())


def test_an_encoder_without_a_transformer_has_no_features_of_tokens():
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))  # noqa: S106 - no password
    tower = TextEncoder(SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=4)], device="cpu"), "static")
    with pytest.raises(InputError, match="the encoder 'static' has no transformer"):
        tower.token_features(Tokens.from_lists([[0, 1], [1]]))
    with pytest.raises(InputError, match="the encoder 'static' has no transformer"):
        _ = tower.token_embedding


@pytest.mark.parametrize("micro_batch", [1, 3, 8, 100])
def test_gradients_do_not_depend_on_the_micro_batch(tiny_tower, sentences, micro_batch):
    tokens = tiny_tower.tokenizer(sentences)
    whole = gradients(tiny_tower, tokens, None)
    chunked = gradients(tiny_tower, tokens, micro_batch)
    assert whole.keys() == chunked.keys()
    for name in whole:
        assert_close(chunked[name], whole[name], rtol=1e-4, atol=1e-5)


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=40), micro_batch=st.integers(1, 45))
def test_chunks_hold_every_text_once_and_like_numbers_of_tokens(lengths, micro_batch):
    tokens = Tokens.from_lists([[7] * length for length in lengths])
    tower = SimpleNamespace(micro_batch=micro_batch, cost=lambda inputs: inputs.lengths)
    order = torch.argsort(tokens.lengths, stable=True)
    chunks = Encoder.chunks(tower, tokens, order)
    assert torch.equal(torch.cat(chunks), order)
    assert all(len(chunk) for chunk in chunks)
    number = -(-len(lengths) // micro_batch)
    assert len(chunks) <= number
    assert all(tokens.lengths[chunk].sum() <= sum(lengths) / number + max(lengths) for chunk in chunks)


def test_under_dropout_a_micro_batch_is_computed_twice_with_the_same_mask(tiny_tower, sentences):
    tokens = tiny_tower.tokenizer(sentences)
    tiny_tower.train()
    torch.manual_seed(3)
    chunked = gradients(tiny_tower, tokens, 3)
    torch.manual_seed(3)  # the same chunks, kept in memory instead of computed again
    tiny_tower.zero_grad(set_to_none=True)
    order = tiny_tower.order(tokens)
    features = torch.cat([tiny_tower.encode_rows(tokens.select(part)) for part in tiny_tower.chunks(tokens, order)])
    features = features[torch.argsort(order)]
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    for name, parameter in tiny_tower.named_parameters():
        if parameter.grad is not None:
            assert torch.equal(parameter.grad, chunked[name]), name


def test_the_order_of_texts_only_orders_the_vectors(minilm, sentences):
    there = minilm.encode(sentences, precision="fp32")
    back = minilm.encode(sentences[::-1], precision="fp32").flip(0)
    assert_close(there, back, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_vectors_do_not_depend_on_the_batch_size(minilm, sentences, batch_size):
    expected = minilm.encode(sentences, precision="fp32")
    assert_close(minilm.encode(sentences, precision="fp32", batch_size=batch_size), expected, rtol=1e-5, atol=1e-6)


def test_bf16_vectors_point_where_fp32_ones_do(minilm, sentences):
    exact, rounded = minilm.encode(sentences, precision="fp32"), minilm.encode(sentences, precision="bf16")
    assert (exact * rounded).sum(1).min() > 0.999
    assert next(minilm.parameters()).dtype == torch.float32


def test_encoding_leaves_training_mode_as_it_was(tiny_tower):
    tiny_tower.train()
    tiny_tower.encode(["a"])
    assert tiny_tower.training
    assert torch.equal(tiny_tower.encode(["a"]), tiny_tower.encode(["a"]))


def test_no_texts_give_no_vectors(minilm):
    assert minilm.encode([]).shape == (0, 384)


def test_a_process_without_rows_gives_every_weight_a_gradient_of_zero(tiny_tower):
    features = tiny_tower(tiny_tower.tokenizer([]))
    assert features.shape == (0, 384)
    features.sum().backward()
    trained = {name: p.grad for name, p in tiny_tower.named_parameters() if "pooler" not in name}
    assert all(grad is not None and not grad.any() for grad in trained.values())


@pytest.mark.parametrize("pooling", POOLINGS)
def test_saved_folders_give_equal_vectors_in_sentence_transformers_and_here(tmp_path, sentences, pooling):
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=3, pooling=pooling, max_tokens=24))
    vectors = tower.encode(sentences, precision="fp32")
    tower.save(tmp_path / "model")
    theirs = torch.tensor(SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(sentences))
    again = load_text_encoder(tmp_path / "model")
    assert_close(theirs, vectors, rtol=1e-4, atol=1e-6)
    assert torch.equal(again.encode(sentences, precision="fp32"), vectors)
    assert again.fingerprint == tower.fingerprint
    assert not list((tmp_path / "model").rglob("*.bin"))


@pytest.mark.parametrize(("pooling", "layers"), [("first_last", (1, 3)), ("last_two", (2, 3))])
def test_two_layer_poolings_are_the_mean_of_the_layers_they_name(sentences, pooling, layers):
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=3, pooling=pooling))
    inputs = tower.tower.tokenizer(sentences[:1], return_tensors="pt")
    model = tower.tower[0].auto_model
    model.config._attn_implementation = "sdpa"
    with torch.no_grad():
        hidden = model(**inputs, output_hidden_states=True).hidden_states
    model.config._attn_implementation = "likewise_packed"
    mean = (hidden[layers[0]] + hidden[layers[1]]).mean(1)[0] / 2
    assert_close(
        tower.encode(sentences[:1], precision="fp32")[0],
        torch.nn.functional.normalize(mean, dim=0),
        rtol=1e-4,
        atol=1e-5,
    )


def test_prompts_are_saved_and_used_by_role(tmp_path, sentences):
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=1, query_prompt="query: "))
    plain, prompted = tower.encode(["dog"], precision="fp32"), tower.encode(["dog"], role="query", precision="fp32")
    assert_close(prompted, tower.encode(["query: dog"], precision="fp32"))
    assert not torch.allclose(plain, prompted, atol=1e-3)
    tower.save(tmp_path / "model")
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(["dog"], prompt_name="query")
    assert_close(torch.tensor(theirs), prompted, rtol=1e-4, atol=1e-6)


def test_a_plain_transformer_folder_is_pooled_by_its_mean(tmp_path, minilm, sentences):
    minilm.tower[0].auto_model.save_pretrained(tmp_path / "plain")
    minilm.tower.tokenizer.save_pretrained(tmp_path / "plain")
    tower = load_text_encoder(tmp_path / "plain")
    assert_close(
        tower.encode(sentences, precision="fp32"), minilm.encode(sentences, precision="fp32"), rtol=1e-4, atol=1e-5
    )


def test_a_kept_projector_is_part_of_the_saved_model(tmp_path, tiny_tower, sentences):
    projector = torch.nn.Linear(384, 7)
    served = tiny_tower.served(projector, torch.nn.Tanh())
    with torch.no_grad():
        features = tiny_tower.eval()(tiny_tower.tokenizer(sentences))
        expected = torch.nn.functional.normalize(torch.tanh(projector(features)), dim=-1)
    assert served.dim == 7
    assert_close(served.encode(sentences, precision="fp32"), expected, rtol=1e-4, atol=1e-5)
    served.save(tmp_path / "model")
    theirs = torch.tensor(SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(sentences))
    assert_close(theirs, expected, rtol=1e-4, atol=1e-5)
    assert tiny_tower.dim == 384
    rounded = served.encode(sentences, precision="bf16")
    assert (expected * rounded).sum(1).min() > 0.999


def test_a_linear_map_of_embeddings_becomes_part_of_the_saved_model(tmp_path, tiny_tower, sentences):
    embeddings = tiny_tower.encode(sentences, precision="fp32")
    assert_close(embeddings.norm(dim=1), torch.ones(len(sentences)))
    linear = torch.nn.Linear(384, 384)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(linear(embeddings), dim=1)
    mapped = tiny_tower.mapped(linear)
    mapped.save(tmp_path / "model")
    loaded = load_text_encoder(tmp_path / "model")
    theirs = torch.tensor(SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(sentences))
    for vectors in (mapped.encode(sentences, precision="fp32"), loaded.encode(sentences, precision="fp32"), theirs):
        assert_close(vectors, expected, rtol=1e-4, atol=1e-5)
    assert loaded.fingerprint == mapped.fingerprint != tiny_tower.fingerprint


def test_the_fingerprint_changes_with_a_weight_a_prompt_and_a_length_limit(tiny_tower):
    seen = {tiny_tower.fingerprint}
    with torch.no_grad():
        next(tiny_tower.parameters()).view(-1)[0] += 1e-3
    seen.add(tiny_tower.fingerprint)
    tiny_tower.tower.prompts["query"] = "q: "
    seen.add(tiny_tower.fingerprint)
    tiny_tower.tower.max_seq_length = 16
    seen.add(tiny_tower.fingerprint)
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("all-MiniLM-L6-v3", "did you mean 'all-MiniLM-L6-v2'"),
        ("/nowhere/at/all", "unknown model or folder"),
        ("someone/has-no-such-model", "cannot load the model 'someone/has-no-such-model'"),
    ],
)
def test_an_unknown_model_is_one_sentence(name, says):
    with pytest.raises(InputError, match=says):
        load_text_encoder(name)


def test_a_folder_that_is_no_model_is_named(tmp_path):
    with pytest.raises(InputError, match=r"is not a model folder: it has neither modules\.json nor config\.json"):
        load_text_encoder(tmp_path)
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(InputError, match="is a file; a model is a folder"):
        load_text_encoder(tmp_path / "file.txt")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"encoder_layers": 7}, "keep 1 to 6"),
        ({"encoder_layers": 0}, "keep 1 to 6"),
        ({"max_tokens": 2}, "takes 3 to 512 tokens"),
        ({"max_tokens": 513}, "takes 3 to 512 tokens"),
        ({"pooling": "meen"}, "did you mean 'mean'"),
    ],
)
def test_settings_that_do_not_fit_the_encoder_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        load_text_encoder(TextEncoderConfig(**settings))


def test_one_string_is_not_a_list_of_texts(minilm):
    with pytest.raises(TypeError, match="give a list of texts"):
        minilm.encode("a text")
    with pytest.raises(TypeError, match="input 1 is int"):
        minilm.encode(["a", 3])


def test_code_in_a_model_folder_is_not_run(tmp_path, minilm):
    minilm.save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config |= {"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}, "model_type": "evil"}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    marker = tmp_path / "ran"
    (tmp_path / "model" / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    with pytest.raises(InputError, match="cannot load the model"):
        load_text_encoder(tmp_path / "model")
    assert not marker.exists()


def test_a_typo_in_a_model_s_folder_is_told(tmp_path, minilm):
    minilm.save(tmp_path / "animals")
    with pytest.raises(InputError, match=r"there is no model '.*/anmals': did you mean '.*/animals'\?"):
        load_text_encoder(tmp_path / "anmals")


def test_without_dropout_training_and_evaluation_agree(sentences):
    tower = load_text_encoder(TextEncoderConfig(encoder_layers=1, dropout=0.0))
    tokens = tower.tokenizer(sentences)
    assert torch.equal(tower.train()(tokens), tower.eval()(tokens))


def test_a_tower_that_is_served_stays_in_the_mode_it_was_in(tiny_tower, sentences):
    for mode in (False, True):
        tiny_tower.train(mode)
        tiny_tower.served().encode(sentences)
        assert {module.training for module in tiny_tower.modules()} == {mode}


def test_an_encoder_of_which_layers_were_left_out_when_it_was_loaded_still_runs_texts_end_to_end():
    assert load_text_encoder(TextEncoderConfig(encoder_layers=2)).packs


def test_encoding_with_what_is_served_leaves_dropout_as_it_was(tiny_tower):
    tokens = tiny_tower.tokenizer(["a small house"])
    expected = tiny_tower.eval()(tokens)
    tiny_tower.served().encode(["a small house"])
    assert torch.equal(tiny_tower(tokens), expected)
    tiny_tower.train().served().encode(["a small house"])
    assert tiny_tower.tower.training
    assert not torch.equal(tiny_tower(tokens), expected)
