"""No six lines of one logic stand twice in the package.

Compared are the statements inside functions, a line each, with every name and constant masked.
Declarations (arguments, docstrings, fields of classes) and imports are no logic.
"""

from __future__ import annotations

import ast
import copy
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "unlearnkit"
LINES = 6
PARTS = ("body", "handlers", "orelse", "finalbody", "cases")


class _Masked(ast.NodeTransformer):
    """Puts one name in the place of names and constants."""

    def _mask(self, _: ast.expr) -> ast.expr:
        return ast.Name("_")

    visit_Name = visit_Constant = visit_JoinedStr = _mask


def _line(statement: ast.AST) -> str:
    """The shape of a statement; of a compound one, that of its head."""
    head: Any = copy.deepcopy(statement)
    if isinstance(head, ast.FunctionDef | ast.ClassDef):
        return f"def {head.name}"
    for part in PARTS:
        if getattr(head, part, None):
            setattr(head, part, [ast.Pass()] if part == "body" else [])
    return ast.unparse(ast.fix_missing_locations(_Masked().visit(head))).splitlines()[0]


def _lines(body: list[Any]) -> Iterator[tuple[int, str]]:
    for each in body:
        text = isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
        if not text and not isinstance(each, ast.Import | ast.ImportFrom):
            yield getattr(each, "lineno", 0), _line(each)
            for part in PARTS:
                yield from _lines(getattr(each, part, []))


def twice(package: Path) -> list[list[str]]:
    """The places of each run of lines that stands more than once, as ``file:line``."""
    seen: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for file in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                lines = list(_lines(node.body))
                for first in range(len(lines) - LINES + 1):
                    run = lines[first : first + LINES]
                    seen[tuple(text for _, text in run)].add(f"{file.name}:{run[0][0]}")
    return [sorted(places) for places in seen.values() if len(places) > 1]


def test_no_logic_of_six_lines_stands_twice() -> None:
    assert twice(PACKAGE) == []


def test_the_same_logic_under_other_names_is_found(tmp_path: Path) -> None:
    loop = """
def {name}(given):
    '''{name} of a mapping.'''
    {found} = dict(given)
    for key, value in given.items():
        if value is None:
            {found}.pop(key)
        elif key == "{name}":
            {found}[key] = value + {add}
    return {found}
"""
    (tmp_path / "one.py").write_text(loop.format(name="first", found="found", add=1))
    (tmp_path / "two.py").write_text(loop.format(name="second", found="kept", add=2))
    assert twice(tmp_path) == [["one.py:4", "two.py:4"], ["one.py:5", "two.py:5"]]
    (tmp_path / "two.py").write_text(loop.format(name="s", found="kept", add="len(key)"))
    assert twice(tmp_path) == []
