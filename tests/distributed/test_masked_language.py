"""The mean over hidden tokens of several processes is that of one: loss and every gradient."""

import pytest
import torch
from torch.testing import assert_close

from likewise import distributed
from likewise.encoders import Encoder, Tokens
from likewise.heads import MaskedLanguageHead, MaskedLanguageModel

COUNTS = {1: [6], 2: [4, 2], 3: [3, 0, 3]}
VOCABULARY, WIDTH = 11, 4


class TokenTable(Encoder):
    """A tower whose tokens have given features."""

    def __init__(self):
        super().__init__()
        drawn = torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.token_embedding = torch.nn.Parameter(drawn)

    def encode_rows(self, inputs):
        raise AssertionError("only the features of tokens are asked for")

    def select(self, inputs, index):
        return inputs.select(index)

    def token_features(self, tokens):
        return torch.sin(self.token_embedding[tokens.ids] * 3)


def texts():
    ids = torch.randint(VOCABULARY, (6, 5), generator=torch.Generator().manual_seed(1))
    return Tokens(ids.flatten(), torch.full((6,), 5))


def model(fewest):
    """Tokens whose id is at least ``fewest`` are chosen, and replaced by another."""
    torch.manual_seed(2)
    made = MaskedLanguageModel.__new__(MaskedLanguageModel)
    torch.nn.Module.__init__(made)
    made.head = MaskedLanguageHead(WIDTH, WIDTH, VOCABULARY).double()
    made.masking = lambda tokens: (
        Tokens((tokens.ids + 1) % VOCABULARY, tokens.lengths), tokens.ids >= fewest
    )  # fmt: skip
    return made


def step(counts, fewest):
    torch.set_num_threads(1)
    rank = distributed.rank()
    first = sum(counts[:rank])
    own = texts().select(torch.arange(first, first + counts[rank]))
    tower, auxiliary = TokenTable(), model(fewest)
    loss = auxiliary(tower, own)
    loss.backward()
    gradients = {name: p.grad for name, p in [*tower.named_parameters(), *auxiliary.named_parameters()]}
    processes = distributed.world_size()  # as data parallelism averages
    averaged = {name: distributed.sum_over_processes(grad) / processes for name, grad in gradients.items()}
    return distributed.sum_over_processes(loss.detach()) / processes, averaged


@pytest.mark.parametrize("num_processes", [1, 2, 3])
@pytest.mark.parametrize("fewest", [8, VOCABULARY])
def test_processes_give_what_one_gives(processes, num_processes, fewest):
    loss, gradients = step([6], fewest)
    assert (loss == 0) == (fewest == VOCABULARY)
    for ours, averaged in processes.run(step, COUNTS[num_processes], fewest, num_processes=num_processes):
        assert_close(ours, loss, rtol=1e-9, atol=1e-12)
        assert averaged.keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert_close(averaged[name], gradient, rtol=1e-9, atol=1e-12)
