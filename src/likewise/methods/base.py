"""The seam that every method is written against: columns, views, a training step, and what is kept."""

from __future__ import annotations

import dataclasses
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, get_args

import torch
from torch import Tensor, nn

from likewise.data import Column, Image, Stages, StreamedTable, Table, Text
from likewise.encoders import (
    Embedder,
    ImageEncoder,
    ImageEncoderConfig,
    TextEncoder,
    TextEncoderConfig,
    load_image_encoder,
    load_text_encoder,
)
from likewise.encoders.embedder import Role
from likewise.errors import InputError
from likewise.heads import POST, MLPProjector, TappedHead, unit_vectors
from likewise.memory import KeyQueue, MomentumTower
from likewise.sampling import Grouping, Stratified
from likewise.training.step import SINGLE_OBJECTIVE, Contrast, StepOutput
from likewise.views import AugmentationName, Batch, ImageViews, Views, augmentation

__all__ = [
    "AugmentSettings",
    "Contrast",
    "ImageMethod",
    "Method",
    "Paper",
    "ProjectedMethod",
    "ProjectorSettings",
    "QueueMethod",
    "QueueSettings",
    "SentenceMethod",
    "StepOutput",
    "TextMethod",
]

logger = logging.getLogger(__name__)

ConfigT = TypeVar("ConfigT")


@dataclass(frozen=True)
class Paper:
    """Where a method was published."""

    title: str
    venue: str
    arxiv: str | None = None

    def __str__(self) -> str:
        where = f", arXiv {self.arxiv}" if self.arxiv else ""
        return f"{self.title} ({self.venue}{where})"


