"""The graph of a flow: which action follows which, how often, without what is rare; and the way most dialogs go.

Nodes and edges of the graphs (``networkx.DiGraph``) have a ``count`` and a ``weight``; nodes of actions also have
``speaker`` and ``name``, where they were given.
"""

from __future__ import annotations

import bisect
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from likewise.errors import InputError, unknown

if TYPE_CHECKING:
    import networkx as nx

    Graph: TypeAlias = "nx.DiGraph[str]"

__all__ = ["END", "START", "EdgeWeight", "flow_graph", "node_count_error", "transitions", "widest_path"]

START, END = "[start]", "[end]"

EdgeWeight = Literal["max", "max-out", "prob-out"]
"""What the count of an edge is divided by: the largest of all edges, the largest that leaves the same node, or the sum
of those that leave it (then it is the share of the times that this action came next)."""


def transitions(trajectories: Iterable[Sequence[str]], about: Mapping[str, Mapping[str, Any]] | None = None) -> Graph:
    """Count how often each action occurs, and how often another one comes next.

    Args:
        trajectories: The actions of each dialog in their order, without start and end.
        about: ``speaker`` and ``name`` of each action; actions of one speaker with one name become one node, called
            after the first of them.

    Returns:
        A graph with the nodes ``[start]`` and ``[end]``, whose nodes and edges have a ``count``. An action that
        repeats itself has an edge to itself.

    Example:
        >>> graph = transitions([["A", "B"], ["A", "B"], ["A", "C"]])
        >>> graph.edges["A", "B"]["count"], graph.nodes["A"]["count"]
        (2, 3)
    """
    import networkx as nx

    about = about or {}
    first: dict[Hashable, str] = {}
    graph: Graph = nx.DiGraph()
    number = 0
    graph.add_node(START, count=0)
    for trajectory in trajectories:
        number += 1
        before = START
        for action in trajectory:
            known = about.get(action, {})
            name = (known.get("speaker"), known["name"]) if known.get("name") else action
            node = first.setdefault(name, action)
            if node not in graph:
                graph.add_node(node, count=0, **known)
            graph.nodes[node]["count"] += 1
            _count_edge(graph, before, node)
            before = node
        _count_edge(graph, before, END)
    graph.add_node(END)
    graph.nodes[START]["count"] = graph.nodes[END]["count"] = number
    return graph


def _count_edge(graph: Graph, source: str, target: str) -> None:
    if graph.has_edge(source, target):
        graph.edges[source, target]["count"] += 1
    else:
        graph.add_edge(source, target, count=1)


def flow_graph(
    counted: Graph,
    *,
    edge_weight: EdgeWeight = "max-out",
    min_node_weight: float = 0.023,
    min_edge_weight: float = 0.2,
) -> Graph:
    """Weigh the transitions, and leave what is rare out.

    1. Nodes are weighed by their count over the largest count ([start] and [end] weigh 1), edges by ``edge_weight``,
       over all that was counted.
    2. Edges from an action to itself are taken away, then nodes that weigh less than ``min_node_weight``, then nodes
       that lie on no way from [start] to [end].
    3. Edges that weigh less than ``min_edge_weight`` are taken away, then again nodes that lie on no such way.
    4. Edges are weighed anew, over what is left.

    Args:
        counted: What :func:`transitions` returned; it is not changed.
        edge_weight: What an edge's count is divided by.
        min_node_weight: Least weight of a node, in [0, 1] (paper: 0.023).
        min_edge_weight: Least weight of an edge, in [0, 1] (official: 0.2; 0.02 where the paper evaluates graphs).

    Returns:
        Another graph, with a ``weight`` in (0, 1] on every node and edge.

    Raises:
        InputError: A setting lies outside its range, or no way from [start] to [end] is left.

    Source: official ``build_graph.py`` of arXiv 2410.18481.

    Example:
        >>> graph = flow_graph(transitions([["A", "B"], ["A", "B"], ["A", "C"]]), edge_weight="prob-out")
        >>> round(graph.edges["A", "B"]["weight"], 4), round(graph.edges["A", "C"]["weight"], 4)
        (0.6667, 0.3333)
    """
    import networkx as nx

    if edge_weight not in get_args(EdgeWeight):
        raise unknown("weight of edges", edge_weight, get_args(EdgeWeight))
    for name, value in (("min_node_weight", min_node_weight), ("min_edge_weight", min_edge_weight)):
        if not 0 <= value <= 1:
            raise InputError(f"{name} is {value}; it is a share between 0 and 1.")
    graph: Graph = counted.copy()
    most = max((data["count"] for node, data in graph.nodes(data=True) if node not in (START, END)), default=1)
    for node, data in graph.nodes(data=True):
        data["weight"] = 1.0 if node in (START, END) else data["count"] / most
    _weigh_edges(graph, edge_weight)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    graph.remove_nodes_from([node for node, weight in graph.nodes(data="weight") if weight < min_node_weight])
    _keep_ways_through(graph)
    graph.remove_edges_from([(u, v) for u, v, weight in graph.edges(data="weight") if weight < min_edge_weight])
    _keep_ways_through(graph)
    if not nx.has_path(graph, START, END):
        raise InputError(
            f"no way from {START} to {END} is left of {counted.number_of_nodes()} nodes and "
            f"{counted.number_of_edges()} edges with min_node_weight {min_node_weight} and min_edge_weight "
            f"{min_edge_weight}; lower one of them, or make more or fewer actions (another threshold)."
        )
    _weigh_edges(graph, edge_weight)
    return graph


