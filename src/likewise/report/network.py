"""A directed graph on a page: laid out from top to bottom, with a strongest way through the middle.

The drawing is an SVG that stands in the page, so it is there without scripts and on paper; ``network.js`` adds what the
mouse, the finger and the keyboard do.
"""

from __future__ import annotations

import html
import itertools
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Edge", "Network", "Node"]

WIDTH, HEIGHT = 164, 50
"""Of a node, in the units of the drawing (pixels where the page is wide enough)."""
END_WIDTH = 84
COLUMN, ROW = 182, 104
"""From the middle of a node to that of the next."""
SIDE = 70
"""Room beside the outermost nodes, for edges that go back."""
COLUMNS = (-2, -1, 1, 2)
"""Columns of nodes beside the middle one, which belongs to the way through."""
LETTERS, LINES = 21, 2
"""Of a node's label; the rest is seen when the node is asked for."""


@dataclass(frozen=True)
class Node:
    """A thing that follows others.

    Args:
        key: Names it, uniquely.
        label: What is written on it.
        group: Its kind: nodes of a group have a colour. None: an end of the graph.
        order: About where it comes, the smaller the earlier; nodes are put below those that lead to them.
        facts: What is said of it in a line.
        quotes: Examples, below each other.
    """

    key: str
    label: str
    group: str | None = None
    order: float = 0.0
    facts: str = ""
    quotes: Sequence[str] = ()


@dataclass(frozen=True)
class Edge:
    """That one follows another.

    Args:
        source: Key of a node.
        target: Key of another.
        weight: How strong it is, in (0, 1].
        text: What is written on it.
    """

    source: str
    target: str
    weight: float
    text: str


