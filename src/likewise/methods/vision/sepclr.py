"""SepCLR: what a target set has and a background set has not, told apart from what both share.

Paper: Louiset, Duchesnay, Grigis, Gori 2024, "Separating common from salient patterns with Contrastive Representation
Learning", ICLR 2024, arXiv 2402.11928.

What is new there: contrastive analysis without a decoder. Two towers read the same pictures: one gives a common code,
for background and target alike, the other a salient code, which is drawn to zero for the background. What the two know
of each other is kept small by raising their joint entropy, which destroys nothing, and not by lowering their mutual
information, which may.

What a row brings: a picture, and whether it is of the target or of the background; with the attributes of targets
(``--attributes``), a number of the salient code stands for each of them.

Objective, with the common code c on the sphere, the salient code s as it is, s~ the same with 0 for background rows,
both behind a head, and kernels ``exp(-|x - y|^2 / (2 t))``; means over both views where a term has one::

    align(x, y) = mean_i |x_i - y_i|^2 / (2 t)
    unif(x)     = log mean_{i != j} exp(-|x_i - x_j|^2 / (2 t))
    jem(c, s~)  = mean_i log (1 / N) sum_j exp(-|c_i - c_j|^2 / (2 t)) exp(-|s~_i - s~_j|^2 / (2 t))

    loss =      align(c_a, c_b) + 2 unif(c)
         + ls ( align(s_a, s_b) of targets + 2 unif(s~) )
         + b0   align(0, s) of background
         + lj   jem(c, s~)

    with attributes y, codes without heads, a view beside the picture itself, for each number k of s:
    loss =      align(c_a, c_b) + unif(c)
         + ls mean_k ( unif(s~_k) + ( mean_ij exp(-(y_ik - y_jk)^2 / (2 w)) (s_ik - s_jk)^2 + align(0, s_k) ) / 2 )
         + lj   jem(c, s~)

Deviations:
    ============================  ==========================================  =====================================
    here                          paper / official code                       why
    ============================  ==========================================  =====================================
    halves of every batch         rows at random                              uneven sets, and both kinds present
    the codes are linear layers   the same, inside the networks               any tower
    batch norm of the heads over  each view by itself                         one pass
    both views
    both views in all terms of    one view in some, the picture itself in     all terms see the same
    the variant with attributes   others
    AdamW without decay           Adam                                        the same thing
    ============================  ==========================================  =====================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from likewise import distributed
from likewise.data import Column, Image, Label, Vector
from likewise.encoders import ImageEncoder, ImageEncoderConfig, load_image_encoder
from likewise.errors import InputError
from likewise.heads import POST, MLPProjector, TappedHead, unit_vectors
from likewise.losses import attribute_alignment, gaussian_alignment, gaussian_uniformity, joint_entropy
from likewise.methods.base import AugmentSettings, Contrast, ImageMethod, Paper, StepOutput
from likewise.sampling import Stratified
from likewise.views import Batch, FlaggedViews, Views, augmentation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from likewise.data import Row, Stages, StreamedTable, Table
    from likewise.encoders import Embedder

__all__ = ["Config", "SepCLR"]

YES, NO = ("target", "1", "true", "yes"), ("background", "0", "false", "no")
WIDTHS = {"continuous": 0.025, "discrete": 1e-5 / 2}
"""Squared widths of the kernel over attributes."""
SALIENT_WEIGHT = {"none": 1000.0, "continuous": 100.0, "discrete": 100.0}
BACKGROUND_WEIGHT = 1000.0
"""Weights where none are given."""


@dataclass(frozen=True)
class Config(AugmentSettings):
    """Settings of ``sepclr``."""

    background: str = ""
    """A second source, of background pictures; --data are then the targets. Without it rows bring the column target."""
    common_size: int = 32
    """Numbers of the common code, >= 1 (paper: 32; 16 for faces)."""
    salient_size: int = 32
    """Numbers of the salient code, >= 1 (paper: 32; 16 for faces); with attributes it has one for each."""
    hidden: int = 128
    """Width of the two heads between their layers, >= 1 (paper: 128)."""
    temperature: float = 0.5
    """Squared width of all kernels between codes, > 0 (paper: 0.5)."""
    salient_weight: float | None = None
    """Weight of the salient term, >= 0; where not given 1000, with attributes 100 (paper)."""
    background_weight: float | None = None
    """Weight of what draws the salient code of the background to zero, >= 0; 1000 where not given (paper). With
    attributes it is part of the salient term."""
    leakage_weight: float = 10.0
    """Weight of the joint entropy of both codes, >= 0 (paper: 10); small codes need less."""
    attributes: Literal["none", "continuous", "discrete"] = "none"
    """Whether rows bring attributes of the targets, for each of which the salient code has a number: none, continuous
    (near values lie near), discrete (only equal ones do)."""
    num_attributes: int | None = None
    """How many attributes there are; as many as the data bring where not given."""

    def __post_init__(self) -> None:
        for name in ("common_size", "salient_size", "hidden", "num_attributes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; at least 1 is accepted.")
        for name in ("salient_weight", "background_weight", "leakage_weight"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InputError(f"{name} is {value}; a weight of 0 or more is accepted.")
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}; it must be above 0, as 0.5.")
        if self.attributes != "none" and self.background_weight is not None:
            raise InputError(
                "with --attributes the background is part of the salient term; leave background_weight out."
            )


class SepCLR(ImageMethod[Config]):
    """Two towers for pictures, one for what is common and one for what is salient; see the module."""

    paper = Paper(
        "Separating common from salient patterns with Contrastive Representation Learning",
        venue="ICLR 2024",
        arxiv="2402.11928",
    )
    columns = (
        Column("image", Image, help="a picture"),
        Column("target", Label, help="target or background (or 1 and 0); not with --background"),
        Column("attributes", Vector, required=False, help="numbers that describe a target (--attributes)"),
    )
    min_rows = 4
    # Gradients are not clipped: weights of 1000 would shrink those of the common tower with those of the salient one.
    training_defaults = {"batch_size": 512, "lr": 3e-4, "weight_decay": 0.0, "clip_norm": 0.0, "epochs": 250.0}
    products = {"salient": "likewise.products.salient:Salient"}
    from_data = frozenset({"num_attributes"})

    def __init__(self, config: Config, encoder: ImageEncoder, salient: ImageEncoder) -> None:
        super().__init__(config, encoder)
        self.salient = salient
        given = config.salient_weight
        self.salient_weight = SALIENT_WEIGHT[config.attributes] if given is None else given
        given = config.background_weight
        self.background_weight = BACKGROUND_WEIGHT if given is None else given
        supervised = config.attributes != "none"
        size = (config.num_attributes or 1) if supervised else config.salient_size
        self.common_code = TappedHead("linear", encoder.dim, out_features=config.common_size)
        self.salient_code = TappedHead("linear", salient.dim, out_features=size)
        self.common_head: nn.Module = nn.Identity()
        self.salient_head: nn.Module = nn.Identity()
        if not supervised:
            self.common_head = MLPProjector(config.common_size, config.hidden, config.common_size)
            self.salient_head = MLPProjector(size, config.hidden, size)

    @classmethod
    def build(cls, config: Config, encoder_config: ImageEncoderConfig) -> SepCLR:
        """Make or load two towers and build the method on them."""
        return cls(config, load_image_encoder(encoder_config), load_image_encoder(encoder_config))

    @classmethod
    def columns_for(cls, config: Config) -> tuple[Column, ...]:
        """Ask for the flag where there is no second source, and for attributes where these are learned from."""
        image, target, attributes = cls.columns
        return (
            image,
            *([] if config.background else [target]),
            *([attributes] if config.attributes != "none" else []),
        )

    @classmethod
    def completed(cls, config: Config, table: Table | StreamedTable) -> Config:
        """Count the attributes."""
        if config.attributes == "none" or config.num_attributes is not None:
            return config
        if "attributes" not in table.column_names:
            raise InputError(f"{table.name} has no column 'attributes'; give the numbers of each target there.")
        first = next((row["attributes"] for row in table if row["attributes"] is not None), None)
        if first is None:
            raise InputError(f"{table.name}: no row has attributes; give them to the targets, or leave attributes out.")
        return dataclasses.replace(config, num_attributes=len(first))

    def prepare(self, table: Table, stages: Stages, previous: Embedder | None = None) -> Table:
        """Write targets and background into one table, and check that targets have their attributes."""
        from likewise.data import open_table

        supervised = self.config.attributes != "none"
        columns = (self.columns[0], self.columns[1], *([self.columns[2]] if supervised else []))
        other = open_table(self.config.background, columns=columns[:1]) if self.config.background else None

        def made() -> Iterator[Row]:
            for i, row in enumerate(table):
                is_target = True if other is not None else flag(row["target"], table.where(i))
                both = {"image": row["image"], "target": "target" if is_target else "background"}
                if supervised:
                    both["attributes"] = self._attributes(row["attributes"], table.where(i)) if is_target else None
                yield both
            for row in () if other is None else other:
                yield {"image": row["image"], "target": "background", **({"attributes": None} if supervised else {})}

        depends = {
            "data": table.fingerprint,
            "background": None if other is None else other.fingerprint,
            "attributes": self.config.num_attributes if supervised else None,
        }
        return stages.table("both", columns, made, depends_on=depends)

    def _attributes(self, values: list[float] | None, where: str) -> list[float]:
        number = self.config.num_attributes
        if values is None or len(values) != number:
            has = "no attributes" if values is None else f"{len(values)} attributes"
            raise InputError(f"{where}: the target has {has}; every target needs {number}. Mend the row.")
        return list(values)

    def grouping(self) -> Stratified:
        """Half of every batch is of the target, half of the background."""
        return Stratified("target", least=2)

    def views(self) -> Views:
        """Two views of each picture and whether it is a target; with attributes one view is the picture itself."""
        views = self.augmented("first", "second")
        number = None
        if self.config.attributes != "none":
            plain = augmentation("none", size=self.encoder.size, channels=self.encoder.channels)
            views = dataclasses.replace(views, inputs={"first": plain, "second": views.inputs["second"]})
            number = self.config.num_attributes
        return FlaggedViews(views, "target", "target", vector="attributes" if number else None, length=number or 0)

    def training_step(self, batch: Batch) -> StepOutput:
        """Both codes of both views, and the four terms."""
        views = torch.cat([batch["first"], batch["second"]])  # [2 B, ...]
        common = unit_vectors(self.common_head(self.common_code(self.encoder(views)))).chunk(2)
        salient = self.salient_head(self.salient_code(self.salient(views))).chunk(2)
        target = batch["target"]
        pinned = [torch.where(target[:, None], one, 0.0) for one in salient]  # the background stands at 0
        alike = gaussian_alignment(*common, temperature=self.config.temperature).mean()
        leakage = _both(
            joint_entropy(*two, temperature=self.config.temperature).mean() for two in zip(common, pinned, strict=True)
        )
        apart = _both(self._apart(one) for one in common)
        if self.config.attributes != "none":
            described = _both(self._described(*two, batch) for two in zip(salient, pinned, strict=True))
            terms = {"common": alike + apart, "salient": self.salient_weight * described}
        else:
            kept = gaussian_alignment(*salient, temperature=self.config.temperature, counted=target).mean_or_zero()
            terms = {
                "common": alike + 2 * apart,
                "salient": self.salient_weight * (kept + 2 * _both(self._apart(one) for one in pinned)),
                "background": self.background_weight * _both(self._to_zero(one, target) for one in salient),
            }
        terms["leakage"] = self.config.leakage_weight * leakage
        first, second = (one.detach() for one in common)
        return StepOutput(terms, _norms(salient[0], target), Contrast(first, second, self.config.temperature))

    def _apart(self, code: Tensor) -> Tensor:
        return gaussian_uniformity(code, temperature=self.config.temperature)

    def _to_zero(self, code: Tensor, target: Tensor, temperature: float | None = None) -> Tensor:
        zero, wide = torch.zeros_like(code), temperature or self.config.temperature
        return gaussian_alignment(zero, code, temperature=wide, counted=~target).mean_or_zero()

    def _described(self, code: Tensor, pinned: Tensor, batch: Batch) -> Tensor:
        """The salient term of the variant with attributes, for one view."""
        kind, target, number = self.config.attributes, batch["target"], code.shape[1]
        apart = torch.stack([self._apart(one) for one in pinned.split(1, dim=1)]).mean()
        pulled = attribute_alignment(code, batch["attributes"], width=WIDTHS[kind], counted=target).mean_or_zero()
        width = WIDTHS[kind] if kind == "continuous" else None
        return apart + (pulled + self._to_zero(code, target, width) / number) / 2

    def embedder(self) -> ImageEncoder:
        """Keep the tower of the salient code; :meth:`spaces` has both."""
        return self.salient.served().with_head(self.salient_code, POST)

    def kept(self) -> Mapping[str, Any]:
        """Keep the head of the salient code: behind it the background is at zero."""
        if isinstance(self.salient_head, nn.Identity):
            return {}
        sizes = {"size": self.config.salient_size, "hidden": self.config.hidden}
        return {"salient_head": {"sizes": sizes, "weights": dict(self.salient_head.state_dict())}}

    def spaces(self) -> Mapping[str, Embedder]:
        """Keep both codes, the salient one first."""
        return {"salient": self.embedder(), "common": self.encoder.served().with_head(self.common_code, POST)}


def flag(value: str, where: str) -> bool:
    """Tell whether a row is a target.

    Raises:
        InputError: It says something else than target or background, 1 or 0.
    """
    if value.lower() in YES:
        return True
    if value.lower() in NO:
        return False
    raise InputError(f"{where}: column 'target' says '{value}'; target or background (or 1 and 0) is accepted.")


def _both(values: Iterator[Tensor]) -> Tensor:
    first, second = values
    return (first + second) / 2


def _norms(code: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Mean squared length of the salient code of targets and of background, over all processes."""
    squares = code.detach().square().sum(dim=1)
    parts = torch.stack([torch.where(part, squares, 0.0).sum() for part in (target, ~target)])
    sums = distributed.sum_over_processes(parts)
    counts = distributed.sum_over_processes(torch.stack([target.sum(), (~target).sum()])).clamp_min(1)
    return {"target_square": sums[0] / counts[0], "background_square": sums[1] / counts[1]}
