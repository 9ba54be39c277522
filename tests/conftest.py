"""What every test may use: the real packaged model, and small towers cut from it so that tests stay quick."""

import gc
import itertools
import os
import re
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for a hub is a mistake, and fails at once
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import pytest
import torch

import browser
import small_minilm
from likewise.encoders import TextEncoder, TextEncoderConfig, load_text_encoder

# A test says nothing of time: its first example may load a library, and machines are shared.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    """Several test processes share two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def minilm() -> TextEncoder:
    """The packaged encoder, whole; not to be changed."""
    return load_text_encoder("all-MiniLM-L6-v2")


@pytest.fixture(autouse=True, scope="session")
def _what_is_imported_stays():
    """Collecting what is no longer used is quick then."""
    gc.collect()
    gc.freeze()


TESTS_DONE = itertools.count(1)


@pytest.fixture(autouse=True)
def _models_are_freed():
    """A text tower is part of a cycle, and these are collected the more rarely the more objects there are.

    One collection for ten tests keeps a test process below what a small machine has; else gigabytes gather.
    """
    yield
    if next(TESTS_DONE) % 10 == 0:
        gc.collect()


@pytest.fixture(scope="session")
def digits() -> list[dict]:
    """Handwritten digits of 8 x 8 pixels, as rows of image and label; not to be changed."""
    from sklearn.datasets import load_digits

    read = load_digits()
    images = (read.images * 255 / 16).round().astype("uint8")
    return [{"image": image, "label": int(label)} for image, label in zip(images, read.target, strict=True)]


@pytest.fixture(scope="session")
def small_encoder() -> Path:
    """A folder with two layers and 6,500 tokens of the packaged encoder, for ``--encoder``."""
    return small_minilm.folder()


@pytest.fixture
def tiny_tower(small_encoder) -> TextEncoder:
    """Two layers of the packaged encoder, fresh for each test."""
    return load_text_encoder(TextEncoderConfig(encoder=str(small_encoder), max_tokens=32))


@pytest.fixture(scope="session")
def random_bert(minilm, tmp_path_factory) -> Path:
    """A folder with a BERT of one layer and 16 numbers, all drawn, with pooler and masked-language head."""
    from transformers import BertConfig, BertForPreTraining

    folder = tmp_path_factory.mktemp("models") / "bert"
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    model = BertForPreTraining(BertConfig(vocab_size=30522, **sizes))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "embedding" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    minilm.tokenizer.tokenizer.save_pretrained(folder)
    return folder


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


@pytest.fixture(scope="session")
def browser_program() -> Path:
    """The machine's own browser."""
    return browser.required()


@pytest.fixture(scope="module")
def chromium(browser_program):
    """A running browser, for one module: while playwright runs, this thread's event loop is taken."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = browser.launch(playwright, browser_program)
        yield running
        running.close()


@pytest.fixture
def browse(chromium):
    """``browse(path, dark=False, width=1280)`` opens a file and returns a :class:`browser.View`; nothing gets out."""
    contexts = []

    def open_page(path: str | Path, *, dark: bool = False, width: int = 1280) -> browser.View:
        context = chromium.new_context(
            color_scheme="dark" if dark else "light", viewport={"width": width, "height": 800}, reduced_motion="reduce"
        )
        contexts.append(context)
        view = browser.View(context.new_page())

        def stop(route):
            view.requests.append(route.request.url)
            route.abort()

        context.route(re.compile("^(?!file:|data:|blob:)"), stop)
        view.page.on("console", lambda said: view.errors.append(said.text) if said.type == "error" else None)
        view.page.on("pageerror", lambda error: view.errors.append(str(error)))
        view.page.goto(Path(path).resolve().as_uri())
        view.settle()
        return view

    yield open_page
    for context in contexts:
        context.close()
