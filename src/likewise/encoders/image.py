"""The tower for pictures: a network, and how a picture is brought into the form that it reads."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise.data.images import StoredImage
from likewise.encoders.base import Encoder
from likewise.encoders.batch_norm import share_batch_norm
from likewise.encoders.embedder import Role
from likewise.encoders.networks import Network, build_network
from likewise.encoders.precision import resolve_precision
from likewise.encoders.progress import with_progress
from likewise.errors import InputError
from likewise.extras import image_transforms

if TYPE_CHECKING:
    from likewise.heads import TappedHead

__all__ = ["ImageEncoder", "ImageEncoderConfig", "is_image_encoder", "load_image_encoder"]

CONFIG, WEIGHTS, HEAD_WEIGHTS = "config.json", "model.safetensors", "head.safetensors"
MARK = "likewise_image"
"""Part of ``config.json`` that says that the folder holds a tower for pictures."""


@dataclass(frozen=True)
class ImageEncoderConfig:
    """Which tower for pictures a method starts from, and how it reads them."""

    encoder: str = "small"
    """Network: small (for pictures of 16 to 64 pixels), resnet18-small, mlp-256-256 (layers over all pixels),
    efficientnet-lite0, timm:NAME, or a folder that likewise saved."""
    image_size: int | None = None
    """Side of a picture in pixels, >= 4; the network's own where not given (small: 32)."""
    channels: int | None = None
    """3 for colours, 1 for grey; 3 where not given, or what the folder says."""
    pretrained: bool = False
    """Start from the weights that the network is published with: efficientnet-lite0 (ImageNet, from a package) or
    timm:NAME (from the model hub)."""
    freeze: bool = False
    """Leave the network's weights as they are; only what the method adds is trained."""

    def __post_init__(self) -> None:
        if self.image_size is not None and self.image_size < 4:
            raise InputError(f"image_size is {self.image_size}; it is the side of a picture in pixels, at least 4.")
        if self.channels not in (None, 1, 3):
            raise InputError(f"channels is {self.channels}; it is 1 (grey) or 3 (red, green, blue).")