class Method(nn.Module, ABC, Generic[ConfigT]):
    """One published system: how rows become views, what is minimised, and what is kept.

    A subclass names its frozen ``Config`` dataclass in brackets, ``class SimCSE(TextMethod[Config])``, and has no
    loop, no files and no devices inside. All of its state is in ``state_dict()``.

    Class attributes:
        paper: Where it was published.
        columns: What a row must bring, and may bring.
        min_rows: Fewest rows of a batch for which the loss means something.
        in_batch: Whether rows are told from the others of their batch; where not, a step has no ``contrast``.
        pair: Two columns whose values in one row are alike; where rows bring both, the geometry of the space is told
            with them. None: a row is alike to nothing but itself.
        roles: Side on which the values of a column are encoded, for encoders that treat the sides differently.
        keep_apart: Columns whose equal values must not share a batch (their rows would be false negatives).
        training_defaults: Shared training settings for which the paper has values of its own.
        encoder_defaults: Encoder settings for which the paper has values of its own.
        validation: Evaluation task that ``--eval-data`` is read for.
        products: What a user does with the trained thing, by name: where its :class:`likewise.products.Product` is, as
            ``"likewise.products.lookup:Lookup"``.
        from_data: Settings that :meth:`completed` fills where they are not given.
        continues: Where training is repeated in rounds, whether a round goes on from the weights of the one before;
            else it begins with those that were loaded.
        free_on_resume: Settings that may differ when a run goes on, because no number of it depends on them.
    """

    paper: ClassVar[Paper]
    columns: ClassVar[tuple[Column, ...]]
    min_rows: ClassVar[int] = 2
    in_batch: ClassVar[bool] = True
    pair: ClassVar[tuple[str, str] | None] = None
    roles: ClassVar[Mapping[str, Role]] = {}
    keep_apart: ClassVar[tuple[str, ...]] = ()
    training_defaults: ClassVar[Mapping[str, Any]] = {}
    encoder_defaults: ClassVar[Mapping[str, Any]] = {}
    validation: ClassVar[str] = "similarity"
    products: ClassVar[Mapping[str, str]] = {}
    from_data: ClassVar[frozenset[str]] = frozenset()
    continues: ClassVar[bool] = False
    free_on_resume: ClassVar[frozenset[str]] = frozenset()

    config_type: ClassVar[type]
    encoder_config_type: ClassVar[type]

    def __init__(self, config: ConfigT) -> None:
        super().__init__()
        self.config = config

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Find the configuration that a subclass names in brackets."""
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if dataclasses.is_dataclass(argument) and isinstance(argument, type):
                    cls.config_type = argument

    @classmethod
    @abstractmethod
    def build(cls, config: ConfigT, encoder_config: Any) -> Method[ConfigT]:
        """Build the method on the tower that ``encoder_config`` (of ``encoder_config_type``) describes."""

    @classmethod
    def columns_for(cls, config: ConfigT) -> tuple[Column, ...]:
        """Return the columns under these settings; the class's own unless a setting changes them."""
        return cls.columns

    @classmethod
    def completed(cls, config: ConfigT, table: Table | StreamedTable) -> ConfigT:
        """Return the settings with what only the data say (the names of domains), as they are saved with the run.

        Args:
            config: The settings as they were given.
            table: The user's rows.
        """
        return config

    @classmethod
    def looked_at(cls, columns: Sequence[str]) -> tuple[str, ...]:
        """Return which of the columns that rows bring show the space: the pair, or the first of them."""
        return cls.pair if cls.pair is not None and set(cls.pair) <= set(columns) else (columns[0],)

    def rounds(self) -> int:
        """Return how often training is repeated, each time on rows prepared anew; once unless a method says so."""
        return 1

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Turn the user's rows into those that are trained on; they are the same unless a method says so.

        Called once before training, in every process, with the weights that training starts from.

        Args:
            table: The user's rows, with the columns of :meth:`columns_for`.
            stages: Keeps what is made as files, so that each is made once.
            previous: What the round before has trained; None in the first round.

        Returns:
            The rows that :meth:`views` is given.

        Raises:
            InputError: The rows cannot be used together.
        """
        return table

    @classmethod
    def own_validation(
        cls, config: ConfigT, data: str, rename: Mapping[str, str]
    ) -> Callable[[Method[ConfigT]], Mapping[str, float]] | None:
        """Return how the method itself is measured on ``--eval-data``, where its vectors are not all of it.

        Args:
            config: The method's settings.
            data: What ``--eval-data`` says.
            rename: Names of its columns by ours, as those of the training rows.

        Returns:
            Measures the method as it is, the figure that tells which model to keep first (higher is better); None for
            the task that ``validation`` names, on :meth:`embedder`.
        """
        return None

    @abstractmethod
    def views(self) -> Views:
        """Return how a row becomes model inputs; picklable, for the loader's workers."""

    @abstractmethod
    def training_step(self, batch: Batch) -> StepOutput:
        """Compute the named loss terms of one batch."""

    @abstractmethod
    def start(self) -> Embedder:
        """Return what training starts from: the tower as it was loaded, without what the method adds to it.

        Methods that start alike, alike to the bit, can be compared; its fingerprint before training says so.
        """

    @abstractmethod
    def embedder(self) -> Embedder:
        """Return what is kept after training; it shares the weights, so it can be asked for at any step."""

    def spaces(self) -> Mapping[str, Embedder]:
        """Return the spaces of a model that has several, by name, :meth:`embedder` first; none unless a method says so.

        Each is saved with the model and asked for by ``--space``.
        """
        return {}

    def kept(self) -> Mapping[str, Any]:
        """Return what is kept beside the embedder for the method's products: a nest of mappings, lists and values.

        Values are tensors, numbers, strings, booleans and None. Nothing unless a method says so.
        """
        return {}

    def after_step(self) -> None:
        """Do what follows the optimiser's step (momentum tower, queue); nothing unless a method says so."""

    def grouping(self) -> Grouping | Stratified | None:
        """Return the column whose value all rows of a batch share, and how groups follow each other; None: any rows.

        ``batch.group`` is that value. A :class:`Stratified` says the contrary: every batch has rows of all values.
        """
        return None

    def learning_rates(self) -> Mapping[str, float]:
        """Return factors on the learning rate by name of a part, ``{"head": 10.0}``; 1 for all other weights."""
        return {}

    def objectives(self) -> tuple[str, ...]:
        """Name what is minimised; with more than one, each has its own optimiser state over the weights it uses.

        A step is taken by the optimiser of the batch's objective, and leaves the moments of the others alone. Weights
        that a batch does not use are not touched. All learning rates follow the course of the run.
        """
        return (SINGLE_OBJECTIVE,)

    def objective_of(self, batch: Batch) -> str:
        """Return which of the objectives a batch belongs to, the same on every process."""
        return self.objectives()[0]

    def forward(self, batch: Batch) -> StepOutput:
        """Compute one step; ``forward`` so that data-parallel wrappers see it."""
        return self.training_step(batch)


