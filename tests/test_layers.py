"""The import rule: a layer knows those before it, and no library that belongs to another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "unlearnkit"

# A room may import itself and the rooms of all tiers before its own.
TIERS = (
    {"errors"},
    {"redact", "registry"},
    {"families"},
    {"functional", "tiny"},
    {"models"},
    {"data"},
    {"engine"},
    {"objectives", "metrics"},
    {"module", "edits", "testing"},
    {"suites"},
    {"callbacks", "report"},
    {"attacks"},
    {"runs"},
    {"cli"},
    {"__main__"},
)
RANK = {name: rank for rank, names in enumerate(TIERS) for name in names}
# Libraries that only some rooms may import.
HOMES = {
    "peft": {"models", "engine", "module", "edits"},
    "datasets": {"data"},
    "rich": {"cli", "callbacks"},
    "jsonargparse": {"cli"},
    "altair": {"report"},
    "jinja2": {"data", "report"},
    "vl_convert": {"report"},
}
# Flat lists of one registered family may be longer than other folders.
FAMILIES = {"cli/verbs", "suites", "objectives", "functional"}
# What an objective may know of the package.
OBJECTIVES_KNOW = (
    "unlearnkit.functional",
    "unlearnkit.objectives",
    "unlearnkit.engine.step.views",
    "unlearnkit.errors",
    "unlearnkit.registry",
)


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            yield node.module or ""


def _files() -> list[Path]:
    return sorted(file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")


def _layer(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", _files(), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_point_to_the_left(file: Path) -> None:
    layer = _layer(file)
    assert layer in RANK, f"{layer} has no place in the order of layers"
    for name in _imports(file):
        if name.startswith("unlearnkit."):
            other = name.split(".")[1]
            assert other == layer or RANK[other] < RANK[layer], f"{layer} imports {name}"
        library = name.split(".")[0]
        assert layer in HOMES.get(library, {layer}), f"{layer} imports {library}"
        if layer == "functional":
            assert library != "lightning"
        if layer == "objectives" and library == "unlearnkit":
            assert name.startswith(OBJECTIVES_KNOW), f"an objective imports {name}"


def test_the_rule_notices_a_wrong_import(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("from unlearnkit.cli.main import main\nimport rich.table\n")
    found = list(_imports(file))
    assert found == ["unlearnkit.cli.main", "rich.table"]
    assert RANK["cli"] > RANK["data"]
    assert "data" not in HOMES["rich"]


def test_no_file_is_longer_than_300_lines() -> None:
    long = {f.name: n for f in _files() if (n := len(f.read_text().splitlines())) > 300}
    assert not long


def test_no_two_test_files_have_one_module_name() -> None:
    """Pytest collects the second of them with an error."""
    folders = Path(__file__).parent.rglob("test_*.py")
    loose = [file for file in folders if not (file.parent / "__init__.py").is_file()]
    assert len({file.name for file in loose}) == len(loose)


def test_no_folder_has_too_many_files() -> None:
    found: dict[str, int] = {}
    for file in _files():
        if file.name != "__init__.py":
            folder = file.parent.relative_to(PACKAGE).as_posix()
            found[folder] = found.get(folder, 0) + 1
    assert not {k: n for k, n in found.items() if n > (30 if k in FAMILIES else 20)}
