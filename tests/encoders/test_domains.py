"""One model may encode each domain in its own way."""

import pytest
import torch
from sentence_transformers import SentenceTransformer

from likewise.encoders import Domain, load_text_encoder
from likewise.errors import InputError

TEXTS = ["a small house for a dog", "bread", "trains leave every hour"]


@pytest.fixture
def domains(tiny_tower):
    torch.manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(384, 384)).Q
    return {
        "plain": Domain(),
        "moved": Domain(shift=torch.randn(384) * 0.1, matrix=rotation),
        "marked": Domain(first_token=tiny_tower.tokenizer.tokenizer.convert_tokens_to_ids("dog")),
    }


def test_a_domain_moves_embeddings_before_they_are_normalised(tiny_tower, domains):
    tower = tiny_tower.with_domains(domains)
    plain = tower.eval()(tower.tokenizer(TEXTS)).detach()
    domain = domains["moved"]
    expected = torch.nn.functional.normalize((plain - domain.shift) @ domain.matrix, dim=1)
    torch.testing.assert_close(tower.for_domain("moved").encode(TEXTS), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(tower.for_domain("plain").encode(TEXTS), tiny_tower.encode(TEXTS))


def test_a_domain_may_begin_every_text_with_a_token_of_its_own(tiny_tower, domains):
    tower = tiny_tower.with_domains(domains).for_domain("marked")
    tokens = tower.tokenizer(TEXTS)
    starts = tokens.lengths.cumsum(0) - tokens.lengths
    assert set(tokens.ids[starts].tolist()) == {domains["marked"].first_token}
    assert tower.fingerprint != tiny_tower.fingerprint
    assert not torch.allclose(tower.encode(TEXTS), tiny_tower.encode(TEXTS), atol=1e-3)


@pytest.mark.parametrize("name", ["moved", "marked"])
def test_domains_are_saved_with_the_tower_and_one_of_them_alone(tiny_tower, domains, name, tmp_path):
    tower = tiny_tower.with_domains(domains)
    tower.save(tmp_path / "all")
    tower.for_domain(name).save(tmp_path / "one")
    expected = tower.for_domain(name).encode(TEXTS)
    for loaded in (load_text_encoder(tmp_path / "all").for_domain(name), load_text_encoder(tmp_path / "one")):
        torch.testing.assert_close(loaded.encode(TEXTS), expected, rtol=1e-4, atol=1e-5)
    if name == "moved":
        theirs = torch.from_numpy(SentenceTransformer(str(tmp_path / "one"), device="cpu").encode(TEXTS))
        torch.testing.assert_close(theirs, expected, rtol=1e-4, atol=1e-5)


def test_a_domain_that_is_not_there_or_not_said_is_refused(tiny_tower, domains):
    with pytest.raises(InputError, match="has no domains"):
        tiny_tower.for_domain("moved")
    tower = tiny_tower.with_domains(domains, needed=True)
    with pytest.raises(InputError, match="did you mean 'moved'"):
        tower.for_domain("mooved")
    with pytest.raises(InputError, match="say which with --domain"):
        tower.encode(TEXTS)
    assert tower.for_domain("moved").encode(TEXTS).shape == (3, 384)


def test_a_domain_goes_with_fewer_layers(tiny_tower, domains):
    tower = tiny_tower.with_domains(domains)
    assert tower.truncated(layers=1).for_domain("moved").num_layers == 1
    assert tower.for_domain("moved").truncated(dims=16).encode(TEXTS).shape == (3, 16)
