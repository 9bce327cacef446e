"""The page of guarantees names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest
from fences import ROOT

PAGE = (ROOT / "docs/guarantees.md").read_text("utf-8")
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| Guar")
]


def test_every_guarantee_names_its_test() -> None:
    assert len(ROWS) == len(NAMED) > 20
    assert all(re.search(r"\| `[\w/]+\.py::test_\w+` \|$", row) for row in ROWS)


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_test_of_a_guarantee_exists(file, test) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    assert test in [each.name for each in tree.body if isinstance(each, ast.FunctionDef)]
