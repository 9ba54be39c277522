"""The first five minutes: a reverse dictionary, trained, measured, indexed and asked."""

from likewise.quickstart.run import EXAMPLES, METRICS, Quickstart, quickstart

__all__ = ["EXAMPLES", "METRICS", "Quickstart", "quickstart"]
