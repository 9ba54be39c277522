"""Do languages come to lie alike without translations, and what do the bank and calibration add? CCP's stand-in study.

Text: the Debian Administrator's Handbook and Debian's installation guide in English, German, French and Spanish, as the
packages ``debian-handbook`` and ``installation-guide-amd64`` hold them. Unpacked, they are what ``--text`` is given:

    apt-get download debian-handbook installation-guide-amd64
    for file in *.deb; do dpkg-deb -x $file text; done

A document is a run of at most twenty sentences of one page. All languages are trained on the same pages, so that what
they speak of is comparable, but nothing says which sentence is whose translation. A paragraph that is left in English
in a translation is left out of it. Of the pages, a tenth is for choosing settings and a fifth is measured; there, a
sentence and its translation are those at the same place of paragraphs with equally many sentences.

The encoder is made from scratch: 8,000 word pieces of the training text, their vectors (256 numbers) under a mean, and
one tanh layer; no transformer layer. It knows nothing but which pieces the languages share: names, commands, numbers,
and stems. Arms from the same weights, at equal steps, paired by seed: negatives in the batch alone; with one bank that
all languages share; with a bank of each language, as large as a batch; with one as large as sixteen.

Banks are that small because nothing slows the encoder: keys in the bank are old, both sides of a pair are pushed away
from them together, and where the encoder moves far while a bank lasts, it runs ahead of its own keys until all cosines
are alike. On the pages for choosing, banks of 256 to 2,048 collapsed so at learning rates of 2e-4 to 2e-3.

Every model is also measured behind the calibration that monolingual sentences of the training pages give: shift and
scale; that and a rotation found without translations; that and a rotation by 500 translations of the training pages.
It is fitted to 1,500 sentences of each language.
"language": how well a linear probe tells the language of a measured sentence (0.25 is chance). "context": recall@10 of
a sentence that stands next to another, among 400 of its language.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import typer

import likewise
from benchmarks.options import Seeds, Work, Workers
from benchmarks.stored import store_study
from benchmarks.temperature import write_rows
from likewise.encoders import Calibrator, Domain, TextEncoder, load_text_encoder
from likewise.evaluation import get_task

if TYPE_CHECKING:
    from likewise.studies import StudyResult

LANGUAGES = ("en", "de", "fr", "es")
BOOKS = {
    "handbook": ("debian-handbook/html", {"en": "en-US", "de": "de-DE", "fr": "fr-FR", "es": "es-ES"}),
    "guide": ("installation-guide-amd64", {one: one for one in LANGUAGES}),
}
DOCUMENT = 20
"""Most sentences of a document."""
PIECES, WIDTH = 8000, 256
SHARED = {"batch_size": 64, "lr": 3e-4, "warmup": 0.1, "max_tokens": 64, "checkpoint_every": 100_000, "workers": 0}
STEPS = 400
ARMS = {
    "in batch": {"method": "ccp", "bank_size": 0},
    "shared bank": {"method": "ccp", "bank": "shared", "bank_size": 256},
    "language bank": {"method": "ccp", "bank_size": 64},
    "large language bank": {"method": "ccp", "bank_size": 1024},
}
CALIBRATED = ("untrained", "in batch", "language bank")
ANCHORS, CONTEXTS, FITTED = 500, 400, 1500
ENGLISH_LEFT = 0.6
"""Share of a paragraph's words that are English from which on it counts as not translated."""


