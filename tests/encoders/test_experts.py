"""Experts begin as copies: nothing changes until they learn, and each learns from its own texts alone."""

import copy

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import ModernBertConfig, ModernBertModel

from likewise.encoders import (
    Domain,
    ExpertsPlan,
    TextEncoder,
    TextEncoderConfig,
    add_experts,
    experts_of,
    load_text_encoder,
)
from likewise.encoders.experts import with_one_expert
from likewise.errors import InputError

TEXTS = ["a small house for a dog", "bread", "trains leave every hour", "a young cat sleeps", "kennel"]
FIRST = (2003, 2004, 2005)  # ordinary words stand in for the tokens of three domains
ROUTERS = ("enforced", "switch_sentence", "topk_token")


def small(layers: int = 2) -> TextEncoder:
    return load_text_encoder(TextEncoderConfig(encoder_layers=layers, max_tokens=32, dropout=0.0))


def begun(tower: TextEncoder, domains=(0, 1, 2, 1, 0)):
    return tower.tokenizer(TEXTS).starting_with(torch.tensor([FIRST[domain] for domain in domains]))


def shaken(tower: TextEncoder) -> TextEncoder:
    """Move the experts apart, as training does."""
    torch.manual_seed(1)
    with torch.no_grad():
        for _, layer in experts_of(tower.tower):
            for parameter in layer.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
    return tower


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("modulated", [False, True])
def test_experts_that_have_not_learned_compute_what_the_dense_tower_does(router, packed, modulated):
    tower = small().eval()
    expected = tower(begun(tower))
    add_experts(tower.tower, ExpertsPlan(3, (0, 1), router, FIRST, top_k=1 if "topk" not in router else 2,
                                         modulated=modulated))  # fmt: skip
    if not packed:
        tower.position_offset = None
        for module in tower.tower.modules():
            if hasattr(module, "config") and hasattr(module.config, "_attn_implementation"):
                module.config._attn_implementation = "sdpa"
    torch.testing.assert_close(tower(begun(tower)), expected, rtol=1e-5, atol=1e-5)


def test_weights_that_are_not_scaled_to_one_preserve_the_function_only_with_all_experts():
    tower = small().eval()
    expected = tower(begun(tower))
    add_experts(tower.tower, ExpertsPlan(3, (1,), "topk_sentence", top_k=3))
    torch.testing.assert_close(tower(begun(tower)), expected, rtol=1e-5, atol=1e-5)
    fewer = small().eval()
    add_experts(fewer.tower, ExpertsPlan(3, (1,), "topk_sentence", top_k=2))
    assert not torch.allclose(fewer(begun(fewer)), expected, atol=1e-3)


