"""Pages of results: one file each, with tables and figures, that opens offline in a light and a dark theme."""

from likewise.report import plots
from likewise.report.page import Fragment, Page

__all__ = ["Fragment", "Page", "plots"]
