"""``likewise encode``: texts to vectors in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from likewise.cli.options import BatchSize, Columns, Data, ModelArgument, Precision, check_new_file, with_part
from likewise.cli.output import Json, show_mapping, write_json

ENDINGS = (".npy", ".parquet", ".safetensors")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("encode", help="Embed the texts of a file.")(with_part(encode))


def encode(
    model: ModelArgument,
    data: Data,
    part: dict[str, Any],
    out: Annotated[
        Path,
        typer.Option(
            help="Where the vectors go: .npy [n, D], .safetensors (embeddings), or .parquet (text, embedding)."
        ),
    ],
    columns: Columns = None,
    role: Annotated[
        Literal["query", "document"] | None, typer.Option(help="Side whose prompt goes in front, if the model has any.")
    ] = None,
    batch_size: BatchSize = 256,
    precision: Precision = "auto",
    json: Json = False,
) -> None:
    """Embed every text in order."""
    import time

    import likewise
    from likewise.data import Column, Text, open_table
    from likewise.data.renaming import parse_renaming

    check_new_file(out, ENDINGS)
    table = open_table(data, columns=(Column("text", Text),), rename=parse_renaming(columns))
    embedder = likewise.load(model, **part)
    texts = [row["text"] for row in table.stream()]
    began = time.perf_counter()
    vectors = embedder.encode(texts, role=role, batch_size=batch_size, precision=precision, progress=True)
    seconds = time.perf_counter() - began
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.writing{out.suffix}")
    if out.suffix == ".npy":
        import numpy as np

        np.save(temporary, vectors.numpy())
    elif out.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({"embeddings": vectors}, str(temporary))
    else:
        import pyarrow as pa
        from pyarrow import parquet

        flat = pa.array(vectors.numpy().ravel())
        parquet.write_table(
            pa.table({"text": texts, "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])}),
            temporary,
        )
    temporary.replace(out)
    result = {
        "model": model,
        **part,
        "fingerprint": embedder.fingerprint,
        "out": str(out),
        "texts": len(texts),
        "dim": embedder.dim,
        "seconds": round(seconds, 3),
    }
    write_json(result) if json else show_mapping(result)
