"""The artefact: one folder that trains, is evaluated and serves.

A text model's folder is a sentence-transformers folder (weights as safetensors, tokenizer, pooling) with two files
more: ``likewise.json`` (method, resolved settings, data and model fingerprints, versions, measured figures) and the
model card ``README.md``; and a folder ``kept`` where the method's products need more than the embedder.
``likewise.json`` is written last: where it is, the folder is whole.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from likewise.errors import InputError, RunError, unknown
from likewise.versions import installed_versions

if TYPE_CHECKING:
    from likewise.encoders import CrossEncoder, Embedder, ImageEncoder, TextEncoder, TokenPooling
    from likewise.losses import PairTask

__all__ = [
    "ABOUT",
    "About",
    "Model",
    "load",
    "load_model",
    "load_pair_scorer",
    "pair_scorer_of",
    "pair_task_of",
    "read_about",
    "save",
    "save_kept",
]

ABOUT = "likewise.json"
KEPT = "kept"
SPACES = "spaces"
_FORMAT = 1


@dataclass(frozen=True)
class About:
    """What is known of a trained model.

    Args:
        method: Name of the method that trained it.
        paper: Where the method was published.
        settings: The run's resolved settings, a nest of mappings.
        data: Name, fingerprint and number of rows of the training data.
        training: Steps, seconds, the step that was kept.
        figures: Measured figures by name; what was measured is in the names.
        geometry: The space in one line, where training looked at it.
    """

    method: str
    paper: str
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    figures: Mapping[str, float] = field(default_factory=dict)
    geometry: str | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> About:
        """Return what the ``likewise.json`` of a model says, for another model that is made of it."""
        names = ("method", "paper", "settings", "data", "training", "figures")
        return cls(**{name: content[name] for name in names})


@dataclass(frozen=True)
class Model:
    """A model with everything that its folder holds; made by :func:`load_model`.

    Args:
        embedder: The model itself.
        about: What ``likewise.json`` says; empty for a model that was not trained here.
        kept: What the method keeps beside the embedder, as its ``kept`` returned it; empty where it keeps nothing.
        folder: Where it is; None for a packaged model or a name on the model hub.
    """

    embedder: Embedder
    about: Mapping[str, Any]
    kept: Mapping[str, Any]
    folder: Path | None

    @property
    def text_encoder(self) -> TextEncoder:
        """The model itself, where it reads texts.

        Raises:
            InputError: It reads something else.
        """
        from likewise.encoders import ImageEncoder

        if isinstance(self.embedder, ImageEncoder):
            raise InputError(f"{self.embedder.name} reads pictures; this is for models that read texts.")
        return cast("TextEncoder", self.embedder)

    @property
    def image_encoder(self) -> ImageEncoder:
        """The model itself, where it reads pictures.

        Raises:
            InputError: It reads something else.
        """
        from likewise.encoders import ImageEncoder

        if not isinstance(self.embedder, ImageEncoder):
            raise InputError(f"{self.embedder.name} reads texts; this is for models that read pictures.")
        return self.embedder


def save(
    embedder: Embedder,
    folder: Path,
    about: About,
    kept: Mapping[str, Any] | None = None,
    spaces: Mapping[str, Embedder] | None = None,
) -> None:
    """Write a model into ``folder``, which may hold its run's logs and checkpoints already.

    Everything is put together in a temporary folder and moved; ``likewise.json`` comes last.

    Args:
        embedder: What is kept.
        folder: A new folder, or that of the run.
        about: What is known of it.
        kept: What the method's products need beside it, as :meth:`likewise.methods.base.Method.kept` returns it.
        spaces: The spaces of a model with several, by name, ``embedder`` first; each is a model in ``spaces/NAME``.
    """
    from likewise.state import write_state

    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / ".model-writing"
    shutil.rmtree(temporary, ignore_errors=True)
    embedder.save(temporary)
    for name, other in list((spaces or {}).items())[1:]:
        other.save(temporary / SPACES / name)
        _take_room_once(temporary, temporary / SPACES / name)
    if kept:
        write_state(temporary, dict(kept), KEPT)
    (temporary / "README.md").write_text(_model_card(embedder, about), encoding="utf-8")
    content = {
        "format": _FORMAT,
        "method": about.method,
        "paper": about.paper,
        "settings": about.settings,
        "data": about.data,
        "model": {
            "dim": embedder.dim,
            "fingerprint": embedder.fingerprint,
            "from": embedder.name,
            "part": dict(getattr(embedder, "part", {})),
            **({"spaces": list(spaces)} if spaces else {}),
        },
        "training": about.training,
        "figures": about.figures,
        "versions": installed_versions(),
    }
    (temporary / ABOUT).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
    for path in sorted(temporary.iterdir(), key=lambda path: path.name == ABOUT):
        target = folder / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.rename(target)
    temporary.rmdir()


def save_kept(folder: Path, kept: Mapping[str, Any]) -> None:
    """Write anew what a model keeps beside its embedder, whole or not at all.

    Args:
        folder: Folder of the model.
        kept: What takes the place of what was kept.

    Raises:
        RunError: It cannot be written; what was kept stays.
    """
    from likewise.state import plain_disk_errors, write_state

    temporary = folder / ".kept-writing"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        with plain_disk_errors():
            write_state(temporary, dict(kept), KEPT)
        shutil.rmtree(folder / KEPT, ignore_errors=True)
        (temporary / KEPT).rename(folder / KEPT)
        temporary.rmdir()
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(
            f"{folder / KEPT} cannot be written ({error.strerror or error}); make room and repeat."
        ) from error


def load(
    model: str | Path,
    *,
    layers: int | None = None,
    dims: int | None = None,
    domain: str | None = None,
    prompt: str | None = None,
    pooling: TokenPooling | None = None,
    space: str | None = None,
) -> Embedder:
    """Load a model: a folder that likewise, sentence-transformers or transformers saved, or a name.

    A model that reads texts is a :class:`likewise.encoders.TextEncoder`, one that reads pictures a
    :class:`likewise.encoders.ImageEncoder`; all that follows ``model`` but ``space`` is for texts.

    Args:
        model: A folder, a packaged model (all-MiniLM-L6-v2), or a name on the model hub.
        layers: Run only so many of its first layers, for speed; None: all. Good where the model was trained for it
            (``2dmse``).
        dims: Keep only so many of the first numbers of an embedding, for size; None: all.
        domain: Encode texts of this domain (a language, a subject), for a model that was made for several
            (``ccp``, ``moe-cocitation``).
        prompt: Text in front of every text, an instruction for example, instead of the model's own prompts.
        pooling: How the vectors of tokens become one, instead of the model's own way: cls, mean, last, weighted, or
            prompt (``defsent-plus``).
        space: The space of this name, of a model that has several (``sepclr``); its first where not given.

    Returns:
        The model, ready to ``encode``.

    Raises:
        InputError: It is no model, a run that has not finished, or has no so many layers or numbers, no such domain,
            pooling or space.

    Example:
        >>> model = load("all-MiniLM-L6-v2")
        >>> model.encode(["a small house for a dog"]).shape
        torch.Size([1, 384])
    """
    from likewise.encoders import is_image_encoder, load_image_encoder, load_text_encoder
    from likewise.training.folder import RESOLVED

    folder = Path(model)
    if (folder / RESOLVED).exists() and not (folder / ABOUT).exists():
        from likewise.training.checkpoint import Checkpoints

        done = Checkpoints(folder / "checkpoints").steps()
        reached = f"its last checkpoint is of step {done[-1]}" if done else "it has no checkpoint yet"
        raise InputError(
            f"{folder} is a run that has not finished: {reached}. Repeat its train command with --resume first."
        )
    if space is not None:
        folder = _space(folder, space)
    if is_image_encoder(folder):
        asked = {"layers": layers, "dims": dims, "domain": domain, "prompt": prompt, "pooling": pooling}
        given = [name for name, value in asked.items() if value is not None]
        if given:
            raise InputError(f"{folder} reads pictures, and --{given[0]} is for texts; leave it out.")
        return load_image_encoder(folder)
    encoder = load_text_encoder(str(model if space is None else folder))
    if pooling is not None:
        encoder = encoder.pooled(pooling)
    if layers is not None:
        encoder = encoder.truncated(layers)
    if domain is not None:
        encoder = encoder.for_domain(domain)  # what a domain does to an embedding is done to all of its numbers
    if dims is not None:
        encoder = encoder.truncated(dims=dims)
    return encoder if prompt is None else encoder.prompted(prompt)


def _take_room_once(model: Path, space: Path) -> None:
    """Let files of a space that the model has too be the same files on disk: a tower is large, its head is not."""
    for path in [path for path in space.rglob("*") if path.is_file()]:
        own = model / path.relative_to(space)
        if own.is_file() and filecmp.cmp(own, path, shallow=False):
            linked = path.with_name(f".{path.name}.link")
            with contextlib.suppress(OSError):  # a file system without links keeps both
                linked.hardlink_to(own)
                linked.replace(path)


def _space(folder: Path, name: str) -> Path:
    """Return where a space of a model is."""
    spaces = (read_about(folder) or {}).get("model", {}).get("spaces", [])
    if not spaces:
        raise InputError(f"{folder} has one space; leave --space out.")
    if name not in spaces:
        raise unknown(f"space of {folder}", name, spaces)
    return folder if name == spaces[0] else folder / SPACES / name


def load_model(model: str | Path) -> Model:
    """Load a model with what is kept beside it; see :func:`load`.

    Args:
        model: A folder, a packaged model, or a name on the model hub.

    Raises:
        InputError: As :func:`load`.

    Example:
        >>> load_model("all-MiniLM-L6-v2").kept
        {}
    """
    from likewise.state import read_state

    embedder, folder = load(model), Path(model)
    kept = read_state(folder, KEPT) if (folder / KEPT).is_dir() else {}
    return Model(embedder, read_about(folder) or {}, kept, folder if folder.is_dir() else None)


def load_pair_scorer(model: str | Path) -> CrossEncoder:
    """Load a model that scores pairs of texts.

    Args:
        model: A folder that a method of pairs has trained (cross-encoder, dse), or that sentence-transformers or
            transformers saved (a cross-encoder, a sequence classifier); or the name of such a model on the hub.

    Raises:
        InputError: It cannot be loaded, or does not score pairs.
    """
    from likewise.encoders import load_cross_encoder

    if read_about(Path(model)) is None:
        return load_cross_encoder(str(model))
    return pair_scorer_of(load_model(model))


def pair_scorer_of(model: Model, *, both_orders: bool = False) -> CrossEncoder:
    """Put the model and the head that is kept beside it together.

    Args:
        model: Trained by a method of pairs.
        both_orders: Score a pair in both orders and take the mean; a model that reads both texts at once has one order.

    Raises:
        InputError: It keeps no head for pairs, or has only one order.
    """
    from likewise.encoders import JointEncoder
    from likewise.heads import PairHead, PairScorer

    task = pair_task_of(model)
    if "pair_head" in model.kept:
        head = PairHead.of(model.kept["pair_head"]["settings"])
        head.load_state_dict(model.kept["pair_head"]["weights"])
        return PairScorer(model.text_encoder, head.eval(), task, both_orders=both_orders)
    if both_orders:
        raise InputError(f"{model.embedder.name} reads both texts at once; --both-orders is for a student's head.")
    joint = JointEncoder(model.text_encoder, task.num_scores, score_names=task.score_names)
    joint.head.load_state_dict(model.kept["joint_head"])
    return joint.eval()


def pair_task_of(model: Model) -> PairTask:
    """Return what the pair scores of a model say.

    Raises:
        InputError: It keeps no head for pairs.
    """
    from likewise.losses import PairTask

    if "pair_task" not in model.kept:
        raise InputError(
            f"{model.embedder.name} does not score pairs; give a folder trained by cross-encoder or dse, or a "
            "cross-encoder of sentence-transformers."
        )
    return PairTask.from_dict(model.kept["pair_task"])


def read_about(folder: Path) -> dict[str, Any] | None:
    """Return what ``likewise.json`` of a folder says, or None where there is none."""
    path = folder / ABOUT
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _model_card(embedder: Embedder, about: About) -> str:
    figures = "\n".join(f"| {name} | {value:.4f} |" for name, value in about.figures.items())
    table = f"\n## Measured\n\n| figure | value |\n|---|---|\n{figures}\n" if figures else ""
    geometry = f"- geometry of the space {about.geometry}\n" if about.geometry else ""
    training = ", ".join(f"{name} {value}" for name, value in about.training.items() if value is not None)
    part = "".join(f", {name} {value}" for name, value in getattr(embedder, "part", {}).items())
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [likewise, contrastive, {about.method}]
---

# {about.method} on {about.data.get("name", "own data")}

Trained with likewise by the method `{about.method}`: {about.paper}.

- starts from: `{embedder.name}`{part}
- embeddings: {embedder.dim} numbers, unit norm, compared by cosine
- data: {about.data.get("name")} ({about.data.get("rows")} rows, fingerprint `{about.data.get("fingerprint")}`)
- training: {training}
{geometry}- all settings: `run.yaml`; course of the training: `metrics.csv`
{table}
## Use

```python
import likewise

model = likewise.load("this/folder")
embeddings = model.encode(["a text", "another"])
```

or `SentenceTransformer("this/folder").encode([...])`: the vectors are the same.
"""
