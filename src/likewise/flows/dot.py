"""A flow in the language DOT of Graphviz, which many programs draw."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["to_dot"]

COLOURS = {"user": "#cfe2ff", "system": "#ffe3c2"}


def to_dot(graph: nx.DiGraph[str], path: Sequence[str] = ()) -> str:
    """Write a graph of :func:`likewise.flows.flow_graph` in DOT.

    Args:
        graph: The graph.
        path: A way through it that is drawn in bold.

    Example:
        >>> from likewise.flows import flow_graph, transitions
        >>> print(to_dot(flow_graph(transitions([["A"]]))).splitlines()[-3].strip())
        "[start]" -> "A" [label="1.00", penwidth="5.0"];
    """
    on_path = set(itertools.pairwise(path))
    lines = ["digraph flow {", '  node [shape="box", style="rounded,filled", fillcolor="white"];']
    for node, data in graph.nodes(data=True):
        label = "\\n".join(textwrap.wrap(_escaped(str(data.get("name", node))), 30))
        lines.append(f"  {_quoted(node)} {_attributes(label=label, fillcolor=COLOURS.get(data.get('speaker', '')))};")
    for source, target, weight in graph.edges(data="weight"):
        bold = "bold" if (source, target) in on_path else None
        attributes = _attributes(label=f"{weight:.2f}", penwidth=f"{1 + 4 * weight:.1f}", style=bold)
        lines.append(f"  {_quoted(source)} -> {_quoted(target)} {attributes};")
    return "\n".join([*lines, "}", ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _attributes(**values: Any) -> str:
    given = [f'{name}="{value}"' for name, value in values.items() if value is not None]
    return f"[{', '.join(given)}]"
