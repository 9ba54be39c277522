"""The written pages, taken apart: prose and code blocks."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A page of Markdown, and where it is below the repository's root."""

    path: Path
    text: str

    @property
    def prose(self):
        return FENCE.sub("", self.text)

    def blocks(self, language):
        """Contents of the code blocks of a language, in their order."""
        return [content for name, content in FENCE.findall(self.text) if name == language]


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def pages():
    """Every page: those of the site and those at the root of the repository."""
    paths = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    return {str(path.relative_to(ROOT)): Page(path, path.read_text(encoding="utf-8")) for path in sorted(paths)}


@pytest.fixture(scope="session")
def generate():
    """The module that fills the markers of the pages."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
