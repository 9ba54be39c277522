"""``python -m benchmarks NAME``."""

from __future__ import annotations

import importlib

import typer

NAMES = {
    "quickstart": "the reverse dictionary before and after training, on held-out words",
    "picture": "the README's picture, drawn from the stored result of the quickstart",
    "simcse": "SimCSE against the untrained encoder and against no dropout, on sentence similarity",
}

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Run a benchmark and store its result.")
for name, about in NAMES.items():
    app.command(name, help=about)(importlib.import_module(f"benchmarks.{name}").run)

if __name__ == "__main__":
    app()
