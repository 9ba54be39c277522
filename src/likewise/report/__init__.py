"""Pages of results: one file each, with tables and figures, that opens offline in a light and a dark theme."""

from likewise.report import plots
from likewise.report.network import Edge, Network, Node
from likewise.report.page import Fragment, Page

__all__ = ["Edge", "Fragment", "Network", "Node", "Page", "plots"]
