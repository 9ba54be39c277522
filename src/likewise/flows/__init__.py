"""Flows: what dialogs do, step by step, as a graph of actions found by clustering their utterances.

A room of its own because nothing in it knows a model or a page: it works on vectors and on sequences of names.
"""

from __future__ import annotations

from likewise.flows.actions import Action, cluster_actions, mean_distance
from likewise.flows.graph import END, START, EdgeWeight, flow_graph, node_count_error, transitions, widest_path

__all__ = [
    "END",
    "START",
    "Action",
    "EdgeWeight",
    "cluster_actions",
    "flow_graph",
    "mean_distance",
    "node_count_error",
    "transitions",
    "widest_path",
]