class _Paragraphs(HTMLParser):
    """Collects the paragraphs of a page, without listings."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[str] | None = None
        self._listing = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "pre":
            self._listing += 1
        elif tag == "p" or (tag == "div" and dict(attrs).get("class") == "para"):
            self._finish()
            self._open = []

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._listing -= 1
        elif tag in ("p", "div"):
            self._finish()

    def handle_data(self, data: str) -> None:
        if self._open is not None and not self._listing:
            self._open.append(data)

    def _finish(self) -> None:
        text = " ".join("".join(self._open or ()).split())
        if text:
            self.found.append(text)
        self._open = None


def _paragraphs(path: Path) -> list[str]:
    parser = _Paragraphs()
    parser.feed(path.read_text(encoding="utf-8", errors="replace"))
    return parser.found


def _sentences(paragraph: str) -> list[str]:
    return [one for one in re.split(r"(?<=[.!?:])\s+(?=[\"«“¿¡A-ZÄÖÜÉÈÀÁÍÓÚ])", paragraph) if len(one.split()) >= 4]


def _pages(text: Path) -> Iterator[tuple[str, dict[str, list[list[str]]]]]:
    """Yield every page that all languages have: its name, and its paragraphs as sentences by language.

    Paragraphs stand at the same place in all languages; one that is not translated is empty.
    """
    for book, (folder, names) in BOOKS.items():
        root = next(text.rglob(f"doc/{folder}"))
        for path in sorted((root / names["en"]).glob("*.html")):
            others = {language: root / name / path.name for language, name in names.items()}
            if not all(other.exists() for other in others.values()):
                continue
            found = {language: _paragraphs(other) for language, other in others.items()}
            if len({len(paragraphs) for paragraphs in found.values()}) > 1:
                continue
            english = [set(paragraph.lower().split()) for paragraph in found["en"]]
            yield (
                f"{book}/{path.name}",
                {
                    language: [
                        _sentences(paragraph) if language == "en" or not _left(paragraph, words) else []
                        for paragraph, words in zip(paragraphs, english, strict=True)
                    ]
                    for language, paragraphs in found.items()
                },
            )


def _left(paragraph: str, english: set[str]) -> bool:
    words = paragraph.lower().split()
    return sum(word in english for word in words) > ENGLISH_LEFT * len(words)


def _part(page: str) -> str:
    """Tell which part a page belongs to, by a digest of its name."""
    place = hashlib.sha256(page.encode()).digest()[0] % 10
    return {0: "chosen-on", 1: "measured", 2: "measured"}.get(place, "train")


def files(text: Path, work: Path) -> dict[str, Any]:
    """Write what is trained on and what is measured into ``work``, and return how much it is."""
    work.mkdir(parents=True, exist_ok=True)
    documents: list[dict[str, Any]] = []
    pairs: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    told: dict[str, list[dict[str, str]]] = defaultdict(list)
    contexts: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for page, found in _pages(text):
        part = _part(page)
        for language, paragraphs in found.items():
            sentences = list(itertools.chain.from_iterable(paragraphs))
            if part == "train":
                documents += [
                    {"sentences": sentences[first : first + DOCUMENT], "language": language}
                    for first in range(0, len(sentences), DOCUMENT)
                ]
            else:
                told[part] += [{"text": one, "label": language} for one in sentences]
                near = itertools.pairwise(sentences[: len(sentences) // 2 * 2])
                contexts[part, language] += [{"query": a, "positive": b} for a, b in list(near)[::2] if a != b]
            for ours, theirs in zip(paragraphs, found["en"], strict=True):
                if language != "en" and len(ours) == len(theirs):
                    pairs[part, language] += [{"source": a, "target": b} for a, b in zip(ours, theirs, strict=True)]
    write_rows(work / "documents.jsonl", [one for one in documents if len(one["sentences"]) > 1])
    for (part, language), rows in pairs.items():
        write_rows(work / f"{part}-{language}.jsonl", [row for row in rows if row["source"] != row["target"]])
    for part, rows in told.items():
        write_rows(work / f"{part}-language.jsonl", list({row["text"]: row for row in rows}.values()))
    for (part, language), rows in contexts.items():
        write_rows(work / f"{part}-context-{language}.jsonl", rows[:CONTEXTS])
    return {
        "documents": {one: sum(row["language"] == one for row in documents) for one in LANGUAGES},
        "sentences": {
            one: sum(len(row["sentences"]) for row in documents if row["language"] == one) for one in LANGUAGES
        },
        "pairs": {
            language: len(_rows(work / f"measured-{language}.jsonl")) for language in LANGUAGES if language != "en"
        },
    }


def fresh_encoder(work: Path) -> Path:
    """Make the encoder, once: word pieces of the training text, their mean, and a tanh layer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = work / "encoder"
    if folder.exists():
        return folder
    pieces = BertWordPieceTokenizer(lowercase=True)
    texts = (text for row in _rows(work / "documents.jsonl") for text in row["sentences"])
    pieces.train_from_iterator(texts, vocab_size=PIECES, show_progress=False)
    parts = work / "parts"
    BertTokenizer(tokenizer_object=pieces._tokenizer, model_max_length=512).save_pretrained(parts)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=pieces.get_vocab_size(), hidden_size=WIDTH, num_hidden_layers=0, num_attention_heads=4,
        intermediate_size=WIDTH,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    torch.nn.init.zeros_(model.embeddings.position_embeddings.weight)  # a bag of pieces to begin with
    model.save_pretrained(parts)
    tower = SentenceTransformer(
        modules=[Transformer(str(parts)), Pooling(WIDTH, "mean"), Dense(WIDTH, WIDTH)], device="cpu"
    )
    tower.save(str(folder), create_model_card=False)
    return folder


def study_of(work: Path, part: str, seeds: int) -> dict[str, Any]:
    """Return what is compared."""
    others = [one for one in LANGUAGES if one != "en"]
    return {
        "name": "ccp: banks of each language",
        "about": "Do languages come to lie alike without translations, and what does a bank of each language add?",
        "data": str(work / "documents.jsonl"),
        "arms": ARMS,
        "baseline": "in batch",
        "budget": {"steps": STEPS},
        "seeds": seeds,
        "shared": {**SHARED, "encoder": str(fresh_encoder(work))},
        "evaluate": [
            *({"task": "bitext", "data": str(work / f"{part}-{one}.jsonl"), "name": f"{one}-en"} for one in others),
            {"task": "probe", "data": str(work / f"{part}-language.jsonl"), "name": "language"},
        ],
        "space": {"data": str(work / f"{part}-language.jsonl")},
        "keep_models": True,
    }


