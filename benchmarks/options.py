"""Options that studies share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Seeds", "Work", "Workers"]

Work = Annotated[Path, typer.Option(help="Folder for files, runs and reports; a second call goes on there.")]
Seeds = Annotated[int, typer.Option(help="How many seeds, from 0.")]
Workers = Annotated[int, typer.Option(help="Runs at a time.")]
