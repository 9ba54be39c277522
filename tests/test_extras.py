"""A package that is missing is asked for in one sentence, wherever it is first needed."""

import sys

import pytest
import torch

from likewise.encoders.image import load_image_encoder
from likewise.encoders.networks import build_network
from likewise.errors import InputError
from likewise.evaluation.tasks.mteb_tasks import open_mteb
from likewise.extras import optional
from likewise.views import augmentation

TRANSFORMS = "torchvision.transforms.v2"


@pytest.mark.parametrize(
    ("module", "package", "call"),
    [
        (TRANSFORMS, "torchvision", lambda: augmentation("simclr", size=8)),
        (TRANSFORMS, "torchvision", lambda: load_image_encoder("small").read([torch.zeros(8, 8).byte().numpy()])),
        ("torchvision", "torchvision", lambda: build_network("resnet18-small", size=32, channels=3)),
        ("timm", "timm", lambda: build_network("timm:resnet18", size=32, channels=3)),
        ("mteb", "mteb", lambda: open_mteb("STSBenchmark")),
    ],
)
def test_each_use_names_the_package_and_the_extra(monkeypatch, module, package, call):
    monkeypatch.setitem(sys.modules, module, None)
    extra = "mteb" if package == "mteb" else "image"
    said = rf"^the package {package} is not installed, which [^.]*; install it with pip .*'likewise\[{extra}\]'\.$"
    with pytest.raises(InputError, match=said):
        call()


def test_what_is_there_is_imported_and_what_else_can_be_done_is_said():
    assert optional("json.decoder", extra="x", use="reads").JSONDecoder().decode("[1]") == [1]
    said = r"package no-such is not installed, which reads; install it with pip install 'likewise\[x\]', or write\.$"
    with pytest.raises(InputError, match=said):
        optional("no_such.part", extra="x", use="reads", instead="write")
