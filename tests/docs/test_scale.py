"""The memory tables are those of the formula, and each line says what it rests on."""

from __future__ import annotations

import re
from itertools import pairwise

from benchmarks import memory


def test_the_tables_are_up_to_date() -> None:
    page = memory.PAGE.read_text(encoding="utf-8")
    assert re.findall("<!-- generated: (.*) -->", page) == [*memory.TABLES]
    assert memory.generated(page) == page, "run: python -m benchmarks.memory"


BASIS = re.compile("run here|simulated|reasoned")
PAGE = memory.PAGE.read_text(encoding="utf-8")


def _blocks() -> list[str]:
    """Paragraphs, lists and tables of the page, without code, comments and headings."""
    text = re.sub(r"^```.*?^```$", "", PAGE, flags=re.S | re.M)
    text = re.sub(r"^<!--.*-->$|^#+ .*$", "", text, flags=re.M)
    return [block.strip() for block in re.split(r"\n\s*\n", text) if block.strip()]


def _tables() -> list[tuple[str, list[list[str]]]]:
    """What stands before each table, and its rows of cells, the heading first."""
    blocks = _blocks()
    return [
        (before, [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()])
        for before, table in pairwise(blocks)
        if table.startswith("|")
    ]


def test_each_row_of_a_table_says_its_basis_or_the_sentence_above_does() -> None:
    assert len(_tables()) > 10
    for before, (heading, _, *rows) in _tables():
        columns = [cell.strip() for cell in heading]
        if "Basis" not in columns:
            assert BASIS.search(before), columns
            continue
        for row in rows:
            assert BASIS.search(row[columns.index("Basis")]), row


def test_each_point_of_a_list_says_its_basis_or_the_sentence_above_does() -> None:
    lists = [(before, each) for before, each in pairwise(_blocks()) if each.startswith("- ")]
    assert len(lists) > 2
    for before, points in lists:
        for point in re.split(r"^- ", points, flags=re.M)[1:]:
            assert BASIS.search(point) or BASIS.search(before), point
