"""Each file of the package has its tests at the same place below ``tests/unit``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE, UNIT = ROOT / "unlearnkit", ROOT / "tests" / "unit"

EXEMPT = {
    "__main__.py": "calls the command",
    "callbacks/base.py": "a base class without code",
    "cli/recipe/scalars.py": "tells the parser of a type",
    "data/example.py": "types",
    "report/contents.py": "types",
}
"""Files without logic of their own, and why."""

LINES = (ROOT / "tests" / "mirror.txt").read_text(encoding="utf-8").splitlines()
TOGETHER = dict(line.split() for line in LINES if not line.startswith("#"))
"""Files that are tested with others: the tests that name its functions or classes, or one test."""


def files() -> list[str]:
    """Modules of the package that hold more than imports; ``tiny`` holds data."""
    found = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return sorted(
        path.as_posix() for path in found if path.name != "__init__.py" and path.parts[0] != "tiny"
    )


def mirrored(file: str) -> Path:
    path = Path(file)
    return UNIT / path.parent / f"test_{path.name}"


def names(file: str) -> list[str]:
    """The module, what it defines for others, and the names that recipes and the shell know."""
    found = [f"unlearnkit.{file.removesuffix('.py').replace('/', '.')}"]
    if file.startswith("cli/verbs/"):
        found.append(Path(file).stem)
    for each in ast.parse((PACKAGE / file).read_text(encoding="utf-8")).body:
        if isinstance(each, ast.FunctionDef | ast.ClassDef) and each.name[0] != "_":
            found.append(each.name)
        if isinstance(each, ast.ClassDef):
            values = [k.value for k in each.keywords if k.arg == "name"]
            found += [str(value.value) for value in values if isinstance(value, ast.Constant)]
    return found


@pytest.mark.parametrize("file", files())
def test_a_file_has_its_tests(file) -> None:
    if file in EXEMPT:
        assert not mirrored(file).exists(), f"{file} has tests: take it out of EXEMPT"
        return
    if file not in TOGETHER:
        assert mirrored(file).is_file(), f"no {mirrored(file).relative_to(ROOT)}"
        assert "def test_" in mirrored(file).read_text(encoding="utf-8")
        return
    assert not mirrored(file).exists(), f"{file} has tests of its own: take it out of mirror.txt"
    path, _, test = TOGETHER[file].partition("::")
    text = (ROOT / "tests" / path).read_text(encoding="utf-8")
    named = [f"def {test}"] if test else names(file)
    assert any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in named)


def test_what_is_listed_is_there() -> None:
    assert {*EXEMPT, *TOGETHER} <= set(files())


def test_folders_of_unit_tests_are_packages() -> None:
    # So that files of two folders may have one name.
    for path in UNIT.rglob("test_*.py"):
        assert (path.parent / "__init__.py").is_file(), f"{path.parent} needs an __init__.py"
