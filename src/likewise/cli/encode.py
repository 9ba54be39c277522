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
    app.command("encode", help="Embed the texts or pictures of a file or folder.")(with_part(encode))


def encode(
    model: ModelArgument,
    data: Data,
    part: dict[str, Any],
    out: Annotated[
        Path,
        typer.Option(
            help="Where the vectors go: .npy [n, D], .safetensors (embeddings), or .parquet (text or image, embedding)."
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
    """Embed every text, or every picture, in order."""
    import time

    import likewise
    from likewise.data import StoredImage, open_table
    from likewise.data.renaming import parse_renaming
    from likewise.data.split_data import INPUT_COLUMNS, input_column, input_noun, inputs_of

    check_new_file(out, ENDINGS)
    table = open_table(data, columns=INPUT_COLUMNS, rename=parse_renaming(columns))
    embedder = likewise.load(model, **part)
    inputs = inputs_of(table)
    began = time.perf_counter()
    vectors = embedder.encode(inputs, role=role, batch_size=batch_size, precision=precision, progress=True)
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
        named = [one.path if isinstance(one, StoredImage) else one for one in inputs]
        parquet.write_table(
            pa.table(
                {input_column(table): named, "embedding": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])}
            ),
            temporary,
        )
    temporary.replace(out)
    result = {
        "model": model,
        **part,
        "fingerprint": embedder.fingerprint,
        "out": str(out),
        input_noun(table): len(inputs),
        "dim": embedder.dim,
        "seconds": round(seconds, 3),
    }
    write_json(result) if json else show_mapping(result)
