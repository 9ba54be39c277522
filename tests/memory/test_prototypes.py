"""A frozen table: made of means, constant, on every device its module is on, and refused where it is another one."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from likewise.memory import PrototypeTable, mean_embeddings


class Given:
    """An encoder whose vectors are given by the text."""

    dim = 2

    def tokenizer(self, texts):
        return texts

    def encode_tokens(self, texts, *, precision):
        assert precision == "fp32"
        return torch.tensor([list(map(float, text.split())) for text in texts])


def test_a_prototype_is_the_mean_of_its_texts():
    table = mean_embeddings(Given(), ["1 3", "5 5", "3 1"], torch.tensor([0, 1, 0]), 2)
    assert table.tolist() == [[2.0, 2.0], [5.0, 5.0]]


def test_the_order_of_texts_and_the_parts_they_are_encoded_in_do_not_matter(monkeypatch):
    texts = [f"{i} {i * i % 7}" for i in range(20)]
    owner = torch.arange(20) % 4
    whole = mean_embeddings(Given(), texts, owner, 4)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("likewise.memory.prototypes.ENCODED", 3)
    shuffled = mean_embeddings(Given(), [texts[i] for i in order], owner[order], 4)
    assert_close(shuffled, whole, rtol=1e-6, atol=1e-6)


def test_padding_and_dropout_do_not_matter(tiny_tower):
    tiny_tower.train()
    texts = ["a dog", "a small house for a dog by the river that bends around the old town"]
    alone = torch.cat([mean_embeddings(tiny_tower, [text], torch.tensor([0]), 1) for text in texts])
    assert_close(mean_embeddings(tiny_tower, texts, torch.arange(2), 2), alone, rtol=1e-4, atol=1e-5)
    assert tiny_tower.training
    expected = tiny_tower.eval()(tiny_tower.tokenizer(texts))  # a single text: its pooled vector, not normalised
    assert_close(alone, expected, rtol=1e-4, atol=1e-5)


def test_a_prototype_without_a_text_is_refused():
    with pytest.raises(ValueError, match="prototype 1 has no text"):
        mean_embeddings(Given(), ["1 3"], torch.tensor([0]), 2)


def test_it_is_constant_and_goes_where_its_module_goes():
    vectors = torch.randn(5, 3)
    module = nn.Module()
    module.table = PrototypeTable(vectors, "a")
    assert not list(module.parameters())
    assert [name for name, _ in module.named_buffers()] == ["table.digest"]  # not sent or written at every step
    assert module.double().table.vectors.dtype == torch.float64
    assert module.to("meta").table.vectors.device.type == "meta"
    assert vectors.dtype == torch.float32


def test_a_copy_is_a_table_of_its_own():
    table = PrototypeTable(torch.randn(5, 3), "a")
    twin = copy.deepcopy(table)
    assert torch.equal(twin.vectors, table.vectors)
    assert twin.vectors.data_ptr() != table.vectors.data_ptr()


@pytest.mark.parametrize(("vectors", "version"), [(torch.ones(5, 3), "b"), (2 * torch.ones(5, 3), "a")])
def test_the_state_of_another_table_is_refused(vectors, version):
    table = PrototypeTable(torch.ones(5, 3), "a")
    PrototypeTable(torch.ones(5, 3), "a").load_state_dict(table.state_dict())
    with pytest.raises(RuntimeError, match="another table of prototypes"):
        PrototypeTable(vectors, version).load_state_dict(table.state_dict())


def test_the_nearest_are_those_of_the_largest_products():
    table, query = torch.randn(30, 4), torch.randn(3, 4)
    scores, rows = table_of(table).nearest(query, 5)
    expected = torch.topk(query @ table.T, 5)
    assert torch.equal(rows, expected.indices)
    assert_close(scores, expected.values)
    assert table_of(table[:2]).nearest(query, 5)[1].shape == (3, 2)


def table_of(vectors):
    return PrototypeTable(vectors, "a")


@pytest.mark.parametrize("vectors", [torch.ones(3), torch.ones(3, 2, dtype=torch.int64)])
def test_what_is_no_floating_matrix_is_refused(vectors):
    with pytest.raises(ValueError, match="it is a floating"):
        PrototypeTable(vectors, "a")
