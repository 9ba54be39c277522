"""Prompts of words and of learned vectors: trained with, saved, and the same in sentence-transformers."""

import pytest
import torch
from sentence_transformers import SentenceTransformer

import likewise
from likewise.encoders import TextEncoderConfig, load_text_encoder
from likewise.errors import InputError

TEXTS = ["a small house for a dog", "bread", "trains leave every hour"]
ONE_LAYER = {"encoder_layers": 1, "max_tokens": 32}


def theirs(folder, **how):
    return torch.from_numpy(SentenceTransformer(str(folder), device="cpu").encode(TEXTS, **how))


def test_a_prompt_stands_in_front_of_every_text_and_a_role_may_have_its_own(tmp_path):
    tower = load_text_encoder(TextEncoderConfig(**ONE_LAYER, prompt="say: ", query_prompt="ask: "))
    plain = load_text_encoder(TextEncoderConfig(**ONE_LAYER))
    for role, prompt in ((None, "say: "), ("document", "say: "), ("query", "ask: ")):
        expected = plain.encode([prompt + text for text in TEXTS])
        torch.testing.assert_close(tower.encode(TEXTS, role=role), expected, rtol=1e-4, atol=1e-5)
    tower.save(tmp_path / "model")
    torch.testing.assert_close(theirs(tmp_path / "model"), tower.encode(TEXTS), rtol=1e-4, atol=1e-5)
    query = theirs(tmp_path / "model", prompt_name="query")
    torch.testing.assert_close(query, tower.encode(TEXTS, role="query"), rtol=1e-4, atol=1e-5)


def test_another_prompt_may_be_used_afterwards_and_leaves_the_model_as_it_was(tiny_tower):
    before = tiny_tower.encode(TEXTS)
    other = tiny_tower.prompted("Represent the sentence: ")
    expected = tiny_tower.encode(["Represent the sentence: " + text for text in TEXTS])
    torch.testing.assert_close(other.encode(TEXTS), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(tiny_tower.encode(TEXTS), before)
    assert other.fingerprint != tiny_tower.fingerprint


@pytest.mark.parametrize("freeze", [False, True])
def test_a_soft_prompt_is_trained_saved_and_opened_by_sentence_transformers(tmp_path, freeze):
    start = load_text_encoder(TextEncoderConfig(**ONE_LAYER))
    rows = [{"text": f"{text} {i}"} for i in range(4) for text in TEXTS]
    settings = {**ONE_LAYER, "steps": 3, "batch_size": 6, "lr": 1e-2, "precision": "fp32", "warmup": 0.0}
    run = tmp_path / "run"
    model = likewise.train(
        "simcse", rows, out=run, progress=False, soft_prompt=3, freeze=freeze, checkpoint_every=1, **settings
    )
    tokens = model.tokenizer(["dog"])
    assert len(tokens.ids) == 6
    soft = tokens.ids[1:4]
    assert (soft >= len(start.token_embedding)).all()
    expected = model.encode(TEXTS, precision="fp32")
    loaded = likewise.load(run)
    torch.testing.assert_close(loaded.encode(TEXTS, precision="fp32"), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(theirs(run), expected, rtol=1e-4, atol=1e-5)
    assert loaded.fingerprint == model.fingerprint
    old = {name: tensor for name, tensor in start.tower.state_dict().items() if ".pooler." not in name}
    new = loaded.tower.state_dict()
    same = [torch.equal(tensor, new[name][: len(tensor)]) for name, tensor in old.items()]
    assert all(same) == freeze
    untrained = load_text_encoder(TextEncoderConfig(**ONE_LAYER, soft_prompt=3))
    assert not torch.equal(loaded.token_embedding[-3:], untrained.token_embedding[-3:])


def test_a_soft_prompt_begins_as_words_drawn_by_the_seed():
    towers = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        towers.append(load_text_encoder(TextEncoderConfig(**ONE_LAYER, soft_prompt=4)))
    first, same, other = (tower.token_embedding[-4:] for tower in towers)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    words = towers[0].token_embedding[:-4]
    assert all((words == row).all(dim=1).any() for row in first)


def test_a_negative_length_and_nothing_to_train_are_refused(tmp_path):
    with pytest.raises(InputError, match="soft_prompt is -1"):
        load_text_encoder(TextEncoderConfig(**ONE_LAYER, soft_prompt=-1))
    rows = [{"query": f"question {i}", "positive": f"answer {i}"} for i in range(4)]
    with pytest.raises(InputError, match="nothing to train"):
        likewise.train("pairs", rows, out=tmp_path / "run", freeze=True, progress=False, **ONE_LAYER, batch_size=4)
    assert not (tmp_path / "run").exists()


def test_a_prompt_of_the_moment_reaches_files_and_is_remembered_by_an_index(tmp_path, capfd):
    import json

    from likewise.cli import main
    from likewise.search import Index

    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    with pytest.raises(SystemExit):
        main([
            "encode", "all-MiniLM-L6-v2", "--data", str(tmp_path / "texts.txt"), "--out", str(tmp_path / "v.npy"),
            "--prompt", "query: ", "--layers", "1", "--dims", "8", "--precision", "fp32", "--json",
        ])  # fmt: skip
    assert json.loads(capfd.readouterr().out)["dim"] == 8
    import numpy as np

    model = likewise.load("all-MiniLM-L6-v2", layers=1, dims=8)
    expected = model.encode([f"query: {text}" for text in TEXTS], precision="fp32")
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), expected.numpy(), rtol=1e-4, atol=1e-5)
    rows = [{"id": str(i), "text": text} for i, text in enumerate(TEXTS)]
    Index.create(tmp_path / "index", likewise.load("all-MiniLM-L6-v2", layers=1, prompt="query: "), rows)
    assert Index.open(tmp_path / "index").about.part == {"layers": 1, "prompt": "query: "}
