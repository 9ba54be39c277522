"""Flows from dialogs: clusters, graph, files and page, with vectors that are given."""

import itertools
import json

import networkx as nx
import pytest
import torch

from likewise.artefact import Model
from likewise.data import open_dialogs
from likewise.data.utterances import plain_utterance
from likewise.errors import InputError
from likewise.products.action import NearestActions
from likewise.products.flow import FILES, Flow

MEANING = {"which city": 0, "what city": 0, "boston": 1, "paris please": 1, "bye": 2, "goodbye": 2, "wait": 3, "hm": 3}
ACTIONS = {"request city": 0, "inform city": 1, "good bye": 2}


class Reader:
    """Vectors by what an utterance means, with a little of its own."""

    def encode(self, texts, **_):
        vectors = torch.zeros(len(texts), 8)
        for i, text in enumerate(texts):
            vectors[i, MEANING[text]] = 1
            vectors[i, 4 + len(text) % 4] = 0.3
        return torch.nn.functional.normalize(vectors, dim=1)


def model(kept=True):
    centres = {name: torch.eye(8)[i] for name, i in ACTIONS.items()}
    return Model(Reader(), {}, {"actions": centres, "normalise": True} if kept else {}, None)


TALKS = [
    [("Agent", "Which city?"), ("Customer", "Boston"), ("Agent", "Bye!")],
    [("Agent", "What city?"), ("Customer", "Paris, please."), ("Agent", "Goodbye")],
    [("Agent", "Which city?"), ("Customer", "wait"), ("Customer", "Paris, please."), ("Agent", "Bye")],
]


@pytest.fixture
def folder(tmp_path):
    talks = tmp_path / "talks"
    talks.mkdir()
    for number, talk in enumerate(TALKS):
        lines = [f"{who}: {text}" for who, text in talk]
        (talks / f"talk{number}.txt").write_text("\n".join(lines).replace("Which city?", "Which city"))
    for text in ("Which city", "What city"):
        MEANING.setdefault(text.lower() + "?", 0)
    return talks


def run(folder, **settings):
    return Flow(dialogs=str(folder), out=str(folder.parent / "flow"), **settings).run(model())


def test_utterances_that_mean_the_same_are_one_action(folder):
    result = run(folder, threshold=0.6, min_edge_weight=0.1)
    assert result.figures == {
        "dialogs": 3, "utterances": 10, "user_actions": 2, "system_actions": 2,
        "user_threshold": 0.6, "system_threshold": 0.6, "nodes": 6, "edges": 6,
    }  # fmt: skip
    out = folder.parent / "flow"
    assert [file.name for file in result.files] == list(FILES)
    actions = json.loads((out / "actions.json").read_text())
    assert [(one["action"], one["count"]) for one in actions] == [
        ("user 1", 3), ("user 2", 1), ("system 1", 3), ("system 2", 3),
    ]  # fmt: skip
    assert set(actions[0]["utterances"]) == {"Boston", "Paris, please."}
    graph = nx.read_graphml(out / "graph.graphml")
    assert graph.edges["system 1", "user 1"]["count"] == 2
    assert graph.edges["system 1", "user 1"]["weight"] == 1.0
    assert graph.edges["system 1", "user 2"]["weight"] == 0.5
    assert graph.nodes["user 1"]["speaker"] == "user"
    assert "digraph" in (out / "graph.dot").read_text()


def test_trajectories_can_be_read_again_with_their_actions(folder):
    run(folder)
    again = open_dialogs(folder.parent / "flow" / "trajectories.json")
    first = open_dialogs(folder)
    assert [[(t.speaker, t.text) for t in d.turns] for d in again] == [
        [(t.speaker, t.text) for t in d.turns] for d in first
    ]
    assert [turn.action.split("_")[0] for turn in again[2].turns] == ["1", "2", "1", "2"]
    content = json.loads((folder.parent / "flow" / "trajectories.json").read_text())
    log = content["talk0"]["log"]
    assert (log[0]["turn"], log[-1]["turn"]) == ("[start]", "[end]")
    assert log[1]["turn"].startswith("SYSTEM: 1_")


def test_actions_can_be_named_after_those_of_training_and_merge(folder):
    result = run(folder, names="action", threshold=0.05, min_edge_weight=0.0, min_node_weight=0.0)
    actions = json.loads((folder.parent / "flow" / "actions.json").read_text())
    assert {one["name"] for one in actions} == set(ACTIONS)
    assert len(actions) > 4  # many small clusters, of which those with one name are one node
    graph = nx.read_graphml(folder.parent / "flow" / "graph.graphml")
    assert result.figures["nodes"] == len(graph) == 6
    assert sorted((data["speaker"], data["name"]) for _, data in graph.nodes(data=True) if "name" in data) == [
        ("system", "good bye"), ("system", "request city"), ("user", "inform city"), ("user", "request city"),
    ]  # fmt: skip


