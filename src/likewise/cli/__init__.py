"""The command line: one file a verb. What is heavy is imported when a verb runs, so that help answers at once."""

from likewise.cli.app import main

__all__ = ["main"]
