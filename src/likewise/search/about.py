"""What is known of an index, kept beside its rows; where this file is, the index is whole."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likewise.errors import InputError

if TYPE_CHECKING:
    from likewise.encoders import Embedder

__all__ = ["ABOUT", "About", "read_about", "refuse_other_model", "write_about"]

ABOUT = "index.json"
"""Name of the file in the index's folder."""

FORMAT = 1
"""Version of the stored form."""


@dataclass(frozen=True)
class About:
    """What is known of an index.

    Args:
        model: Name of the model that made the vectors: a folder or a packaged model.
        model_path: Where that folder was, absolute; None where the model is no folder.
        model_fingerprint: Digest of its weights and preprocessing.
        dim: Length of a vector.
        text_column: Column of the source that was embedded, or shown beside pictures.
        id_column: Column of the source that holds the ids; None: rows are numbered.
        next_row: Number of the next row where rows are numbered.
        json_columns: Metadata columns whose values are stored as JSON text.
        language: Language whose words the search by words reduces to their stems; None: words as they are written.
        source: Name of the first source.
        created: When, ISO 8601 in UTC.
        versions: Versions of what made it.
        part: What of the model made the vectors, as :func:`likewise.load` takes it (layers, dims, domain, prompt);
            nothing: all of it.
        image_column: Column of the source that holds the pictures that were embedded; None: texts were.
        path_column: Metadata column of where these are, as it is stored.
        format: Version of the stored form.
    """

    model: str
    model_path: str | None
    model_fingerprint: str
    dim: int
    text_column: str
    id_column: str | None
    next_row: int
    json_columns: list[str]
    language: str | None
    source: str
    created: str
    versions: dict[str, str] = field(default_factory=dict)
    part: dict[str, Any] = field(default_factory=dict)
    image_column: str | None = None
    path_column: str | None = None
    format: int = FORMAT

    def model_location(self, folder: Path) -> str:
        """Return where to load the model from: where it was, or near the index if both were moved together.

        Args:
            folder: The index.
        """
        if self.model_path is None:
            return self.model
        was = Path(self.model_path)
        near = [parent / was.name for parent in folder.absolute().parents[:2]]
        return str(next((place for place in (was, *near) if place.is_dir()), was))


def write_about(folder: Path, about: About) -> None:
    """Write the file under a temporary name and rename it."""
    temporary = folder / f"{ABOUT}.writing"
    temporary.write_text(json.dumps(asdict(about), indent=2, ensure_ascii=False), encoding="utf-8")
    temporary.replace(folder / ABOUT)


def read_about(folder: Path) -> About:
    """Read what is known of the index in a folder.

    Raises:
        InputError: There is no such folder, it is no index, or another version's format.
    """
    if not folder.is_dir():
        raise InputError(
            f"there is no index '{folder}'; make one with `likewise index MODEL --data FILE --out {folder}`."
        )
    try:
        found: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        version = found["format"]
    except FileNotFoundError:
        raise InputError(
            f"'{folder}' is no index (it has no {ABOUT}); give a folder that `likewise index` has made."
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"'{folder / ABOUT}' cannot be read ({error}); make the index again.") from None
    if version != FORMAT:
        raise InputError(
            f"the index '{folder}' has format {version}, but this version of likewise reads format {FORMAT}; make the "
            "index again, or use the version that made it."
        )
    return About(**found)


def refuse_other_model(folder: Path, about: About, embedder: Embedder) -> None:
    """Refuse a model whose vectors do not lie in the space of the index.

    Raises:
        InputError: Dimension or fingerprint differs; the message names the model that made the index.
    """
    if embedder.dim != about.dim:
        differs = f"{about.dim} dimensions, not {embedder.dim}"
    elif embedder.fingerprint != about.model_fingerprint:
        differs = f"fingerprint {about.model_fingerprint[:8]}, not {embedder.fingerprint[:8]}"
    else:
        return
    raise InputError(
        f"the index '{folder}' was made with the model '{about.model}' ({differs} as '{embedder.name}' has); search it "
        f"with that model, or make it again with `likewise index {embedder.name} --data FILE --out FOLDER`."
    )