@dataclass(frozen=True)
class Network:
    """Nodes, edges, and one way from the first node to the last that stands out.

    Args:
        nodes: The nodes; the first of ``path`` stands on top, the last at the bottom.
        edges: The edges, between different nodes.
        path: Keys of the nodes of the way that stands out, at least two.
        path_name: What that way is called.
        weight_name: What the weight of an edge is called.
        least: Smallest weight that an edge had to have to be there.

    Raises:
        ValueError: An edge or the path names no node, or the path is shorter than two nodes.
    """

    nodes: Sequence[Node]
    edges: Sequence[Edge]
    path: Sequence[str]
    path_name: str = "strongest way"
    weight_name: str = "weight"
    least: float = 0.0
    _kinds: dict[str, str | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    _places: dict[str, tuple[int, int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = {node.key for node in self.nodes}
        named = {*self.path, *itertools.chain.from_iterable((edge.source, edge.target) for edge in self.edges)}
        if strange := sorted(named - known):
            raise ValueError(f"edges and path of a network name {strange}, which are no keys of its nodes.")
        if len(self.path) < 2:
            raise ValueError(f"path of a network is {list(self.path)}; it has a first and a last node.")
        self._kinds.update((node.key, node.group) for node in self.nodes)
        self._places.update(_places(self.nodes, self.edges, self.path))

    def svg(self, name: str) -> str:
        """Return the drawing.

        Args:
            name: What it shows, in words.
        """
        rows = 1 + max(row for row, _ in self._places.values())
        half = 2 * COLUMN + WIDTH // 2 + SIDE
        groups = list(dict.fromkeys(node.group for node in self.nodes if node.group is not None))
        on_path = set(itertools.pairwise(self.path))
        edges = sorted(self.edges, key=lambda edge: ((edge.source, edge.target) in on_path, edge.weight))
        drawn = "".join(self._edge(edge, (edge.source, edge.target) in on_path) for edge in edges)
        nodes = "".join(self._node(node, groups) for node in self.nodes)
        tip = (
            '<marker id="{0}" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="{1}" '
            'markerHeight="{1}" orient="auto-start-reverse"><path class="{0}" d="M0 0.5 L8 4 L0 7.5 Z"/></marker>'
        )
        tips = tip.format("tip", 10) + tip.format("path-tip", 14)
        return (
            f'<svg viewBox="{-half} 0 {2 * half} {rows * ROW}" role="group" aria-label="{html.escape(name)}">'
            f"<defs>{tips}</defs><g>{drawn}</g><g>{nodes}</g></svg>"
        )

    def html(self, name: str) -> str:
        """Return the drawing with its controls, and what the script needs to know."""
        groups = list(dict.fromkeys(node.group for node in self.nodes if node.group is not None))
        keys = "".join(
            f'<span><i class="group-{i % 2 + 1}"></i>{html.escape(group)}</span>' for i, group in enumerate(groups)
        )
        about = {
            node.key: {"label": node.label, "facts": node.facts, "quotes": list(node.quotes), "group": node.group or ""}
            for node in self.nodes
        }
        data = json.dumps({"nodes": about, "first": self.path[0], "last": self.path[-1]}).replace("<", "\\u003c")
        label = f"{self.weight_name} at least"
        return (
            '<div class="controls">'
            f'<label>{html.escape(label)} <input type="range" min="{self.least:.2f}" max="1" step="0.01" '
            f'value="{self.least:.2f}"> <output>{self.least:.2f}</output></label>'
            f'<span class="count" aria-live="polite"></span>'
            f'<label class="way"><input type="checkbox" checked> {html.escape(self.path_name)}</label>'
            f'<span class="keys">{keys}</span></div>'
            f'<div class="canvas"><div class="drawing" tabindex="0" role="region" aria-label="{html.escape(name)}">'
            f'{self.svg(name)}</div><div class="card" hidden></div></div>'
            f'<script type="application/json">{data}</script>'
        )

    def _point(self, key: str) -> tuple[float, float]:
        row, column = self._places[key]
        return column * COLUMN, (row + 0.5) * ROW

    def _between(self, edge: Edge) -> bool:
        """Tell whether an edge would go down behind a node."""
        (first, column), (last, _) = self._places[edge.source], self._places[edge.target]
        return any(first < row < last and at == column for row, at in self._places.values())

    def _half_width(self, key: str) -> float:
        return END_WIDTH / 2 if self._kinds[key] is None else WIDTH / 2

    def _edge(self, edge: Edge, on_path: bool) -> str:
        (x, y), (u, v) = self._point(edge.source), self._point(edge.target)
        half = HEIGHT / 2
        if x == u and self._between(edge):  # down past others of its column, around the left side
            a, b = x - self._half_width(edge.source), u - self._half_width(edge.target)
            out = min(a, b) - 20 - 8 * (v - y) / ROW
            line = f"M{a:.0f} {y:.0f} C{out:.0f} {y:.0f} {out:.0f} {v:.0f} {b - 2:.0f} {v:.0f}"
            middle = (0.25 * (a + b) / 2 + 0.75 * out, (y + v) / 2)
        elif v > y:  # down
            bend = (v - y - HEIGHT) * 0.55
            line = f"M{x:.0f} {y + half:.0f} C{x:.0f} {y + half + bend:.0f} {u:.0f} {v - half - bend:.0f} "
            line += f"{u:.0f} {v - half - 2:.0f}"
            middle = ((x + u) / 2, (y + v) / 2)
        elif v == y:  # beside, from below to below
            line = f"M{x:.0f} {y + half:.0f} C{x:.0f} {y + half + 42:.0f} {u:.0f} {v + half + 42:.0f} "
            line += f"{u:.0f} {v + half + 2:.0f}"
            middle = ((x + u) / 2, y + half + 32)
        else:  # back, around the side
            side = 1 if x + u >= 0 else -1
            out = side * (26 + 9 * (y - v) / ROW)
            a, b = x + side * WIDTH / 2, u + side * WIDTH / 2
            line = f"M{a:.0f} {y:.0f} C{a + out:.0f} {y:.0f} {b + out:.0f} {v:.0f} {b + side * 2:.0f} {v:.0f}"
            middle = ((a + b) / 2 + 0.75 * out, (y + v) / 2)
        kind = "edge path" if on_path else "edge back" if v <= y else "edge"
        return (
            f'<g class="{kind}" data-from="{html.escape(edge.source)}" data-to="{html.escape(edge.target)}" '
            f'data-weight="{edge.weight:.4f}"><path d="{line}" style="stroke-width:{1 + 4.5 * edge.weight:.1f};'
            f'stroke-opacity:{0.3 + 0.6 * edge.weight:.2f}" marker-end="url(#{"path-tip" if on_path else "tip"})"/>'
            f'<text x="{middle[0]:.0f}" y="{middle[1] + 4:.0f}">{html.escape(edge.text)}</text></g>'
        )

    def _node(self, node: Node, groups: Sequence[str]) -> str:
        x, y = self._point(node.key)
        way = " path" if node.key in self.path else ""
        opening = (
            f'<g class="node{way}{"" if node.group else " end"}" data-key="{html.escape(node.key)}" tabindex="0" '
            f'role="button" aria-label="{html.escape(f"{node.label}. {node.facts}")}" '
            f'transform="translate({x:.0f} {y:.0f})">'
        )
        if node.group is None:
            pill = f'<rect x="{-END_WIDTH / 2}" y="-17" width="{END_WIDTH}" height="34" rx="17"/>'
            return f'{opening}{pill}<text y="4">{_text(node.label)}</text></g>'
        lines = textwrap.wrap(node.label, LETTERS, max_lines=LINES, placeholder=" …") or [""]
        lines = [line if len(line) <= LETTERS + 2 else f"{line[: LETTERS - 1]}…" for line in lines]
        first = 4.5 - 8 * (len(lines) - 1)
        words = "".join(f'<tspan x="4" y="{first + 16 * i:.1f}">{_text(line)}</tspan>' for i, line in enumerate(lines))
        group = groups.index(node.group) % 2 + 1
        return (
            f'{opening}<rect x="{-WIDTH / 2}" y="{-HEIGHT / 2}" width="{WIDTH}" height="{HEIGHT}" rx="9"/>'
            f'<path class="group-{group}" d="M{-WIDTH / 2 + 9} {-HEIGHT / 2} h-3 a6 6 0 0 0 -6 6 v{HEIGHT - 12} '
            f'a6 6 0 0 0 6 6 h3 z"/><text>{words}</text></g>'
        )


def _text(text: str) -> str:
    return html.escape(text, quote=False)


def _places(nodes: Sequence[Node], edges: Sequence[Edge], path: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Give each node a row and a column; the path has the column 0 for itself."""
    rows = _rows(_depths(nodes, edges, path), path)
    places = {key: (i, 0) for i, row in enumerate(rows) for key in row if key in set(path)}
    neighbours: dict[str, list[tuple[str, float]]] = {node.key: [] for node in nodes}
    for edge in edges:
        neighbours[edge.source].append((edge.target, edge.weight))
        neighbours[edge.target].append((edge.source, edge.weight))
    for _ in range(4):  # each sweep moves nodes nearer to those they are joined with
        heavier = 0  # how many more nodes stand on the right than on the left, above
        for i, row in enumerate(rows):
            beside = [key for key in row if key not in set(path)]
            wanted = {key: _mean_column(neighbours[key], places) for key in beside}
            beside.sort(key=lambda key: wanted[key])
            left = _number_on_the_left([wanted[key] for key in beside], heavier)
            heavier += len(beside) - 2 * left
            columns = [*range(-left, 0), *range(1, len(beside) - left + 1)]
            places.update({key: (i, column) for key, column in zip(beside, columns, strict=True)})
    return places


def _depths(nodes: Sequence[Node], edges: Sequence[Edge], path: Sequence[str]) -> dict[str, int]:
    """Put each node one below the strongest of those that lead to it and come before it."""
    order = {node.key: node.order for node in nodes}
    for before, key in itertools.pairwise(path):
        order[key] = max(order[key], order[before] + 1e-9)
    incoming: dict[str, list[tuple[float, str]]] = {key: [] for key in order}
    for edge in edges:
        if order[edge.source] < order[edge.target]:
            incoming[edge.target].append((edge.weight, edge.source))
    leads_to = dict(zip(path[1:], path[:-1], strict=True))
    depth: dict[str, int] = {path[0]: 0}
    for key in sorted(order, key=lambda key: order[key]):
        if key in (path[0], path[-1]):
            continue
        strongest = max((pair for pair in incoming[key] if pair[1] in depth), default=None)
        found = depth[strongest[1]] + 1 if strongest else 1
        depth[key] = max(found, depth[leads_to[key]] + 1) if key in leads_to else found
    depth[path[-1]] = max(depth.values()) + 1
    return depth


def _rows(depth: Mapping[str, int], path: Sequence[str]) -> list[list[str]]:
    """Cut what is at one depth into rows that are not too wide, the path's node in the first of them."""
    found: list[list[str]] = []
    for level in range(max(depth.values()) + 1):
        here = [key for key, at in depth.items() if at == level]
        middle = [key for key in here if key in set(path)]
        beside = [key for key in here if key not in set(path)]
        parts = [beside[i : i + len(COLUMNS)] for i in range(0, len(beside), len(COLUMNS))] or [[]]
        parts[0] = middle + parts[0]
        found += [part for part in parts if part]
    return found


def _mean_column(joined: Sequence[tuple[str, float]], places: Mapping[str, tuple[int, int]]) -> float:
    known = [(places[key][1], weight) for key, weight in joined if key in places]
    total = sum(weight for _, weight in known)
    return sum(column * weight for column, weight in known) / total if total else 0.0


def _number_on_the_left(wanted: Sequence[float], heavier: int) -> int:
    """Tell how many nodes of a row go to the left: half of them; an odd one where it wants, or to the lighter side."""
    half, odd = divmod(len(wanted), 2)
    if not odd:
        return half
    middle = wanted[half]
    return half + int(heavier > 1 or (middle < 0 and heavier > -2) or (middle == 0 and heavier > 0))
