"""llms.txt lists the pages of the site, by the names and in the order of its navigation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def pages(nav: list) -> Iterator[tuple[str, str]]:
    """Title and path of each page, sections opened."""
    for entry in nav:
        for title, target in entry.items():
            if isinstance(target, list):
                yield from pages(target)
            else:
                yield title, f"docs/{target}"


def test_llms_txt_lists_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    listed = re.findall(r"^- \[(.+)\]\((.+)\)$", (ROOT / "llms.txt").read_text("utf-8"), flags=re.M)
    assert listed == list(pages(nav))
    assert all((ROOT / path).is_file() for _, path in listed)
