"""From dialogs to their flow: clusters of utterances as actions, and a graph of which action follows which."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from likewise.data.dialogs import SYSTEM, USER, USER_NAMES, Dialog, open_dialogs
from likewise.errors import InputError, unknown
from likewise.flows import END, START, Action, EdgeWeight
from likewise.products.action import kept_actions, utterance_vectors
from likewise.products.base import Product, ProductResult

if TYPE_CHECKING:
    import networkx as nx

    from likewise.artefact import Model
    from likewise.report import Network

__all__ = ["Flow"]

SHARES: Mapping[str, str] = {
    "prob-out": "the share of the times that it comes next",
    "max-out": "its count over that of the most frequent next action",
    "max": "its count over that of the most frequent edge",
}
"""What the weight of an edge says, by how it is made."""
SHARE = 0.8
"""Threshold over the mean distance where none is given: about what the official 0.6 is for the paper's encoders."""
FILES = ("flow.html", "graph.graphml", "graph.dot", "trajectories.json", "actions.json")


@dataclass(frozen=True)
class Flow(Product):
    """Turn dialogs into a graph of what is done in them, step by step."""

    summary: ClassVar[str] = "Turn dialogs into a graph of what is done in them, step by step"
    argument: ClassVar[str | None] = "dialogs"

    dialogs: str = ""
    """A folder of transcripts (txt with a line 'speaker: text' a turn, tsv or json), or a file of many dialogs."""
    out: str = "flow"
    """Folder for the graph, the page and the trajectories; made where it is missing."""
    threshold: float | None = None
    """Utterances of one speaker are one action while their mean cosine distance is below, in (0, 2] (official: 0.6,
    for encoders that spread utterances widely). Where not given: 0.8 of the mean distance of two utterances."""
    user_actions: int | None = None
    """How many actions the user has, >= 1, in place of the threshold."""
    system_actions: int | None = None
    """How many actions the system has, >= 1, in place of the threshold."""
    edge_weight: EdgeWeight = "max-out"
    """What the count of an edge is divided by: max, the largest; max-out, the largest that leaves the same action;
    prob-out, all that leave it, which gives the share of the times."""
    min_node_weight: float = 0.023
    """Least count of an action over that of the most frequent one, in [0, 1] (paper: 0.023)."""
    min_edge_weight: float = 0.2
    """Least weight of an edge, in [0, 1] (official: 0.2; 0.02 where the paper compares graphs)."""
    names: Literal["utterance", "action"] = "utterance"
    """What an action is called: utterance, the one nearest its centre; action, the nearest action of the training data,
    and actions with one name become one."""
    domain: str | None = None
    """Only the dialogs of this domain; where not given, each domain has a graph of its own."""
    user_names: tuple[str, ...] = USER_NAMES
    """What the transcripts call the user; everybody else is the system."""

    def run(self, model: Model) -> ProductResult:
        """Read, embed, cluster, count, draw and write.

        Raises:
            InputError: There are no dialogs, a setting lies outside its range, or nothing is left of a graph.
        """
        if not self.dialogs.strip():
            raise InputError("no dialogs were given; name a folder of transcripts or a file of dialogs.")
        by_domain = self._by_domain(open_dialogs(self.dialogs, user_names=self.user_names))
        rows: list[dict[str, Any]] = []
        files: list[Path] = []
        for domain, dialogs in by_domain.items():
            folder = Path(self.out) if len(by_domain) == 1 else Path(self.out) / _as_file_name(domain or "no domain")
            extracted = _Extracted.of(model, dialogs, self)
            figures = {"domain": domain} if domain is not None else {}
            rows.append({**figures, **extracted.figures()})
            files += extracted.write(folder, domain)
        if len(rows) == 1:
            return ProductResult(figures=rows[0], files=files)
        return ProductResult(rows=rows, files=files)

    def _by_domain(self, dialogs: Sequence[Dialog]) -> dict[str | None, list[Dialog]]:
        found: dict[str | None, list[Dialog]] = {}
        for dialog in dialogs:
            found.setdefault(dialog.domain, []).append(dialog)
        if self.domain is None:
            return found
        if self.domain not in found:
            raise unknown("domain", self.domain, [domain for domain in found if domain is not None])
        return {self.domain: found[self.domain]}


