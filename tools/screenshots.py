"""Makes the pictures of terminal, report and comparison in the documentation anew."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tests.browser.conftest import QUIET, chromium

IMAGES = Path(__file__).parents[1] / "docs" / "images"
MOST = 150_000
"""Bytes of a picture: the repository keeps each version of each."""
LINES = 47
MADE = ("terminal.svg", "comparison.svg", "report-light.png", "report-dark-phone.png")


def command(*words: str) -> str:
    """What ``unlearnkit`` prints on a terminal of 80 columns."""
    line = [sys.executable, "-m", "unlearnkit", *words]
    size = {"COLUMNS": "80", "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(
        line, env=os.environ | size, stdout=subprocess.PIPE, text=True, check=True
    )
    # The time is that of the machine of the day.
    return re.sub(r"(\d+ steps) in \d+ s", r"\1", done.stdout)


def terminal(shown: str, title: str) -> str:
    """The last lines of a terminal as an SVG, whose fonts are those of the reader."""
    console = Console(width=80, record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(shown.rstrip().splitlines()[-LINES:])))
    drawn = console.export_svg(title=title)
    return re.sub(r"@font-face\s*\{.*?\}", "", drawn, flags=re.DOTALL)


def photograph(browser: Any, page: Path, target: Path, width: int, height: int, **how: str) -> None:
    """The window on a page, from its top or from ``at``."""
    at = how.pop("at", "")
    shot = browser.new_page(viewport={"width": width, "height": height}, **how)
    shot.goto(page.as_uri())
    shot.wait_for_function(
        "[...document.querySelectorAll('.chart')].every((each) => each.querySelector('svg'))"
    )
    if at:
        shot.evaluate(f"document.querySelector('{at}').scrollIntoView()")
    shot.screenshot(path=target)
    shot.close()


def inputs(folder: Path, *options: str) -> tuple[str, Path, Path]:
    """What the pictures are of: trains two recipes and compares them.

    Args:
        folder: Where the runs and pages go.
        options: For `fit`, such as fewer steps.

    Returns:
        What the terminal shows, the report of the first run, and the picture of the comparison.
    """
    runs = folder / "runs"
    shown = command("fit", "-r", "copyright", "--run_dir", str(runs), *options)
    command("fit", "-r", "methods/npo", "--run_dir", str(runs), *options)
    compared, picture = folder / "compared.html", folder / "comparison.svg"
    command("compare", str(runs), "--report", str(compared), "--picture", str(picture))
    (report,) = (runs / "copyright").rglob("report.html")
    return shown.replace(str(runs), "runs"), report, picture


def photographs(browser: Any, report: Path, images: Path) -> None:
    """The pictures of a report that a browser takes."""
    photograph(browser, report, images / "report-light.png", 1000, 700)
    photograph(
        browser, report, images / "report-dark-phone.png", 390, 844,
        color_scheme="dark", at="#h-heat",
    )  # fmt: skip


def main() -> None:
    """Trains two recipes, and writes the pictures."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        shown, report, picture = inputs(Path(name))
        (IMAGES / "terminal.svg").write_text(terminal(shown, "unlearnkit fit -r copyright"))
        (IMAGES / "comparison.svg").write_bytes(picture.read_bytes())
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
            photographs(browser, report, IMAGES)
            browser.close()
    for each in (IMAGES / name for name in MADE):
        size = each.stat().st_size
        print(f"{each.name}: {size} bytes")
        if size > MOST:
            raise SystemExit(f"{each} is larger than {MOST} bytes")


if __name__ == "__main__":
    main()
