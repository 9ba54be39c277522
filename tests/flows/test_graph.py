"""Flows as graphs: what is counted, what is left out, and the way most dialogs go."""

import itertools

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.errors import InputError
from likewise.flows import END, START, flow_graph, node_count_error, transitions, widest_path

THREE = [["A", "B"], ["A", "B"], ["A", "C"]]
ALL = {"min_node_weight": 0.0, "min_edge_weight": 0.0}


def weights(graph):
    return {(u, v): round(w, 8) for u, v, w in graph.edges(data="weight")}


@pytest.mark.parametrize(
    ("policy", "to_b", "to_c", "end_of_c"),
    [("prob-out", 2 / 3, 1 / 3, 1.0), ("max-out", 1.0, 0.5, 1.0), ("max", 2 / 3, 1 / 3, 1 / 3)],
)
def test_three_dialogs_worked_out_by_hand(policy, to_b, to_c, end_of_c):
    graph = flow_graph(transitions(THREE), edge_weight=policy, **ALL)
    found = weights(graph)
    assert (found["A", "B"], found["A", "C"]) == pytest.approx((to_b, to_c), abs=1e-8)
    assert found["C", END] == pytest.approx(end_of_c, abs=1e-8)
    assert found[START, "A"] == 1.0
    assert dict(graph.nodes(data="count")) == {START: 3, "A": 3, "B": 2, "C": 1, END: 3}
    assert graph.nodes["B"]["weight"] == pytest.approx(2 / 3)
    assert graph.nodes[START]["weight"] == graph.nodes[END]["weight"] == 1
    assert widest_path(graph) == [START, "A", "B", END]


def test_an_action_that_repeats_itself_has_no_edge_to_itself_but_it_counts_before():
    counted = transitions([["A", "A", "A", "B"]] * 3 + [["A", "B"]])
    assert counted.edges["A", "A"]["count"] == 6
    graph = flow_graph(counted, edge_weight="prob-out", min_edge_weight=0.3)
    assert not graph.has_edge("A", "A")
    assert graph.edges["A", "B"]["weight"] == 1.0  # weighed anew; it was 0.4 of what left A
    with pytest.raises(InputError, match=r"no way from \[start\] to \[end\] is left of 4 nodes and 4 edges .* 0.45"):
        flow_graph(counted, edge_weight="prob-out", min_edge_weight=0.45)


def test_rare_actions_and_what_hangs_on_them_are_left_out():
    dialogs = [["A", "B"]] * 50 + [["A", "rare", "behind"], ["stray"]]
    graph = flow_graph(transitions(dialogs), min_node_weight=0.023, min_edge_weight=0.0)
    assert set(graph) == {START, "A", "B", END}
    every = flow_graph(transitions(dialogs), **ALL)
    assert set(every) == {START, "A", "B", "rare", "behind", "stray", END}


def test_weak_edges_take_nodes_with_them_that_lie_on_no_way_any_more():
    dialogs = [["A", "B"]] * 9 + [["A", "C", "B"]]
    graph = flow_graph(transitions(dialogs), min_edge_weight=0.2)
    assert set(graph) == {START, "A", "B", END}
    assert "C" in flow_graph(transitions(dialogs), min_edge_weight=0.1)


def test_actions_of_one_speaker_with_one_name_become_one():
    about = {
        "user 1": {"speaker": "user", "name": "request"},
        "user 2": {"speaker": "user", "name": "request"},
        "system 1": {"speaker": "system", "name": "request"},
    }
    counted = transitions([["user 1", "system 1"], ["user 2", "user 1", "system 1"]], about)
    assert set(counted) == {START, "user 1", "system 1", END}
    assert counted.nodes["user 1"] == {"count": 3, "speaker": "user", "name": "request"}
    assert counted.edges["user 1", "system 1"]["count"] == 2
    assert counted.edges["user 1", "user 1"]["count"] == 1


def test_the_graph_that_was_counted_stays_as_it_was():
    counted = transitions(THREE)
    flow_graph(counted, min_node_weight=0.5, min_edge_weight=0.0)
    assert set(counted) == {START, "A", "B", "C", END}
    assert "weight" not in counted.edges["A", "B"]


def test_the_happy_path_lets_the_speakers_take_turns_where_it_can():
    about = {
        name: {"speaker": "user" if name.startswith("u") else "system", "name": name} for name in ("u1", "u2", "s")
    }
    both = flow_graph(transitions([["u1", "u2"]] * 5 + [["u1", "s", "u2"]] * 2, about), edge_weight="prob-out", **ALL)
    assert widest_path(both) == [START, "u1", "s", "u2", END]
    alone = flow_graph(transitions([["u1", "u2"]] * 5, about), **ALL)
    assert widest_path(alone) == [START, "u1", "u2", END]


@given(st.lists(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=5), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_no_way_is_wider_than_the_happy_path(dialogs):
    graph = flow_graph(transitions(dialogs), edge_weight="prob-out", **ALL)

    def width(path):
        return min(graph.edges[edge]["weight"] for edge in itertools.pairwise(path))

    ways = list(nx.all_simple_paths(graph, START, END))
    found = widest_path(graph)
    assert width(found) == max(map(width, ways))
    assert len(found) == min(len(way) for way in ways if width(way) == width(found))
    for node in graph:
        if node != END:
            assert sum(w for _, _, w in graph.out_edges(node, data="weight")) == pytest.approx(1)
        assert node in (START, END) or nx.has_path(graph, START, node)
        assert nx.has_path(graph, node, END)


def test_an_empty_dialog_goes_straight_to_its_end():
    assert weights(flow_graph(transitions([[]]))) == {(START, END): 1.0}


def test_the_error_is_a_share_of_the_true_number_of_nodes():
    three, two = (flow_graph(transitions([names]), **ALL) for names in (["A", "B", "C"], ["A", "B"]))
    assert node_count_error(three, two) == 0.25
    assert node_count_error(two, three) == 0.2


def test_official_numbers_of_nodes_are_found():
    """build_graph.py of idiap/dialog2flow, 5ce95a6a5027, on three dialogs with a loop, a rare act and a dead end."""
    dialogs = [["u: hi", "s: hi", "u: ask", "u: ask", "s: tell"]] * 30
    dialogs += [["u: hi", "s: hi", "u: rare", "s: tell"], ["s: odd", "u: ask", "s: tell"]] * 1
    assert flow_graph(transitions(dialogs), min_edge_weight=0.02).number_of_nodes() == 6


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"edge_weight": "max_out"}, "unknown weight of edges 'max_out': did you mean 'max-out'"),
        ({"min_node_weight": -0.1}, "min_node_weight is -0.1; it is a share between 0 and 1"),
        ({"min_edge_weight": 1.5}, "min_edge_weight is 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        flow_graph(transitions(THREE), **options)