def test_experts_of_a_gated_mlp_begin_as_copies_too():
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=60, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    model = ModernBertModel(config).eval()
    ids = torch.randint(3, 60, (4, 7))
    ids[:, 0] = torch.tensor([5, 6, 5, 7])
    mask = torch.ones_like(ids)
    expected = model(input_ids=ids, attention_mask=mask).last_hidden_state

    class First(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.auto_model = model

        def forward(self, features):
            return self.auto_model(**features).last_hidden_state

    tower = torch.nn.Sequential(First())
    add_experts(tower, ExpertsPlan(3, (0, 1), first_tokens=(5, 6, 7)))
    got = tower({"input_ids": ids, "attention_mask": mask})
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_a_loss_on_one_domain_teaches_its_expert_alone():
    tower = small()
    add_experts(tower.tower, ExpertsPlan(3, (0, 1), first_tokens=FIRST))
    optimizer = torch.optim.AdamW(tower.parameters(), lr=1e-3)
    features = tower(begun(tower))
    features[[0, 4]].square().sum().backward()  # both of domain 0
    optimizer.step()
    for _, layer in experts_of(tower.tower):
        own, *others = layer.experts
        assert all(parameter.grad.abs().sum() > 0 for parameter in own.parameters())
        for parameter in (parameter for other in others for parameter in other.parameters()):
            assert parameter.grad is None or not parameter.grad.any()


@pytest.mark.parametrize("router", ROUTERS)
def test_the_order_of_texts_and_the_company_of_a_domain_change_nothing(router):
    tower = small().eval()
    add_experts(tower.tower, ExpertsPlan(3, (0, 1), router, FIRST))
    shaken(tower)
    with torch.no_grad():
        whole = tower(begun(tower))
        order = torch.tensor([3, 0, 4, 2, 1])
        torch.testing.assert_close(tower(begun(tower).select(order)), whole[order], rtol=1e-4, atol=1e-5)
        alone = tower(begun(tower).select(torch.tensor([0, 4])))
        torch.testing.assert_close(alone, whole[[0, 4]], rtol=1e-4, atol=1e-5)


def test_the_routers_are_told_apart_from_a_loop_over_texts():
    """Every token through each of its experts by itself, with the weights of the router."""
    tower = small(1).eval()
    for router, k in (("topk_sentence", 2), ("topk_token", 2), ("switch_sentence", 1)):
        fresh = copy.deepcopy(tower)
        add_experts(fresh.tower, ExpertsPlan(3, (0,), router, top_k=k))
        ((_, layer),) = experts_of(shaken(fresh).tower)
        seen = []
        hook = layer.register_forward_hook(lambda _, given, made, seen=seen: seen.append((given[0], made)))
        with torch.no_grad():
            fresh(begun(fresh))
            hook.remove()
            hidden, mixed = (x.reshape(-1, 384)[layer.routing.real] for x in seen[0])
            text = layer.routing.text[layer.routing.real]
            logits = layer.gate(hidden).float()
            for place, token in enumerate(hidden):
                mean = logits[text == text[place]].mean(dim=0)
                chances = (logits[place] if router == "topk_token" else mean).softmax(dim=0)
                best = chances.argsort(descending=True)[:k]
                weights = {"topk_sentence": chances[best], "topk_token": chances[best] / chances[best].sum(),
                           "switch_sentence": torch.ones(1)}[router]  # fmt: skip
                expected = sum(w * layer.experts[e](token[None])[0] for w, e in zip(weights, best, strict=True))
                torch.testing.assert_close(mixed[place], expected, rtol=1e-4, atol=1e-5)


def test_what_routers_say_comes_with_the_features_whatever_the_micro_batch():
    tower = small()
    add_experts(tower.tower, ExpertsPlan(3, (0, 1), "topk_sentence", top_k=2))
    whole = tower(begun(tower), return_routes=True)
    assert whole.shape == (5, 384 + 2 * 3)
    tower.micro_batch = 2
    torch.testing.assert_close(tower(begun(tower), return_routes=True), whole, rtol=1e-4, atol=1e-5)
    whole[:, 384:].sum().backward()
    assert all(layer.gate.weight.grad is not None for _, layer in experts_of(tower.tower))


def test_experts_are_saved_and_one_of_them_is_a_plain_encoder(tmp_path):
    tower = small().eval()
    add_experts(tower.tower, ExpertsPlan(3, (0, 1), first_tokens=FIRST))
    domains = {name: Domain(first_token=first) for name, first in zip("abc", FIRST, strict=True)}
    tower = shaken(tower).served().with_domains(domains, needed=True)
    tower.save(tmp_path / "all")
    loaded = load_text_encoder(tmp_path / "all")
    assert loaded.fingerprint == tower.fingerprint
    vectors = {name: tower.for_domain(name).encode(TEXTS) for name in domains}
    assert not torch.allclose(vectors["a"], vectors["b"], atol=1e-2)
    for name, expected in vectors.items():
        torch.testing.assert_close(loaded.for_domain(name).encode(TEXTS), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            loaded.for_domain(name).encode(TEXTS, precision="bf16"), expected, rtol=0.1, atol=0.02
        )
    dense = with_one_expert(tower.tower, 1)
    plain = TextEncoder(dense, "plain", like=tower)
    inner = plain.tokenizer
    got = torch.nn.functional.normalize(plain(inner(TEXTS).starting_with(torch.tensor([FIRST[1]] * 5))), dim=1)
    torch.testing.assert_close(got.detach(), vectors["b"], rtol=1e-4, atol=1e-5)
    assert SentenceTransformer(str(tmp_path / "all"), device="cpu").encode(TEXTS).shape == (5, 384)


def test_a_text_without_a_domain_is_refused_unless_an_expert_is_the_default():
    tower = small().eval()
    add_experts(tower.tower, ExpertsPlan(3, (1,), first_tokens=FIRST))
    with pytest.raises(InputError, match="no token of a domain"):
        tower(tower.tokenizer(TEXTS))
    other = small().eval()
    add_experts(other.tower, ExpertsPlan(3, (1,), first_tokens=FIRST, default=2))
    assert other(other.tokenizer(TEXTS)).shape == (5, 384)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ((0, (0,), "topk_token"), "there are 0 experts"),
        ((2, (0,), "topk_token", (), 3), "top_k is 3"),
        ((2, (0,), "topk_token", (), 0), "top_k is 0"),
        ((1, (2,), "enforced", (5,)), "layer 2"),
    ],
)
def test_plans_that_do_not_fit_are_refused(plan, said):
    with pytest.raises(InputError, match=said):
        add_experts(small().tower, ExpertsPlan(*plan))


def test_an_expert_without_a_token_of_its_own_is_refused():
    with pytest.raises(ValueError, match="a token each"):
        ExpertsPlan(2, (0,), first_tokens=(5,))