def test_the_threshold_is_a_share_of_the_mean_distance_where_none_is_given(folder):
    figures = run(folder, min_edge_weight=0.0, min_node_weight=0.0).figures
    said = [turn for dialog in open_dialogs(folder) for turn in dialog.turns if turn.speaker == "user"]
    vectors = Reader().encode([plain_utterance(turn.text) for turn in said])
    cosines = [float(a @ b) for a, b in itertools.combinations(vectors, 2)]
    assert figures["user_threshold"] == pytest.approx(0.8 * (1 - sum(cosines) / len(cosines)), abs=1e-4)
    assert figures["user_actions"] == 2


def test_numbers_of_actions_take_the_place_of_the_threshold(folder):
    figures = run(folder, user_actions=1, system_actions=3, min_node_weight=0.0, min_edge_weight=0.0).figures
    assert (figures["user_actions"], figures["system_actions"]) == (1, 3)


def test_annotated_dialogs_are_compared_and_domains_have_a_graph_each(tmp_path):
    log = [{"speaker": who, "text": text, "action": action}
           for (who, text), action in zip(TALKS[0][1:], ("inform", "bye"), strict=True)]  # fmt: skip
    dialogs = [
        {"id": f"{domain} {i}", "domain": domain, "turns": log} for domain in ("taxi", "hotel/inn") for i in (1, 2)
    ]
    file = tmp_path / "dialogs.json"
    file.write_text(json.dumps(dialogs))
    both = Flow(dialogs=str(file), out=str(tmp_path / "flow")).run(model())
    assert [row["domain"] for row in both.rows] == ["taxi", "hotel/inn"]
    assert [(row["nodes"], row["annotated_nodes"], row["node_count_error"]) for row in both.rows] == [(4, 4, 0.0)] * 2
    assert (tmp_path / "flow" / "hotel-inn" / "flow.html").exists()
    one = Flow(dialogs=str(file), out=str(tmp_path / "one"), domain="taxi").run(model())
    assert one.figures["dialogs"] == 2
    assert (tmp_path / "one" / "flow.html").exists()
    with pytest.raises(InputError, match="unknown domain 'taxis': did you mean 'taxi'"):
        Flow(dialogs=str(file), out=str(tmp_path / "no"), domain="taxis").run(model())
    assert not (tmp_path / "no").exists()


def test_the_page_shows_the_graph_and_says_how_it_was_made(folder, browse):
    run(folder, threshold=0.6, min_edge_weight=0.1)
    view = browse(folder.parent / "flow" / "flow.html")
    view.assert_sound()
    assert view.page.locator("h1").inner_text() == "The flow of 3 dialogs"
    assert view.page.locator(".node").count() == 6
    assert view.page.locator(".edge.path").count() == 4
    text = view.page.locator("main").inner_text()
    assert "10 utterances do 2 things on the side of the user and 2 on that of the system" in text
    assert "mean cosine distance below 0.6" in text
    view.page.locator(".node").nth(2).click()
    assert "times in 3 dialogs" in view.page.locator(".card").inner_text()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dialogs": ""}, "no dialogs were given; name a folder of transcripts"),
        ({"threshold": 3.0}, "threshold is 3.0; it is a cosine distance, more than 0 and at most 2"),
        ({"user_actions": 0}, "the number of clusters is 0"),
        ({"min_edge_weight": 2.0}, "min_edge_weight is 2.0; it is a share between 0 and 1"),
    ],
)
def test_what_cannot_be_is_refused_and_writes_nothing(folder, settings, says):
    with pytest.raises(InputError, match=says):
        Flow(**{"dialogs": str(folder), "out": str(folder.parent / "flow"), **settings}).run(model())
    assert not (folder.parent / "flow").exists()


def test_an_utterance_is_named_after_the_nearest_actions():
    rows = NearestActions("Boston!", k=2).run(model()).rows
    assert [row["action"] for row in rows][0:1] == ["inform city"]
    assert len(rows) == 2
    assert len(NearestActions("bye", k=50).run(model()).rows) == 3


@pytest.mark.parametrize(
    ("product", "kept", "says"),
    [
        (NearestActions(" "), True, "no utterance was given"),
        (NearestActions("bye", k=0), True, "k is 0; at least 1"),
        (NearestActions("bye"), False, "keeps no actions; a model that dialog2flow has trained does"),
    ],
)
def test_what_has_no_nearest_action_is_refused(product, kept, says):
    with pytest.raises(InputError, match=says):
        product.run(model(kept))
