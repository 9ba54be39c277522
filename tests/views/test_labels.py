"""Views of labelled rows: numbers and vectors of labels beside the texts."""

import numpy as np
import torch

from likewise.memory import LabelTable
from likewise.views import LabelledViews, TextInput, TextViews


def test_a_batch_brings_the_labels_and_what_they_mean(tmp_path, tiny_tower):
    np.save(tmp_path / "labels.npy", np.eye(3, dtype=np.float32))
    texts = TextViews(tiny_tower.tokenizer, {"text": TextInput("text")})
    rows = [{"text": "a dog", "kind": 2.0}, {"text": "a cat that sleeps", "kind": 0.0}]
    for table in (LabelTable(tmp_path / "labels.npy"), None):
        views = LabelledViews(texts, "kind", table)
        batch = views.collate([views(row, np.random.default_rng(0)) for row in rows], [4, 1])
        assert torch.equal(batch["label"], torch.tensor([2, 0]))
        assert batch.row_index.tolist() == [4, 1]
        assert torch.equal(batch["text"].ids, tiny_tower.tokenizer([row["text"] for row in rows]).ids)
        assert ("label_vector" in batch) == (table is not None)
        if table is not None:
            assert torch.equal(batch["label_vector"], torch.eye(3)[[2, 0]])
