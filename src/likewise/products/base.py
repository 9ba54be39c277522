"""The seam that every product is written against, and how a product is found."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from likewise.errors import InputError, unknown

if TYPE_CHECKING:
    from likewise.artefact import Model
    from likewise.encoders import TextEncoder

__all__ = [
    "EVERY_MODEL",
    "EVERY_TEXT_MODEL",
    "Product",
    "ProductResult",
    "file_for_page",
    "folder_for_files",
    "get_product",
    "load_product",
    "new_folder",
    "products_of",
    "save_changed",
    "use",
    "with_those_of_every_model",
    "write_lines",
]

EVERY_MODEL: Mapping[str, str] = {"classify": "likewise.products.classify:Classify"}
"""Where the products are that every model has, by name; a method adds its own in ``Method.products``."""

EVERY_TEXT_MODEL: Mapping[str, str] = {
    "bias": "likewise.products.bias:Bias",
    "sizes": "likewise.products.sizes:Sizes",
    "truncate": "likewise.products.truncate:Truncate",
    "whiten": "likewise.products.whiten:Whiten",
}
"""Where the products are that every model of texts has, beside those."""


@dataclass(frozen=True)
class ProductResult:
    """What came of using a product.

    Args:
        figures: Single values by name.
        rows: A table: one mapping a row, all with the same names.
        files: What was written.
    """

    figures: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    files: Sequence[Path] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "figures": dict(self.figures),
            "rows": [dict(row) for row in self.rows],
            "files": [str(file) for file in self.files],
        }


def new_folder(out: str) -> Path:
    """Return the folder that a product writes a model into.

    Raises:
        InputError: None is given, or it is there and not empty.
    """
    if not out:
        raise InputError("no folder given; say where the new model goes with --out.")
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty; give another --out, or remove it first.")
    return folder


def folder_for_files(out: str) -> Path:
    """Return the folder that a product writes its files into; those that are there under their names are replaced.

    Raises:
        InputError: A file has its place.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file, and a folder is meant; give another.")
    return folder


def file_for_page(page: str) -> Path:
    """Return the file that a product writes a page into.

    Raises:
        InputError: A folder has its place, or its ending is not .html.
    """
    path = Path(page)
    if path.is_dir():
        raise InputError(f"--page {path} is a folder, and a file is meant, as {path / 'report.html'}.")
    if path.suffix != ".html":
        raise InputError(f"--page {path} must end in .html; the ending says what is written.")
    return path


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON Lines into a file, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def save_changed(model: Model, embedder: TextEncoder, folder: Path) -> None:
    """Save an encoder that was made of a model's, with what is known of its training.

    That is left out where the method keeps something beside its encoder: it belongs to the encoder as it was.
    """
    from likewise import artefact

    if not model.about or model.kept:
        embedder.save(folder)
        return
    about = {name: model.about[name] for name in ("method", "paper", "settings", "data", "training")}
    artefact.save(embedder, folder, artefact.About(**about))


class Product(ABC):
    """One thing to do with a model; a subclass is a frozen dataclass whose fields are its settings.

    Every field has a default and a string below it, as all settings do; what cannot do without a value refuses an empty
    one in ``run``, by a sentence.

    Class attributes:
        summary: What it does, in half a line.
        argument: The field that is given as a word of its own behind the product's name, if any; it has to be given.
    """

    summary: ClassVar[str]
    argument: ClassVar[str | None] = None

    @abstractmethod
    def run(self, model: Model) -> ProductResult:
        """Do it.

        Raises:
            InputError: Something given cannot be used.
        """


def products_of(model: str | Path) -> dict[str, str]:
    """Return where the products of a model are, by name: those of its method, and those that every model has.

    Args:
        model: A folder, a packaged model, or a name on the model hub; nothing of it but its ``likewise.json`` is read.
    """
    from likewise.artefact import read_about
    from likewise.encoders import is_image_encoder
    from likewise.methods import get_method

    about = read_about(Path(model))
    own: Mapping[str, str] = get_method(about["method"]).products if about else {}
    return with_those_of_every_model(own, pictures=is_image_encoder(Path(model)))


def with_those_of_every_model(own: Mapping[str, str], *, pictures: bool) -> dict[str, str]:
    """Add to the products of a method those that every model has which reads pictures, or texts."""
    return {**own, **EVERY_MODEL, **({} if pictures else EVERY_TEXT_MODEL)}


def get_product(model: str | Path, name: str) -> type[Product]:
    """Return the class of a product of a model.

    Raises:
        InputError: The model has no such product; the nearest is offered.
    """
    found = products_of(model)
    if name not in found:
        raise unknown(f"product of {model}", name, found)
    return load_product(found[name])


def load_product(where: str) -> type[Product]:
    """Return the class of a product by where it is, ``"module:Class"``."""
    module, _, cls = where.partition(":")
    product: type[Product] = getattr(importlib.import_module(module), cls)
    return product


def use(model: str | Path, product: str, **settings: Any) -> ProductResult:
    """Use a product of a model.

    Args:
        model: A folder, a packaged model, or a name on the model hub.
        product: Name of the product: ``likewise use MODEL`` lists those of a model.
        **settings: Its settings by name.

    Raises:
        InputError: There is no such product or setting (the nearest is named), or something given cannot be used.
    """
    from likewise.artefact import load_model
    from likewise.settings import build_settings

    built = build_settings(get_product(model, product), settings, of=product)
    return built.run(load_model(model))
