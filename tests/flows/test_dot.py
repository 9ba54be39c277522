"""DOT: what Graphviz is given."""

from likewise.flows import flow_graph, transitions, widest_path
from likewise.flows.dot import to_dot


def test_names_and_labels_are_quoted_and_the_happy_path_is_bold():
    about = {"user 1": {"speaker": "user", "name": 'say "hi" to the very friendly man behind the desk'}}
    graph = flow_graph(transitions([["user 1"]], about))
    text = to_dot(graph, widest_path(graph))
    assert text.startswith("digraph flow {")
    assert text.rstrip().endswith("}")
    assert r'label="say \"hi\" to the very\nfriendly man behind the desk"' in text
    assert text.count('style="bold"') == 2
    assert '"[start]" -> "user 1" [label="1.00", penwidth="5.0", style="bold"];' in text
    assert "bold" not in to_dot(graph)
