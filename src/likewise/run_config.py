"""Every setting of a run in one tree, from flat names (command line, keyword arguments) and back to a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from likewise.data import StreamedTable, Table
from likewise.errors import InputError, unknown
from likewise.evaluation.tasks import get_task
from likewise.methods import get_method
from likewise.methods.base import Method
from likewise.settings import Setting, build_settings, settings_of
from likewise.training import TrainingConfig

__all__ = ["FREE_ON_RESUME", "DataConfig", "RunConfig"]

FREE_ON_RESUME = frozenset(
    {"workers", "checkpoint_every", "keep_checkpoints", "tensorboard", "geometry_every", "geometry_rows"}
)
"""Settings that may differ when a run goes on: they change no number of it."""


@dataclass(frozen=True)
class DataConfig:
    """What a run reads."""

    data: str = ""
    """A file (txt, jsonl, csv, tsv, parquet, tar; compressed too), a glob, a folder, hf:OWNER/NAME, or demo:NAME."""
    columns: tuple[str, ...] = ()
    """OURS=THEIRS pairs: which column of the file is which of the method's, as query=question."""
    bad_rows: Literal["error", "skip"] = "error"
    """error stops at a row that cannot be used and names it; skip counts such rows and writes rejected.jsonl."""
    encoding: str = "utf-8"
    """How the characters of the data file are written: utf-8, utf-16, latin-1 ..."""
    streaming: bool = False
    """Read rows as they are needed, for data that does not fit on the disk; needs --steps."""
    eval_data: str | None = None
    """Data to validate on while training, read as the evaluation task needs it; the best model is kept."""
    eval_task: str | None = None
    """Task for --eval-data, any that `likewise evaluate --help` lists; the method's own where not given."""

    def __post_init__(self) -> None:
        if self.eval_task is not None and not get_task(self.eval_task).repeatable:
            raise InputError(
                f"eval_task is '{self.eval_task}', which is not made to be repeated while training; a task that reads "
                "--eval-data is accepted. Measure the trained model with likewise evaluate."
            )


@dataclass(frozen=True)
class RunConfig:
    """The resolved settings of one run."""

    method: str
    data: DataConfig
    encoder: Any
    settings: Any
    training: TrainingConfig

    @classmethod
    def resolve(cls, method: str, values: Mapping[str, Any]) -> RunConfig:
        """Build the tree from flat values; what is not given is the method's own default.

        Args:
            method: Name of a method.
            values: Settings by name, of any of the groups.

        Raises:
            InputError: An unknown method or setting (the nearest is named), or a value of the wrong type or range.
        """
        kind = get_method(method)
        groups = cls.groups(kind)
        homes = {field.name: group for group, config in groups.items() for field in dataclasses.fields(config)}
        for name in values:
            if name not in homes:
                raise unknown(f"setting of {method}", name, homes)
        defaults: dict[str, Mapping[str, Any]] = {
            "training": kind.training_defaults,
            "encoder": kind.encoder_defaults,
        }
        built: dict[str, Any] = {
            group: build_settings(
                config,
                {**defaults.get(group, {}), **{k: v for k, v in values.items() if homes[k] == group}},
                of=method,
            )
            for group, config in groups.items()
        }
        return cls(method, **built)

    def completed(self, table: Table | StreamedTable) -> RunConfig:
        """Return the settings with what only the data say, as the method finds it in its rows."""
        return dataclasses.replace(self, settings=get_method(self.method).completed(self.settings, table))

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> RunConfig:
        """Build from what :meth:`as_tree` gave, as saved in a run's ``run.yaml``."""
        method = tree.get("method")
        if not isinstance(method, str):
            raise InputError("the settings name no method; give the run.yaml of a run.")
        groups = cls.groups(get_method(method))
        flat: dict[str, Any] = {}
        for group, values in tree.items():
            if group in groups and isinstance(values, Mapping):
                flat |= values
            elif group not in ("method", "data_fingerprint"):
                raise unknown("group of settings", group, groups)
        return cls.resolve(method, flat)

    @staticmethod
    def groups(kind: type[Method[Any]]) -> dict[str, type]:
        """Return the dataclasses whose fields are the settings of a method, by group."""
        return {
            "data": DataConfig,
            "encoder": kind.encoder_config_type,
            "settings": kind.config_type,
            "training": TrainingConfig,
        }

    @classmethod
    def options(cls, method: str) -> dict[str, list[Setting]]:
        """Return every setting of a method by group, with the defaults that hold for it."""
        kind = get_method(method)
        own = {**kind.training_defaults, **kind.encoder_defaults}
        return {
            group: [
                dataclasses.replace(setting, default=own.get(setting.name, setting.default))
                if group in ("training", "encoder")
                else setting
                for setting in settings_of(config)
            ]
            for group, config in cls.groups(kind).items()
        }

    def as_tree(self) -> dict[str, Any]:
        """Return the settings as nested plain values, ready for YAML."""
        tree: dict[str, Any] = {"method": self.method}
        for group in ("data", "encoder", "settings", "training"):
            tree[group] = {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in dataclasses.asdict(getattr(self, group)).items()
            }
        return tree

    def flat(self) -> dict[str, Any]:
        """Return the settings of all groups by name, as :meth:`resolve` takes them."""
        return {
            field.name: getattr(getattr(self, group), field.name)
            for group in ("data", "encoder", "settings", "training")
            for field in dataclasses.fields(getattr(self, group))
        }