def _weigh_edges(graph: Graph, policy: EdgeWeight) -> None:
    largest = max((count for _, _, count in graph.edges(data="count")), default=1)
    for node in graph:
        counts = [count for _, _, count in graph.out_edges(node, data="count")]
        by = {"max": largest, "max-out": max(counts, default=1), "prob-out": sum(counts)}[policy]
        for _, _, data in graph.out_edges(node, data=True):
            data["weight"] = data["count"] / by


def _keep_ways_through(graph: Graph) -> None:
    """Take away what lies on no way from [start] to [end]."""
    import networkx as nx

    between = nx.descendants(graph, START) & nx.ancestors(graph, END) | {START, END}
    graph.remove_nodes_from([node for node in list(graph) if node not in between])


def widest_path(graph: Graph) -> list[str]:
    """Return the "happy path": the way from [start] to [end] whose weakest edge is strongest; of those the shortest.

    Both speakers take turns on it: an edge between two actions of one speaker is not gone along, unless there is no
    other way.

    Args:
        graph: What :func:`flow_graph` returned.

    Returns:
        The nodes, [start] and [end] included.

    Example:
        >>> widest_path(flow_graph(transitions([["A", "B"], ["A", "B"], ["A", "C"]])))
        ['[start]', 'A', 'B', '[end]']
    """
    import networkx as nx

    speaker: dict[str, Any] = dict(graph.nodes(data="speaker"))
    edges = [(u, v, w) for u, v, w in graph.edges(data="weight") if speaker[u] is None or speaker[u] != speaker[v]]
    taking_turns: Graph = nx.DiGraph()
    taking_turns.add_nodes_from([START, END])
    taking_turns.add_weighted_edges_from(edges)
    if not nx.has_path(taking_turns, START, END):
        edges = list(graph.edges(data="weight"))
    widths = sorted({weight for _, _, weight in edges})

    def at_least(width: float) -> Graph:
        found: Graph = nx.DiGraph()
        found.add_nodes_from([START, END])
        found.add_edges_from((u, v) for u, v, weight in edges if weight >= width)
        return found

    first_cut = bisect.bisect_left(widths, True, key=lambda width: not nx.has_path(at_least(width), START, END))
    path: list[str] = nx.shortest_path(at_least(widths[first_cut - 1]), START, END)
    return path


def node_count_error(found: Graph, true: Graph) -> float:
    """Return by what share the number of nodes differs from the true one: ``|found - true| / true``.

    Example:
        >>> one, other = (flow_graph(transitions([names])) for names in (["A", "B", "C"], ["A", "B"]))
        >>> node_count_error(one, other)
        0.25
    """
    nodes: int = true.number_of_nodes()
    return abs(int(found.number_of_nodes()) - nodes) / nodes