class TextMethod(Method[ConfigT]):
    """A method on one text tower, ``self.encoder``."""

    encoder_config_type = TextEncoderConfig

    def __init__(self, config: ConfigT, encoder: TextEncoder) -> None:
        super().__init__(config)
        self.encoder = encoder

    @classmethod
    def build(cls, config: ConfigT, encoder_config: TextEncoderConfig) -> TextMethod[ConfigT]:
        """Load the tower and build the method on it."""
        return cls(config, load_text_encoder(encoder_config))

    def start(self) -> TextEncoder:
        """Start from the tower, with unit vectors."""
        return self.encoder.served()

    def embedder(self) -> TextEncoder:
        """Keep the tower alone, with unit vectors."""
        return self.encoder.served()


class SentenceMethod(TextMethod[ConfigT]):
    """A method on bare sentences, one a row, trained as the official code of SimCSE trains.

    Most papers on sentence embeddings without labels build on that code and keep its settings. A subclass says what its
    paper does otherwise: ``training_defaults = {**SentenceMethod.training_defaults, "lr": 1e-5}``.
    """

    columns: ClassVar[tuple[Column, ...]] = (Column("text", Text, help="a sentence"),)
    training_defaults = {
        "batch_size": 64,
        "lr": 3e-5,
        "weight_decay": 0.0,
        "warmup": 0.0,
        "schedule": "linear",
        "clip_norm": 1.0,
        "eval_every": 125,
    }
    encoder_defaults = {"max_tokens": 32}
    validation = "similarity"


@dataclass(frozen=True)
class AugmentSettings:
    """How pictures are changed at random; a method on pictures derives its settings from these."""

    augment: AugmentationName = "simclr"
    """How a view of a picture is made: simclr (crop, flip, strong colour, grey, blur), moco (weaker colour), beclr (as
    moco, with RandAugment and flips both ways), cifar (half the colour, no blur), glyph (shift, size, noise, hole; for
    digits and signs), light (brightness and noise), crop (shift and flip), none."""


ImageConfigT = TypeVar("ImageConfigT", bound=AugmentSettings)


class ImageMethod(Method[ImageConfigT]):
    """A method on one tower for pictures, ``self.encoder``; its settings derive from :class:`AugmentSettings`."""

    encoder_config_type = ImageEncoderConfig
    columns: ClassVar[tuple[Column, ...]] = (Column("image", Image, help="a picture"),)
    validation = "knn"

    def __init__(self, config: ImageConfigT, encoder: ImageEncoder) -> None:
        super().__init__(config)
        self.encoder = encoder

    @classmethod
    def build(cls, config: ImageConfigT, encoder_config: ImageEncoderConfig) -> ImageMethod[ImageConfigT]:
        """Make or load the tower and build the method on it."""
        return cls(config, load_image_encoder(encoder_config))

    def augmented(self, *names: str) -> ImageViews:
        """Return views of a picture, each changed at random as ``augment`` says, as the model inputs of these names."""
        change = augmentation(self.config.augment, size=self.encoder.size, channels=self.encoder.channels)
        return ImageViews(dict.fromkeys(names, change))

    def start(self) -> ImageEncoder:
        """Start from the tower."""
        return self.encoder.served()

    def embedder(self) -> ImageEncoder:
        """Keep the tower alone, without what the method puts behind it."""
        return self.encoder.served()


@dataclass(frozen=True)
class ProjectorSettings(AugmentSettings):
    """The head of two layers whose vectors a loss compares."""

    hidden: int | None = None
    """Width of the head between its layers, >= 1; that of the features where not given (paper)."""
    head_size: int = 128
    """Length of the vectors that the loss compares, >= 1 (paper: 128). Figures of their space, as uniformity, are
    comparable at equal length only."""

    def __post_init__(self) -> None:
        for name in ("hidden", "head_size"):
            width = getattr(self, name)
            if width is not None and width < 1:
                raise InputError(f"{name} is {width}; at least 1 is accepted.")


ProjectorConfigT = TypeVar("ProjectorConfigT", bound=ProjectorSettings)


