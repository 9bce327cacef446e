"""The table of what is whole has every system of the table of results."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "papers.md").read_text(encoding="utf-8")


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    heads = {at - 1 for at, line in enumerate(lines) if line.startswith("| ---")}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for at, line in enumerate(lines)
        if at not in heads and at - 1 not in heads
    ]


def test_each_system_is_whole_or_names_what_is_left_out() -> None:
    results, _, rest = PAGE.partition("## What is whole")
    systems = [row[1].strip("`") for row in _rows(results)]
    told = {
        name: row[1]
        for row in _rows(rest.partition("\n## ")[0])
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert len(systems) > 30
    assert {*systems} - {"before", "gold"} == {*told}
    assert all(told.values())
