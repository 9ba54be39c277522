"""The table of entries that a model was trained on, as its products read it: queries, neighbours, new entries."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from likewise.data import DICTIONARY_COLUMNS, Dictionary, open_table
from likewise.data.readers import UTF_8
from likewise.data.renaming import parse_renaming
from likewise.errors import InputError
from likewise.heads import BackbonePooler, MaskedLanguageHead
from likewise.memory import IndependentComponents, PrototypeTable, mean_embeddings

if TYPE_CHECKING:
    from jaxtyping import Float

    from likewise.artefact import Model
    from likewise.encoders import TextEncoder

__all__ = ["EntryTable", "open_dictionary"]


@dataclass(frozen=True)
class EntryTable:
    """Entries, their vectors, and the way from a description to what is compared with them.

    Args:
        model: The model.
        entries: Names of the entries.
        table: Their vectors.
    """

    model: Model
    entries: tuple[str, ...]
    table: PrototypeTable

    @classmethod
    def of(cls, model: Model) -> EntryTable:
        """Read what a model keeps.

        Raises:
            InputError: The table does not fit the encoder.
        """
        kept = model.kept
        vectors = kept["table"]
        if vectors is None:  # entries of one token: their rows of the output layer, the bias behind them
            words = _word_head(model)
            tokenizer = model.text_encoder.tokenizer.tokenizer
            ids = [tokenizer(entry, add_special_tokens=False)["input_ids"][0] for entry in kept["entries"]]
            vectors = torch.cat([model.text_encoder.token_embedding[ids], words.bias[ids, None]], dim=1).detach()
        width = model.text_encoder.dim + int(kept["table"] is None)
        if vectors.shape[1] != width:
            raise InputError(
                f"the table of entries holds vectors of {vectors.shape[1]} numbers and the encoder makes {width}; the "
                "two are not of one model. Take the folder as training left it."
            )
        return cls(model, tuple(kept["entries"]), PrototypeTable(vectors, str(kept["version"])))

    @torch.no_grad()
    def queries(self, texts: Sequence[str]) -> Float[Tensor, "n D"]:
        """Return what the model says of descriptions, as it was trained to: through pooling and pooler."""
        kept = self.model.kept
        reader = self._reader()
        pooled = reader.encode_tokens(reader.tokenizer(list(texts)), precision="fp32")
        if kept["table"] is None:
            hidden = _word_head(self.model).transform(pooled)
            return torch.cat([hidden, hidden.new_ones(len(hidden), 1)], dim=1)
        pooler = BackbonePooler(pooled.shape[1], kept["activation"])
        pooler.load_state_dict(kept["head"])
        mapped: Tensor = pooler(pooled)
        return mapped

    def with_more(self, dictionary: Dictionary) -> EntryTable:
        """Return the table with the entries of a dictionary that it does not have; nothing is trained.

        Their vectors are made as those of the table were: by the encoder that made it, with the same pooling, and
        through the same independent components.

        Raises:
            InputError: The table is not made of definitions.
        """
        kept = self.model.kept
        if not kept["maker"]:
            raise InputError(
                "this model's table is made of words and not of definitions, so that entries cannot be added; train "
                "with --table definitions for one that can."
            )
        known = set(self.entries)
        new = {entry: found for entry, found in dictionary.definitions.items() if entry not in known}
        if not new:
            return self
        maker = copy.deepcopy(self._reader())
        maker.load_state_dict(kept["maker"])
        if kept["entry_pooling"] is not None:
            maker = maker.pooled(kept["entry_pooling"])
        texts = [(one, number) for number, found in enumerate(new.values()) for one in found]
        owner = torch.tensor([number for _, number in texts])
        vectors = mean_embeddings(maker, [one for one, _ in texts], owner, len(new))
        if kept["ica"] is not None:
            vectors = IndependentComponents(kept["ica"]["shift"], kept["ica"]["matrix"])(vectors)
        table = PrototypeTable(torch.cat([self.table.vectors, vectors]), self.table.version)
        return replace(self, entries=(*self.entries, *new), table=table)

    def kept(self) -> Mapping[str, Any]:
        """Return what the model keeps, with the entries as they are here."""
        return {**self.model.kept, "entries": list(self.entries), "table": self.table.vectors}

    def _reader(self) -> TextEncoder:
        """Return the encoder with the pooling that it was trained with."""
        pooling = self.model.kept["pooling"]
        return self.model.text_encoder if pooling is None else self.model.text_encoder.pooled(pooling)


def open_dictionary(source: str, *, columns: Sequence[str] = (), encoding: str = UTF_8) -> Dictionary:
    """Open entries and definitions for a product.

    Args:
        source: What ``--data`` takes; its columns are ``entry`` and ``definition``.
        columns: ``OURS=THEIRS`` pairs, where the source calls them otherwise.
        encoding: How the characters of a file are written.

    Raises:
        InputError: Nothing is given, or it cannot be read.
    """
    if not source:
        raise InputError("no entries given; name a file with the columns entry and definition, or dictionary:FILE.")
    rename = parse_renaming(columns)
    return Dictionary.of(open_table(source, columns=DICTIONARY_COLUMNS, rename=rename, encoding=encoding))


def _word_head(model: Model) -> MaskedLanguageHead:
    head = MaskedLanguageHead.of(model.text_encoder)
    head.load_state_dict(model.kept["head"])
    return head.eval()