@dataclass
class _Extracted:
    """What was found in the dialogs of one domain."""

    settings: Flow
    dialogs: Sequence[Dialog]
    trajectories: list[list[str]]
    about: dict[str, dict[str, Any]]
    thresholds: dict[str, float | None]
    graph: nx.DiGraph[str]
    path: list[str]
    true_nodes: int | None
    _order: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, dialogs: Sequence[Dialog], settings: Flow) -> _Extracted:
        from likewise.flows import cluster_actions, flow_graph, mean_distance, transitions, widest_path

        said = [(turn.speaker, turn.text) for dialog in dialogs for turn in dialog.turns]
        texts = list(dict.fromkeys(text for _, text in said))
        place = {text: i for i, text in enumerate(texts)}
        vectors = utterance_vectors(model, texts).numpy()
        action_of: dict[int, str] = {}
        about: dict[str, dict[str, Any]] = {}
        thresholds: dict[str, float | None] = {}
        for speaker, number in ((USER, settings.user_actions), (SYSTEM, settings.system_actions)):
            turns = [i for i, (who, _) in enumerate(said) if who == speaker]
            own = vectors[[place[said[i][1]] for i in turns]]
            threshold = settings.threshold
            if threshold is None:
                threshold = SHARE * (mean_distance(own) if len(own) > 1 else 1.0) or SHARE  # all alike: any will do
            thresholds[speaker] = None if number is not None else round(threshold, 4)
            actions = cluster_actions(own, [said[i][1] for i in turns], threshold=threshold, number=number)
            names = _names(model, actions, settings.names)
            for rank, (action, name) in enumerate(zip(actions, names, strict=True), 1):
                key = f"{speaker} {rank}"
                about[key] = {"speaker": speaker, "name": name, "utterances": list(action.nearest)}
                action_of.update(dict.fromkeys((turns[member] for member in action.members), key))
        trajectories, start = [], 0
        for dialog in dialogs:
            trajectories.append([action_of[start + i] for i in range(len(dialog.turns))])
            start += len(dialog.turns)
        weigh = partial(
            flow_graph,
            edge_weight=settings.edge_weight,
            min_node_weight=settings.min_node_weight,
            min_edge_weight=settings.min_edge_weight,
        )
        named = {key: {"speaker": one["speaker"], "name": one["name"]} for key, one in about.items()}
        graph = weigh(transitions(trajectories, named))
        true_nodes = None
        if all(turn.action for dialog in dialogs for turn in dialog.turns):
            annotated = [[f"{turn.speaker}: {turn.action}" for turn in dialog.turns] for dialog in dialogs]
            true_nodes = weigh(transitions(annotated)).number_of_nodes()
        found = cls(settings, dialogs, trajectories, about, thresholds, graph, widest_path(graph), true_nodes)
        found._order = found._mean_places()
        return found

    def figures(self) -> dict[str, Any]:
        """Return what is told on the terminal."""
        each: dict[str, Any] = {
            f"{speaker}_actions": sum(one["speaker"] == speaker for one in self.about.values())
            for speaker in (USER, SYSTEM)
        }
        each |= {f"{speaker}_threshold": value for speaker, value in self.thresholds.items() if value is not None}
        nodes = self.graph.number_of_nodes()
        found = {
            "dialogs": len(self.dialogs),
            "utterances": sum(len(dialog.turns) for dialog in self.dialogs),
            **each,
            "nodes": nodes,
            "edges": self.graph.number_of_edges(),
        }
        if self.true_nodes is not None:
            found |= {
                "annotated_nodes": self.true_nodes,
                "node_count_error": round(abs(nodes - self.true_nodes) / self.true_nodes, 4),
            }
        return found

    def write(self, folder: Path, domain: str | None) -> list[Path]:
        """Write everything into a folder."""
        import networkx as nx

        from likewise.flows.dot import to_dot

        folder.mkdir(parents=True, exist_ok=True)
        paths = {
            name: folder / name
            for name in ("flow.html", "graph.graphml", "graph.dot", "trajectories.json", "actions.json")
        }
        nx.write_graphml(self.graph, paths["graph.graphml"])
        paths["graph.dot"].write_text(to_dot(self.graph, self.path), encoding="utf-8")
        actions = [
            {"action": key, **one, "count": sum(trajectory.count(key) for trajectory in self.trajectories)}
            for key, one in self.about.items()
        ]
        for name, content in (("trajectories.json", self._log(domain)), ("actions.json", actions)):
            paths[name].write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        self._write_page(paths["flow.html"], domain)
        return list(paths.values())

    def _log(self, domain: str | None) -> dict[str, Any]:
        """Return the dialogs as sequences of actions, in the form of the official code, which its programs read."""

        def ends(token: str) -> dict[str, Any]:
            return {"tag": None, "text": None, "turn": token}

        found: dict[str, Any] = {}
        for dialog, trajectory in zip(self.dialogs, self.trajectories, strict=True):
            log = [
                {
                    "tag": turn.speaker,
                    "text": turn.text,
                    "turn": f"{turn.speaker.upper()}: {key.split()[1]}_{self.about[key]['name']}",
                }
                for turn, key in zip(dialog.turns, trajectory, strict=True)
            ]
            found[dialog.name] = {"goal": {domain or "dialogs": {}}, "log": [ends(START), *log, ends(END)]}
        return found

    def _mean_places(self) -> dict[str, float]:
        """Return where in a dialog each action comes in the mean, from 0 to 1."""
        places: dict[str, list[float]] = {}
        node_of = {
            (data["speaker"], data["name"]): node for node, data in self.graph.nodes(data=True) if "name" in data
        }
        for trajectory in self.trajectories:
            for i, key in enumerate(trajectory):
                node = node_of.get((self.about[key]["speaker"], self.about[key]["name"]))
                if node is not None:
                    places.setdefault(node, []).append((i + 1) / (len(trajectory) + 1))
        return {START: 0.0, END: 1.0, **{node: sum(several) / len(several) for node, several in places.items()}}

    def _network(self) -> Network:
        from likewise.report import Edge, Network, Node

        total = len(self.dialogs)
        nodes = [Node(START, "start", facts=f"{total} dialogs"), Node(END, "end", order=1.0, facts=f"{total} dialogs")]
        inner = [(node, data) for node, data in self.graph.nodes(data=True) if node not in (START, END)]
        for node, data in sorted(inner, key=lambda one: one[1]["speaker"] != USER):
            nodes.append(
                Node(
                    node,
                    data["name"],
                    data["speaker"],
                    self._order[node],
                    f"{data['speaker']}, {data['count']} times in {total} dialogs",
                    self._quotes(node),
                )
            )
        edges = [
            Edge(source, target, data["weight"], f"{data['weight']:.0%}")
            for source, target, data in self.graph.edges(data=True)
        ]
        return Network(
            nodes,
            edges,
            self.path,
            path_name="happy path",
            weight_name="weight",
            least=self.settings.min_edge_weight,
        )

    def _quotes(self, node: str) -> list[str]:
        """Return the utterances of a node: those nearest the centres of the actions that it is made of."""
        data = self.graph.nodes[node]
        same = [
            one["utterances"]
            for one in self.about.values()
            if (one["speaker"], one["name"]) == (data["speaker"], data["name"])
        ]
        rounds: Iterator[str] = (group[i] for i in range(5) for group in same if i < len(group))
        return list(dict.fromkeys(rounds))[:5]

    def _write_page(self, path: Path, domain: str | None) -> None:
        from likewise.report import Page

        figures, settings = self.figures(), self.settings
        of = f" about {domain}" if domain else ""
        called = "the one in their middle" if settings.names == "utterance" else "the nearest known action"
        page = Page(
            f"The flow of {len(self.dialogs)} dialogs{of}",
            f"{figures['utterances']} utterances do {figures['user_actions']} things on the side of the user and "
            f"{figures['system_actions']} on that of the system. The graph shows the frequent ones, and what follows "
            "what.",
        )
        page.network(
            self._network(),
            caption=(
                f"Each box is an action: utterances of one speaker that lie together, called after {called}. The "
                f"weight of an edge is {SHARES[settings.edge_weight]}; dashed edges go back. Point at a box for what "
                "is said there, click to hold it. The happy path is the way whose weakest edge is strongest."
            ),
            alt=f"Graph of {figures['nodes'] - 2} actions and {figures['edges']} edges from start to end",
        )
        page.section("The happy path")
        rows = []
        for node in self.path[1:-1]:
            data = self.graph.nodes[node]
            rows.append([data["speaker"], data["name"], f"{data['count']:,}"])
        page.table(["speaker", "action", "times"], rows, numbers=["times"])
        page.section("All actions of the graph")
        page.table(["speaker", "action", "times", "most often next"], self._action_rows(), numbers=["times"])
        page.soft(
            f"Clusters: {self._how('user')}; {self._how('system')}. Edges: {settings.edge_weight}, at least "
            f"{settings.min_edge_weight:g}; actions: at least {settings.min_node_weight:g} of the most frequent one."
        )
        page.write(path)

    def _how(self, speaker: str) -> str:
        threshold = self.thresholds[speaker]
        if threshold is None:
            return f"{speaker}, {getattr(self.settings, f'{speaker}_actions')} asked for"
        return f"{speaker}, mean cosine distance below {threshold:g}"

    def _action_rows(self) -> list[list[str]]:
        rows = []
        inner = [(node, data) for node, data in self.graph.nodes(data=True) if node not in (START, END)]
        for node, data in sorted(inner, key=lambda one: -one[1]["count"]):
            after = sorted(self.graph.out_edges(node, data=True), key=lambda edge: -edge[2]["count"])
            name = self.graph.nodes[after[0][1]].get("name", "end")
            rows.append([data["speaker"], data["name"], f"{data['count']:,}", name])
        return rows


def _names(model: Model, actions: Sequence[Action], names: str) -> list[str]:
    if names == "utterance" or not actions:
        return [action.nearest[0] for action in actions]
    import numpy as np

    known, centres = kept_actions(model)
    found = np.stack([action.centre for action in actions])
    return [known[i] for i in (found @ centres.numpy().T).argmax(axis=1).tolist()]


def _as_file_name(domain: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_ " else "-" for letter in domain).strip() or "domain"