def run(
    text: Annotated[Path, typer.Option(help="Folder with both packages unpacked.")],
    work: Work,
    seeds: Seeds = 3,
    workers: Workers = 2,
    part: Annotated[
        str, typer.Option(help="Pages that are measured: measured, or chosen-on (not stored).")
    ] = "measured",
) -> None:
    """Run the study, calibrate every model, and store the figures."""
    from likewise.studies import study

    counts = files(text, work)
    print(counts)
    made = study(study_of(work, part, seeds), work / part, runs=work / "runs", workers=workers, say=print)
    calibrated = _calibrated(made, work, part)
    print(json.dumps(calibrated, indent=1))
    if part == "measured":
        path = store_study(
            "ccp",
            made,
            settings={**SHARED, "steps": STEPS, "arms": ARMS},
            data={
                **counts,
                "origin": "Debian packages debian-handbook and installation-guide-amd64, see the module; licences "
                "GPL-2+, CC BY-SA 3.0",
            },
            calibrated=calibrated,
        )
        print(made.report, path)


def _calibrated(made: StudyResult, work: Path, part: str) -> dict[str, dict[str, list[float]]]:
    """Accuracy behind each calibration (mean over languages), and recall of the context: one value a seed, by arm."""
    plan = made.found.plan
    models = {"untrained": [load_text_encoder(str(work / "encoder"))]}
    for arm in ARMS:
        models[arm] = [likewise.load(plan.runs[arm, seed].model) for seed in plan.config.seeds]
    found: dict[str, dict[str, list[float]]] = {}
    for arm, towers in models.items():
        each = [
            (_measured(tower, work, part) if arm in CALIBRATED else {}) | {"context": _context(tower, work, part)}
            for tower in towers
        ]
        found[arm] = {figure: [one[figure] for one in each] for figure in each[0]}
        print(arm, found[arm])
    return found


def _measured(tower: TextEncoder, work: Path, part: str) -> dict[str, float]:
    sentences: dict[str, dict[str, None]] = defaultdict(dict)
    for row in _rows(work / "documents.jsonl"):
        sentences[row["language"]] |= dict.fromkeys(row["sentences"])
    features = {language: _features(tower, _spread(list(texts), FITTED)) for language, texts in sentences.items()}
    others = [one for one in LANGUAGES if one != "en"]
    anchors = {one: _anchors(tower, work / f"train-{one}.jsonl") for one in others}
    plain = {one: Domain() for one in LANGUAGES}
    ways: dict[str, Mapping[str, Domain]] = {
        "raw": plain,
        "shift and scale": Calibrator.fit(features, "en").domains,
        "and turned without translations": Calibrator.fit(features, "en", rotate="unsupervised").domains,
        "and turned by 500 translations": Calibrator.fit(features, "en", rotate="procrustes", anchors=anchors).domains,
    }
    figures = {}
    task = get_task("bitext")
    for way, domains in ways.items():
        model = tower.served().with_domains(domains)
        accuracy = [
            task.measure(
                model, task.open(work / f"{part}-{one}.jsonl"), source_domain=one, target_domain="en", bootstrap=0
            ).metrics["accuracy"]
            for one in others
        ]
        figures[way] = sum(accuracy) / len(accuracy)
    return figures


def _anchors(tower: TextEncoder, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of translations, spread evenly over the training pages."""
    rows = _spread(_rows(path), ANCHORS)
    return _features(tower, [row["source"] for row in rows]), _features(tower, [row["target"] for row in rows])


def _spread(values: Sequence[Any], number: int) -> list[Any]:
    """Return so many values, evenly from the whole."""
    return list(values[:: max(1, len(values) // number)][:number])


def _context(tower: TextEncoder, work: Path, part: str) -> float:
    """Recall@10 of the next sentence, mean over languages."""
    recalls = []
    for language in LANGUAGES:
        rows = _rows(work / f"{part}-context-{language}.jsonl")
        query, positive = (tower.served().encode([row[side] for row in rows]) for side in ("query", "positive"))
        order = (query @ positive.T).argsort(dim=1, descending=True)[:, :10]
        recalls.append(float((order == torch.arange(len(rows))[:, None]).any(dim=1).float().mean()))
    return sum(recalls) / len(recalls)


@torch.no_grad()
def _features(tower: TextEncoder, texts: Sequence[str]) -> torch.Tensor:
    tower.eval()
    return torch.cat([tower(tower.tokenizer(texts[first : first + 512])) for first in range(0, len(texts), 512)])


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
