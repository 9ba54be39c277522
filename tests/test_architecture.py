"""What the design promises of the whole: imports go down only, and the front door opens at once."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import likewise

PACKAGE = Path(likewise.__file__).parent

LAYERS = (
    ("cli",),
    ("quickstart", "studies"),
    ("api",),
    ("run_config",),
    ("products",),
    ("search", "flows", "classify"),
    ("methods", "evaluation"),
    ("artefact",),
    ("training",),
    ("views", "encoders", "generators", "heads", "memory", "sampling", "data", "losses", "geometry"),
    ("pairwise",),
    ("distributed",),
    ("extras", "report", "settings", "state"),
    ("errors", "versions"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FRONT = {"__init__", "__main__"}  # loads names lazily, from any layer


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "likewise":
            if node.module == "likewise":
                found |= {f"likewise.{alias.name}" for alias in node.names if not alias.name.startswith("__")}
            else:
                found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("likewise.")}
    return found


def own_room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if own_room(path) not in FRONT]


def test_every_room_has_its_place_in_the_layers():
    assert {own_room(path) for path in FILES} <= RANK.keys()


def test_imports_go_down_only():
    wrong = []
    for path in FILES:
        for module in imports(path):
            if module in (
                "likewise",
                "likewise.load",
                "likewise.train",
                "likewise.open_table",
                "likewise.Index",
                "likewise.FewShotClassifier",
                "likewise.use",
            ):
                continue
            here, there = own_room(path), room(module)
            if here != there and RANK[there] < RANK[here]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not wrong


def test_a_method_never_imports_another_method():
    wrong = []
    for path in (PACKAGE / "methods").rglob("*/*.py"):
        own = f"likewise.methods.{path.parent.name}.{path.stem}"
        others = {module for module in imports(path) if module.startswith("likewise.methods.")}
        wrong += [f"{own} imports {module}" for module in others - {own, "likewise.methods.base"}]
    assert not wrong


def test_only_one_module_calls_torch_distributed():
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "torch.distributed" in path.read_text(encoding="utf-8").replace("``torch.distributed``", "")
    }
    assert users == {"distributed.py"}


def test_no_room_is_called_after_nothing():
    vague = {"utils", "helpers", "common", "misc"}
    assert not [path for path in PACKAGE.rglob("*") if path.stem in vague]


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_importing_the_package_loads_nothing_heavy():
    assert not {"torch", "numpy", "transformers", "datasets", "lancedb", "typer"} & loaded_by("import likewise")


@pytest.mark.parametrize("words", [["--help"], ["evaluate", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(words):
    code = f"from likewise.cli import main\ntry: main({words})\nexcept SystemExit as end: assert not end.code"
    assert not {"torch", "numpy", "transformers", "datasets", "lancedb"} & loaded_by(code)


def test_the_front_door_names_what_exists():
    for name in likewise.__all__:
        assert getattr(likewise, name) is not None
    assert dir(likewise) == sorted(likewise.__all__)
