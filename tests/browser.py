"""The machine's own Chromium or Chrome, for tests that open a page.

``python tests/browser.py`` makes sure that there is one: it prints its path, installs Debian's or Ubuntu's package
where it may, or says in one sentence what to install.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"%ProgramFiles%\Google\Chrome\Application\chrome.exe",
    r"%ProgramFiles(x86)%\Google\Chrome\Application\chrome.exe",
    r"%LocalAppData%\Google\Chrome\Application\chrome.exe",
)
MISSING = (
    "No Chromium or Chrome was found, and the tests of pages need one: install the package chromium or Google Chrome, "
    "or set LIKEWISE_BROWSER to the path of its program."
)
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = 360  # CSS pixels, the narrowest phone in wide use


def find() -> Path | None:
    """The browser's program: ``LIKEWISE_BROWSER`` alone where it is set, else the first of the usual ones."""
    if wanted := os.environ.get("LIKEWISE_BROWSER"):
        found = shutil.which(wanted)
        return Path(found) if found else None
    on_path = (shutil.which(name) for name in NAMES)
    elsewhere = (shutil.which(os.path.expandvars(place)) for place in PLACES)
    return next((Path(found) for found in (*on_path, *elsewhere) if found), None)


def required() -> Path:
    """The browser's program; a test that asks where there is none fails, never skipped, and says what to install."""
    import pytest  # the program below runs without it

    return find() or pytest.fail(MISSING, pytrace=False)


def install() -> None:
    """Debian's or Ubuntu's own package, where this user may install it; nothing anywhere else."""
    if not shutil.which("apt-get"):
        return
    rights = []
    if os.geteuid() != 0:
        if not shutil.which("sudo") or subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode:
            return
        rights = ["sudo", "-n"]
    apt = [*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        if subprocess.run([*apt, *words], stdout=sys.stderr).returncode:
            return


def main() -> str | None:
    """What to leave the program with: nothing where there is a browser now."""
    if not find() and not os.environ.get("LIKEWISE_BROWSER"):
        install()
    found = find()
    if not found:
        return MISSING
    sys.stdout.write(f"{found}\n")
    return None


def launch(playwright: Any, program: Path) -> Any:
    """Start the browser; playwright gives it a new, empty folder for its user data and removes it at the end."""
    return playwright.chromium.launch(
        executable_path=program,
        chromium_sandbox=not hasattr(os, "geteuid") or os.geteuid() != 0,  # Chromium has no sandbox for root
        ignore_default_args=["--headless"],  # FLAGS name the new one
        args=list(FLAGS),
    )


CONTRAST = """
() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = numbers(colour).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return getComputedStyle(at).backgroundColor;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18,18,18)" : "rgb(255,255,255)";
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || !node.getClientRects().length) continue;
    if (node.closest("script, style, .heatmap-label")) continue;
    const style = getComputedStyle(node);
    const front = node.closest("svg") ? style.fill : style.color;
    if (!/\\d/.test(front)) continue;
    const [high, low] = [luminance(front), luminance(behind(node))].sort((a, b) => b - a);
    found.push([text.data.trim(), (high + 0.05) / (low + 0.05), !!node.closest("svg")]);
  }
  return found;
}
"""
"""Contrast of every text that is seen against what is behind it, as WCAG 2 counts it.

Figures in the cells of a heat map are left out: what is behind them is an image, and plotly chooses black or white.
"""

TOO_WIDE = """
() => document.documentElement.scrollWidth <= document.documentElement.clientWidth ? [] :
  [...document.querySelectorAll("body *")].filter((node) => node.getBoundingClientRect().right > innerWidth)
    .map((node) => node.outerHTML.slice(0, 120)).slice(0, 5).concat(document.documentElement.scrollWidth)
"""

CUT_OFF = """() =>
  [...document.querySelectorAll(".plot text.xtitle, .plot text.ytitle")].filter((title) => {
    const text = title.getBoundingClientRect(), figure = title.closest("svg").getBoundingClientRect();
    return text.height && (text.top < figure.top - 1 || text.bottom > figure.bottom + 1 || text.left < figure.left - 1
      || text.right > figure.right + 1);
  }).map((title) => title.textContent)
"""


@dataclass
class View:
    """A page as it stands in the browser.

    ``page`` is playwright's page, for locators and screenshots; the rest says what is promised of every page.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    """Addresses that the page asked for other than files; none of them was let out."""
    errors: list[str] = field(default_factory=list)
    """Errors of the console, and exceptions of scripts."""

    def assert_sound(self) -> None:
        """All that holds for every page, whatever is on it."""
        self.assert_offline()
        self.assert_no_errors()
        self.assert_figures_drawn()
        self.assert_titles_whole()
        self.assert_legible()
        self.assert_fits()

    def assert_offline(self) -> None:
        assert self.requests == []

    def assert_no_errors(self) -> None:
        assert self.errors == []

    def assert_fits(self, width: int = PHONE) -> None:
        """The document does not scroll sideways on a screen of ``width`` pixels."""
        before = self.page.viewport_size
        self.page.set_viewport_size({"width": width, "height": 800})
        self.settle()
        too_wide = self.page.evaluate(TOO_WIDE)
        self.page.set_viewport_size(before)
        self.settle()
        assert too_wide == [], f"wider than {width} px"

    def assert_figures_drawn(self, number: int | None = None) -> None:
        """Every figure is an SVG or a canvas with something on it; ``number`` of them where given."""
        figures = self.page.locator("figure:has(.plot)").filter(visible=True)
        if number is not None:
            assert figures.count() == number
        for figure in figures.all():
            name = figure.locator(".plot").get_attribute("aria-label")
            marks = figure.locator(
                ".trace path, .trace text, .bars path, .hm image, .hm text, .gl-container canvas, .scatterlayer path"
            )
            assert marks.count(), f"nothing is drawn: {name}"
            assert figure.locator("figcaption").inner_text().strip(), f"no caption: {name}"

    def assert_titles_whole(self) -> None:
        """No title of an axis is longer than its figure is wide or high."""
        assert self.page.evaluate(CUT_OFF) == []

    def assert_legible(self) -> None:
        """Contrast of 4.5 to 1 or more (WCAG 2, level AA) of every text that is seen, at the axes of figures too."""
        texts = self.page.evaluate(CONTRAST)
        assert texts
        assert [(text, round(contrast, 2)) for text, contrast, _ in texts if contrast < 4.5] == []

    def settle(self) -> None:
        """Two frames: what a change of size or theme sets off has been drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def colours(self) -> Counter[str]:
        """How often each colour strokes a line of a figure."""
        nodes = "[...document.querySelectorAll('.scatterlayer path.js-line')].map((n) => getComputedStyle(n).stroke)"
        return Counter(self.page.evaluate(nodes))


if __name__ == "__main__":
    sys.exit(main())
