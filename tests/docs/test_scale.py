"""The memory tables are those of the formula."""

from __future__ import annotations

import re

from benchmarks import memory


def test_the_tables_are_up_to_date() -> None:
    page = memory.PAGE.read_text(encoding="utf-8")
    assert re.findall("<!-- generated: (.*) -->", page) == [*memory.TABLES]
    assert memory.generated(page) == page, "run: python -m benchmarks.memory"
