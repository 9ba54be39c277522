"""Options that several verbs share, described once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from likewise.errors import InputError

__all__ = ["BatchSize", "Columns", "Data", "ModelArgument", "Precision", "check_new_file"]

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A trained folder, a packaged model (all-MiniLM-L6-v2), or a hub name.")
]
Data = Annotated[
    str, typer.Option(help="A file (txt, jsonl, csv, tsv, parquet), a glob, a folder, hf:OWNER/NAME or demo:NAME.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option(help="OURS=THEIRS pairs: which column of the file is which of ours, as text=body."),
]
BatchSize = Annotated[int, typer.Option(help="Texts encoded at a time.")]
Precision = Annotated[
    Literal["auto", "bf16", "fp32"],
    typer.Option(help="Format of the encoder's products: auto is bf16 where the device computes it fast, else fp32."),
]


def check_new_file(path: Path, endings: Sequence[str]) -> None:
    """Refuse a file that is there already or whose ending says nothing.

    Raises:
        InputError: As said.
    """
    if path.suffix not in endings:
        raise InputError(f"--out {path} must end in {', '.join(endings)}; the ending says what is written.")
    if path.exists():
        raise InputError(f"{path} exists; give another --out, or remove it first.")