class ImageEncoder(Encoder):
    """A tower for pictures: uint8 ``[B, C, S, S]`` to ``features [B, D]``.

    Whatever changes a picture at random is a view's; the tower scales and shifts the values as its network wants them.
    :meth:`encode` takes pictures of any size: the shorter side is brought to ``size / crop`` pixels and the middle is
    cut out. Transparent pictures are put on white.

    Args:
        network: The network with its form of pictures.
        name: Where it came from, for messages and reports.
        architecture: Name that :func:`likewise.encoders.networks.build_network` makes it from.

    Raises:
        InputError: The network does not read pictures of this size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, name: str, architecture: str) -> None:
        super().__init__()
        self.head: TappedHead | None = None
        self.tap = ""
        self.network = share_batch_norm(network.module)
        self.architecture = architecture
        self.size, self.crop, self.channels = network.size, network.crop, len(network.mean)
        self._name, self._dim, self._about = name, network.dim, dict(network.about)
        self.register_buffer("mean", torch.tensor(network.mean).view(1, -1, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(network.std).view(1, -1, 1, 1) * 255, persistent=False)
        self._check_size()

    @property
    def name(self) -> str:
        """Where the weights came from."""
        return self._name

    @property
    def dim(self) -> int:
        """Length of an embedding, ``D``."""
        return self._dim if self.head is None else self.head.width(self.tap)

    @property
    def fingerprint(self) -> str:
        """Digest of all weights and of how pictures are read."""
        digest = hashlib.blake2b(digest_size=16)
        weights = dict(self.network.state_dict())
        if self.head is not None:
            weights |= {f"head {self.tap} {key}": tensor for key, tensor in self.head.state_dict().items()}
            digest.update(json.dumps([self.tap, self.head.settings], sort_keys=True).encode())
        for key, tensor in sorted(weights.items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        digest.update(json.dumps(self._reading, sort_keys=True).encode())
        return digest.hexdigest()

    @property
    def _reading(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "channels": self.channels,
            "crop": self.crop,
            "mean": (self.mean.flatten() / 255).tolist(),
            "std": (self.std.flatten() / 255).tolist(),
        }

    def encode_rows(self, inputs: Tensor) -> Tensor:
        """Encode pictures, uint8 ``[B, C, S, S]``; returns ``features [B, D]`` in float32."""
        if not len(inputs):
            # A process without rows still takes part: its weights get a gradient, of zero.
            nothing = torch.zeros(1, self.channels, self.size, self.size, dtype=torch.uint8, device=inputs.device)
            return self.encode_rows(nothing)[:0]
        features: Tensor = self.network((inputs.to(self.mean.dtype) - self.mean) / self.std)
        features = features.float()
        return features if self.head is None else self.head(features, self.tap).float()

    def with_head(self, head: TappedHead, tap: str) -> ImageEncoder:
        """Return this tower with a head behind it, as far as one of its taps; weights are shared.

        Args:
            head: A head on the tower's own features.
            tap: What of it the embeddings are.

        Raises:
            InputError: The head has no such tap.
        """
        head.width(tap)
        made = copy.copy(self)
        made._modules = dict(self._modules)
        made.head, made.tap = head, tap
        return made

    def without_head(self) -> ImageEncoder:
        """Return the tower alone, which gives the features; weights are shared."""
        made = copy.copy(self)
        made._modules = {name: module for name, module in self._modules.items() if name != "head"}
        made.head, made.tap = None, ""
        return made

    def select(self, inputs: Tensor, index: Tensor) -> Tensor:
        """Return the pictures ``index`` of ``inputs``."""
        return inputs[index]

    def read(self, images: Sequence[Any]) -> Tensor:
        """Bring pictures into the form that the tower reads, uint8 ``[n, C, S, S]``.

        Args:
            images: Paths, encoded bytes, PIL pictures, uint8 arrays, or what rows hold.

        Raises:
            InputError: One of them is no picture, or cannot be decoded; or torchvision is not installed.
        """
        v2 = image_transforms()
        bring = v2.Compose(
            [
                v2.PILToTensor(),
                *([v2.Grayscale()] if self.channels == 1 else []),
                v2.Resize(round(self.size / self.crop), antialias=True),
                v2.CenterCrop(self.size),
            ]
        )
        if not len(images):
            return torch.zeros(0, self.channels, self.size, self.size, dtype=torch.uint8)
        return torch.stack([bring(stored_image(image).rgb()) for image in images])

    def encode(
        self,
        inputs: Sequence[Any],
        *,
        role: Role | None = None,
        batch_size: int = 256,
        precision: str = "auto",
        progress: bool = False,
    ) -> Tensor:
        """Embed pictures in evaluation mode, as unit vectors; see :class:`likewise.encoders.Embedder`.

        Args:
            inputs: Pictures as :meth:`read` takes them.
            role: Not used: both sides are encoded alike.
            batch_size: Pictures read and encoded at a time, >= 1.
            precision: "auto", "bf16" or "fp32".
            progress: Show a progress bar on stderr.

        Raises:
            TypeError: ``inputs`` is a single picture.
            ValueError: ``batch_size`` < 1 or an unknown ``precision``.
            InputError: Something is no picture.
        """
        return F.normalize(self.features(inputs, batch_size=batch_size, precision=precision, progress=progress), dim=1)

    def features(
        self, inputs: Sequence[Any], *, batch_size: int = 256, precision: str = "auto", progress: bool = False
    ) -> Tensor:
        """Return what the network gives for pictures in evaluation mode, of whatever length: float32 ``[n, D]``.

        Args:
            inputs: Pictures as :meth:`read` takes them.
            batch_size: Pictures read and encoded at a time, >= 1.
            precision: "auto", "bf16" or "fp32".
            progress: Show a progress bar on stderr.

        Raises:
            TypeError: ``inputs`` is a single picture.
            ValueError: ``batch_size`` < 1 or an unknown ``precision``.
            InputError: Something is no picture.
        """
        if isinstance(inputs, str | bytes | Path):
            raise TypeError("encode: got one picture; give a list of pictures, [picture] for a single one.")
        if batch_size < 1:
            raise ValueError(f"encode: batch_size is {batch_size}; give at least 1.")
        device = self.mean.device
        low = resolve_precision(precision, device.type) == "bf16"
        was_training = self.training
        self.eval()
        try:
            output = torch.empty(len(inputs), self.dim)
            with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
                for rows in with_progress(torch.arange(len(inputs)).split(batch_size), progress):
                    pictures = self.read([inputs[row] for row in rows.tolist()]).to(device)
                    output[rows] = self.encode_rows(pictures).cpu()
        finally:
            self.train(was_training)
        return output

    def served(self) -> ImageEncoder:
        """Return the tower as it is used after training, which is the tower itself."""
        return self

    def save(self, folder: Path) -> None:
        """Write a folder that :func:`likewise.load` opens, and timm too (``local-dir:FOLDER``) if it is timm's.

        timm sees the network alone, without a head behind it.
        """
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        save_file(weights, str(folder / WEIGHTS), metadata={"format": "pt"})
        head: dict[str, Any] = {}
        if self.head is not None:
            head = {"head": {"tap": self.tap, "settings": self.head.settings}}
            weights = {name: tensor.contiguous() for name, tensor in self.head.state_dict().items()}
            save_file(weights, str(folder / HEAD_WEIGHTS), metadata={"format": "pt"})
        content = {
            "architecture": self.architecture.removeprefix("timm:"),
            "num_classes": 0,
            "num_features": self._dim,
            MARK: {"encoder": self.architecture, **self._reading, **head},
            **({"model_args": {"in_chans": self.channels}} if self._about else {}),
            **self._about,
        }
        (folder / CONFIG).write_text(json.dumps(content, indent=2, default=list), encoding="utf-8")

    def _check_size(self) -> None:
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                self.encode_rows(torch.zeros(1, self.channels, self.size, self.size, dtype=torch.uint8))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise InputError(
                f"the encoder '{self._name}' cannot read pictures of {self.size} x {self.size} pixels ({error}); give "
                "another --image-size."
            ) from error
        finally:
            self.network.train(was_training)


def stored_image(image: Any) -> StoredImage:
    """Take a picture in any form in which a tower reads it.

    Raises:
        InputError: It is a text and no file, or of another type.
    """
    if isinstance(image, str) and not os.path.isfile(image):  # noqa: PTH113 - no error for a text as long as a page
        raise InputError(
            f"this model reads pictures, and '{image:.200}' is no file; give pictures or their paths (a column image), "
            "or a model that reads texts."
        )
    try:
        return StoredImage.of(image)
    except (TypeError, ValueError) as error:
        raise InputError(f"this model reads pictures, and one {error}.") from None


def is_image_encoder(folder: Path) -> bool:
    """Tell whether a folder holds a tower for pictures that was saved here."""
    path = folder / CONFIG
    return path.is_file() and MARK in json.loads(path.read_text(encoding="utf-8"))


def load_image_encoder(config: ImageEncoderConfig | str | Path) -> ImageEncoder:
    """Build a tower for pictures by name, or load one from a folder.

    Args:
        config: The settings, or just the folder or name.

    Returns:
        The tower, in evaluation mode on the CPU; a network that is only named has fresh weights, drawn from PyTorch's
        generator.

    Raises:
        InputError: The name or folder is none, or the settings do not fit it.
    """
    if not isinstance(config, ImageEncoderConfig):
        config = ImageEncoderConfig(encoder=str(config))
    folder = Path(config.encoder)
    encoder = _saved(folder, config) if folder.is_dir() else _fresh(config)
    if config.freeze:
        encoder.requires_grad_(False)
    return encoder.eval()


def _fresh(config: ImageEncoderConfig) -> ImageEncoder:
    name = config.encoder
    network = build_network(name, size=config.image_size, channels=config.channels or 3, pretrained=config.pretrained)
    return ImageEncoder(network, name, name)


def _saved(folder: Path, config: ImageEncoderConfig) -> ImageEncoder:
    from safetensors.torch import load_file

    if not is_image_encoder(folder):
        raise InputError(
            f"{folder} is no folder of a tower for pictures; give one that likewise trained on pictures, or the name "
            "of a network (small, resnet18-small, timm:NAME)."
        )
    saved = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    mark = saved[MARK]
    if config.pretrained:
        raise InputError(f"{folder} has its own weights; leave --pretrained out.")
    if config.channels not in (None, mark["channels"]):
        raise InputError(f"{folder} reads pictures of {mark['channels']} channels; leave --channels out.")
    size = config.image_size or mark["size"]
    network = build_network(mark["encoder"], size=size, channels=mark["channels"])
    network = Network(
        network.module, network.dim, size, tuple(mark["mean"]), tuple(mark["std"]), mark["crop"], network.about
    )
    encoder = ImageEncoder(network, str(folder), mark["encoder"])
    try:
        encoder.network.load_state_dict(load_file(str(folder / WEIGHTS)))
    except RuntimeError as error:
        raise InputError(
            f"the weights of {folder} do not fit pictures of {size} pixels; leave --image-size out ({mark['size']})."
        ) from error
    return _with_saved_head(encoder, folder, mark["head"]) if "head" in mark else encoder


def _with_saved_head(encoder: ImageEncoder, folder: Path, saved: Mapping[str, Any]) -> ImageEncoder:
    from safetensors.torch import load_file

    from likewise.heads import TappedHead

    head = TappedHead.of({"settings": saved["settings"], "weights": load_file(str(folder / HEAD_WEIGHTS))})
    return encoder.with_head(head, saved["tap"])
