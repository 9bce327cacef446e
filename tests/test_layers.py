"""The import rule: a layer knows those before it, and no library that belongs to another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "unlearnkit"

# A room may import itself and the rooms of all tiers before its own.
TIERS = (
    {"errors", "processes", "secret_text"},
    {"redact", "registry", "files", "hashed", "own_code", "plain", "moved", "arguments"},
    {"families", "new_files", "terminal"},
    {"functional", "tiny", "cost"},
    {"models"},
    {"data"},
    {"engine"},
    {"objectives", "metrics"},
    {"robust"},
    {"module", "edits", "testing"},
    {"suites"},
    {"verdict"},
    {"callbacks", "report"},
    {"attacks", "inspection"},
    {"runs"},
    {"search"},
    {"cli"},
    {"__main__"},
)
RANK = {name: rank for rank, names in enumerate(TIERS) for name in names}
# Libraries that only some rooms may import.
HOMES = {
    "peft": {"models", "engine", "module", "edits"},
    "datasets": {"data"},
    "rich": {"terminal", "cli", "callbacks"},
    "jsonargparse": {"cli"},
    "optuna": {"search"},
    "altair": {"report"},
    "jinja2": {"data", "report"},
    "vl_convert": {"report"},
}
# Flat lists of one registered family may be longer than other folders.
FAMILIES = {"objectives", "functional"}
# What an objective may know of the package.
OBJECTIVES_KNOW = (
    "unlearnkit.functional",
    "unlearnkit.objectives",
    "unlearnkit.engine.step.views",
    "unlearnkit.errors",
    "unlearnkit.registry",
)
# What shared parts of suites may know of suites.
PARTS_KNOW = ("unlearnkit.suites.base", "unlearnkit.suites.parts.")


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
        if file.parent == PACKAGE / "suites/parts" and name.startswith("unlearnkit.suites."):
            assert name.startswith(PARTS_KNOW), f"a part of suites imports {name}"
        if layer == "objectives" and library == "unlearnkit":
            assert name.startswith(OBJECTIVES_KNOW), f"an objective imports {name}"


def test_the_rule_notices_a_wrong_import(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("from unlearnkit.cli.main import main\nimport rich.table\n")
    found = list(_imports(file))
    assert found == ["unlearnkit.cli.main", "rich.table"]
    assert RANK["cli"] > RANK["data"]
    assert "data" not in HOMES["rich"]


def _known(file: Path, package: Path) -> set[str]:
    """Modules of the package that a file imports, in functions too; those for types alone apart."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If)]
    for_types = {
        id(inside)
        for block in blocks
        if "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for inside in ast.walk(statement)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # A name may be a module of the package that it is imported from.
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            inside = {name for name in named if _file_of(name, package)}
            found |= inside | ({str(node.module)} if named - inside else set())
    return {name for name in found if _file_of(name, package) not in (None, file)}


def _file_of(module: str, package: Path) -> Path | None:
    """The file of a dotted name below a package's folder, if it is a module."""
    place = package.parent.joinpath(*module.split("."))
    candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def circles(package: Path) -> list[list[str]]:
    """Groups of a package's files each of which imports, by way of others, all of its group."""
    imports = {
        file: {found for name in _known(file, package) if (found := _file_of(name, package))}
        for file in sorted(package.rglob("*.py"))
    }
    reached: dict[Path, set[Path]] = {}
    for start in imports:
        seen: set[Path] = set()
        ahead = list(imports[start])
        while ahead:
            if (file := ahead.pop()) not in seen:
                seen.add(file)
                ahead += imports.get(file, ())
        reached[start] = seen
    groups = {
        tuple(sorted(str(o.relative_to(package)) for o in reached[f] if f in reached.get(o, ())))
        for f in imports
        if f in reached[f]
    }
    return [list(group) for group in sorted(groups)]


def test_no_file_imports_itself_by_way_of_others() -> None:
    assert circles(PACKAGE) == []


def test_a_circle_is_found_whatever_way_it_is_imported(tmp_path: Path) -> None:
    package = tmp_path / "made"
    (package / "inner").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "inner/__init__.py": "",
        "one.py": "from made.inner import two\n",
        "inner/two.py": "def late():\n    import made.three\n",
        "three.py": "from made.one import name\n",
        # Neither is in the circle: one for types alone, one that nobody imports back.
        "types.py": "if TYPE_CHECKING:\n    from made.outside import name\n",
        "outside.py": "from made.one import name\nfrom made.types import other\n",
    }.items():
        (package / name).write_text(text)
    assert circles(package) == [["inner/two.py", "one.py", "three.py"]]


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
