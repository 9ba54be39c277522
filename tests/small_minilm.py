"""A small encoder of real weights: the first layers of the packaged one, and its most frequent tokens.

Nine tenths of the packaged encoder's numbers are rows of a vocabulary that no test looks at, and training, saving and
reading these is most of what a short run costs.
"""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file

from likewise.data.assets import packaged_encoder

LAYERS = 2
VOCABULARY = 6_500
"""Tokens that stay, by their number: the special ones, the 4,500 most frequent words, and the pieces of all others."""


@functools.cache
def folder() -> Path:
    """The encoder's folder, made once for this process and gone with it."""
    made = tempfile.mkdtemp(prefix="small-minilm-")
    atexit.register(shutil.rmtree, made)
    _write(packaged_encoder("all-MiniLM-L6-v2"), Path(made, "small-minilm"))
    return Path(made, "small-minilm")


def _write(whole: Path, small: Path) -> None:
    shutil.copytree(whole, small, ignore=shutil.ignore_patterns("*.safetensors", "vocab.txt", "data_config.json"))
    weights = load_file(whole / "model.safetensors")
    left_out = tuple(f"encoder.layer.{layer}." for layer in range(LAYERS, 6))
    kept = {name: weight for name, weight in weights.items() if not name.startswith(left_out)}
    words = "embeddings.word_embeddings.weight"
    save_file({**kept, words: weights[words][:VOCABULARY].clone()}, small / "model.safetensors", {"format": "pt"})
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**config, "num_hidden_layers": LAYERS, "vocab_size": VOCABULARY}))
    tokenizer = json.loads((small / "tokenizer.json").read_text())
    numbers = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {token: number for token, number in numbers.items() if number < VOCABULARY}
    (small / "tokenizer.json").write_text(json.dumps(tokenizer))