class ProjectedMethod(ImageMethod[ProjectorConfigT]):
    """A method on pictures whose loss sees what a head makes of the tower's features, ``self.head``.

    The model is the tower. What the loss has seen is kept as its space ``projection``, and the head's layers can be
    measured.
    """

    products = {"layers": "likewise.products.layers:Layers"}

    def __init__(
        self, config: ProjectorConfigT, encoder: ImageEncoder, *, batch_norm: bool = True, last_norm: bool = False
    ) -> None:
        super().__init__(config, encoder)
        self.head = TappedHead(
            "mlp",
            encoder.dim,
            hidden=config.hidden,
            out_features=config.head_size,
            batch_norm=batch_norm,
            last_norm=last_norm,
        )

    def spaces(self) -> Mapping[str, Embedder]:
        """Keep the tower's features, and what the head makes of them: the space that the loss has seen."""
        return {"features": self.embedder(), "projection": self.embedder().with_head(self.head, POST)}

    def kept(self) -> Mapping[str, Any]:
        """Keep the head, whose layers can be measured."""
        return {"head": self.head.kept()}


@dataclass(frozen=True)
class QueueSettings(ProjectorSettings):
    """What methods with a momentum tower and a queue have in common, with the values of MoCo v2."""

    augment: AugmentationName = "moco"
    temperature: float = 0.2
    """Divisor of the cosines, > 0 (paper: 0.2; MoCo v1: 0.07)."""
    queue_size: int = 65_536
    """Keys of earlier batches that are the negatives, >= 1, over all processes (paper: 65,536 for 1.3 million
    pictures). Stay well below the number of your pictures."""
    momentum: float = 0.999
    """Weight of the old value when the momentum tower follows, in [0, 1) (paper: 0.999; 0.99 for some hundred
    steps)."""
    batch_norm: bool = False
    """Whether the head has batch norm between its layers."""


QueueConfigT = TypeVar("QueueConfigT", bound=QueueSettings)


class QueueMethod(ImageMethod[QueueConfigT]):
    """A method on pictures that tells a row's own key, made by a momentum tower, from a queue of earlier keys.

    A step calls :meth:`embed` for queries and keys; the keys enter the queue after the optimiser's step. The queue is
    full from the start, of random vectors. The momentum tower, with a head of its own, is in evaluation mode, and its
    running statistics are averaged as its weights are: a key depends on its own picture alone.

    Attributes:
        queue_columns: What else the queue holds of a key, by name with its dtype; see :meth:`of_keys`.
        instead_of_a_shorter_queue: What else helps where the queue holds keys of every picture, for a warning.
    """

    queue_columns: ClassVar[Mapping[str, torch.dtype]] = {}
    instead_of_a_shorter_queue: ClassVar[str] = ""

    def __init__(self, config: QueueConfigT, encoder: ImageEncoder) -> None:
        super().__init__(config, encoder)
        if config.queue_size < 1:
            raise InputError(f"queue_size is {config.queue_size}; the queue holds all negatives, 1 key or more.")
        self.head = MLPProjector(
            encoder.dim, config.hidden or encoder.dim, config.head_size, batch_norm=config.batch_norm
        )
        self.momentum_tower = MomentumTower(self._online(), config.momentum, average_buffers=True)
        self.queue = KeyQueue(config.queue_size, config.head_size, self.queue_columns)
        self.queue.fill_at_random()
        self._arriving: tuple[Tensor, Mapping[str, Tensor]] | None = None  # of this step, on their way into the queue

    def views(self) -> Views:
        """Two views of each picture: one for the query, one for the key."""
        return self.augmented("query", "key")

    @property
    def meets_own_keys(self) -> bool:
        """Whether older keys of a row's own picture are negatives where the queue holds them."""
        return True

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Warn where the queue holds keys of every picture."""
        if self.config.queue_size >= len(table) and self.meets_own_keys:
            logger.warning(
                "the queue holds %d keys and there are %d pictures: each meets older keys of its own as negatives; use "
                "a shorter --queue-size%s",
                self.config.queue_size,
                len(table),
                self.instead_of_a_shorter_queue,
            )
        return table

    def of_keys(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the values of :attr:`queue_columns` for the rows of a batch."""
        return {}

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return unit vectors of queries, with a gradient, and of keys, without; ``[B, head_size]`` each.

        The momentum tower follows between the two passes: with the weights before this step's update.
        """
        query = unit_vectors(self._online()(batch["query"]))
        self.momentum_tower.follow(self._online())
        key = unit_vectors(self.momentum_tower(batch["key"]))
        self._arriving = key, self.of_keys(batch)
        return query, key

    def after_step(self) -> None:
        """Let the keys of the step into the queue."""
        if self._arriving is not None:
            keys, columns = self._arriving
            self.queue.push(keys, **columns)
            self._arriving = None

    def _online(self) -> nn.Sequential:
        return nn.Sequential(self.encoder, self.head)
