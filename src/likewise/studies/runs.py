"""One run of a study: trained, measured, and kept under a name made of everything its figures depend on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from likewise import artefact
from likewise.api import build_method, train_run
from likewise.encoders import Embedder
from likewise.errors import RunError
from likewise.run_config import RunConfig
from likewise.state import plain_disk_errors
from likewise.studies.measures import Measure, measure_of
from likewise.studies.memory import MemoryMeter
from likewise.training.folder import RESOLVED

__all__ = ["Busy", "RunRequest", "execute", "read_training"]

TRAINING = "training.json"
"""What a run cost; there once its training has ended."""
KEPT = ("*.csv", RESOLVED, artefact.ABOUT)
"""What stays of a training where its weights do not."""


class Busy(RunError):
    """Another process is at this run."""


@dataclass(frozen=True)
class RunRequest:
    """A run that is wanted.

    Args:
        key: Digest of everything that the trained weights depend on.
        folder: Where it is kept; the key is its name.
        config: Its resolved settings, as a tree.
        trained: Whether it is trained at all; the encoder as it comes is measured else.
        temperature: Temperature of its loss, for the geometry; None where it has none.
        measures: What is measured.
        keep_model: Whether the weights stay.
    """

    key: str
    folder: Path
    config: Mapping[str, Any]
    trained: bool
    temperature: float | None
    measures: tuple[Measure, ...]
    keep_model: bool

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return (
            self.has_training
            and not self.missing()
            and (not self.trained or not self.keep_model or (self.model / artefact.ABOUT).exists())
        )

    @property
    def has_training(self) -> bool:
        """Whether the training has ended."""
        return not self.trained or (self.folder / TRAINING).exists()

    @property
    def model(self) -> Path:
        """Folder of the training and of its model."""
        return self.folder / "train"

    @property
    def figures(self) -> Path:
        """Folder of the measures."""
        return self.folder / "measures"

    def missing(self) -> list[Measure]:
        """Return the measures that are not there yet."""
        return [measure for measure in self.measures if not measure.done(self.figures)]

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, for a worker."""
        measures = [{"kind": measure.kind, **asdict(measure)} for measure in self.measures]
        return {**asdict(self), "folder": str(self.folder), "measures": measures}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> RunRequest:
        """Build from what :meth:`as_dict` gave."""
        fields = dict(content)
        fields["folder"] = Path(fields["folder"])
        fields["measures"] = tuple(measure_of(one) for one in fields["measures"])
        return cls(**fields)


def execute(request: RunRequest) -> None:
    """Do what is left of a run: train (going on where it was stopped), measure, and clear up.

    Raises:
        Busy: Another process is at it.
        InputError: Something given cannot be used.
        RunError: The run cannot go on.
        Interrupted: It was asked to stop, and has written a checkpoint.
    """
    request.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(request.folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"another process is at the run in {request.folder}; wait for it to end.") from None
    try:
        if request.done:
            return
        embedder = _train(request) if request.trained else build_method(RunConfig.from_tree(request.config)).start()
        for measure in request.missing():
            measured = _space(request, measure.space) if measure.space else embedder
            with plain_disk_errors():
                measure.write(request.figures, measured, request.temperature)
        if not request.keep_model:
            _remove_weights(request.model)
    finally:
        lock.release()


def _train(request: RunRequest) -> Embedder:
    """Return the trained model; trains only what is not there."""
    if request.has_training and (request.model / artefact.ABOUT).exists():
        if any(request.model.glob("*.safetensors")):
            return artefact.load(request.model)
        shutil.rmtree(request.model)  # its weights were removed: what is to be measured now needs them again
    config = RunConfig.from_tree(request.config)
    was_whole = (request.model / artefact.ABOUT).exists()
    import accelerate  # noqa: F401 - what a process loads once, this and the encoder's code, is no run's memory

    build_method(config)
    meter = MemoryMeter()
    model = train_run(config, request.model, resume=(request.model / RESOLVED).exists(), progress=False)
    about = artefact.read_about(request.model) or {}
    peak = None if was_whole else meter.peak_mb()
    content = {**about["training"], "figures": about["figures"], "peak_memory_mb": peak}
    temporary = request.folder / f".{TRAINING}.writing"
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(request.folder / TRAINING)
    return model


def _space(request: RunRequest, name: str) -> Embedder:
    """Return one of several spaces of the model, trained or as the method makes it."""
    if request.trained:
        return artefact.load(request.model, space=name)
    return build_method(RunConfig.from_tree(request.config)).spaces()[name]


def _remove_weights(model: Path) -> None:
    kept = {path for pattern in KEPT for path in model.glob(pattern)}
    for path in model.iterdir() if model.exists() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in kept:
            path.unlink()


def read_training(request: RunRequest) -> dict[str, Any]:
    """Return what the training of a run cost: steps, seconds, encoded, peak_memory_mb (None where not measured)."""
    content: dict[str, Any] = json.loads((request.folder / TRAINING).read_text(encoding="utf-8"))
    return content
