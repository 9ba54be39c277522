"""What every test may use: the real packaged model, and small towers cut from it so that tests stay quick."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for a hub is a mistake, and fails at once
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    """Several test processes share two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def minilm() -> TextEncoder:
    """The packaged encoder, whole; not to be changed."""
    return load_text_encoder("all-MiniLM-L6-v2")


@pytest.fixture
def tiny_tower() -> TextEncoder:
    """Two layers of the packaged encoder, fresh for each test."""
    return load_text_encoder(TextEncoderConfig(encoder_layers=2, max_tokens=32))


SENTENCES = [
    "a small house for a dog",
    "kennel",
    "the river bends around the old town before it reaches the sea",
    "a young cat sleeps",
    "trains leave every hour, on the hour, from the second platform of the central station",
    "kennel",
    "bread",
    "to be or not to be, that is the question",
]


@pytest.fixture
def sentences() -> list[str]:
    """Texts of very different lengths, one of them twice."""
    return list(SENTENCES)
