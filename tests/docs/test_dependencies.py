"""What the package imports is what it declares."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DISTRIBUTIONS = metadata.packages_distributions()


def _imported(code: str) -> set[str]:
    """Libraries that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found - sys.stdlib_module_names - {"unlearnkit"}


def _with_their_own(requirements: list[str]) -> set[str]:
    """Distributions that a plain install has: what is asked for, and what that asks for."""
    found: set[str] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            waiting += [Requirement(each) for each in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue
    return found


def _undeclared(code: str, installed: set[str], extras: dict[str, list[str]]) -> set[str]:
    """What neither a plain install has nor an extra that the file names."""
    named = [each for name, each in extras.items() if f"unlearnkit[{name}]" in code]
    optional = {canonicalize_name(Requirement(each).name) for part in named for each in part}
    return {
        library
        for library in _imported(code)
        if not {canonicalize_name(each) for each in DISTRIBUTIONS.get(library, [library])}
        & (installed | optional)
    }


def test_what_is_imported_is_a_dependency_or_of_an_extra_that_is_named() -> None:
    installed = _with_their_own(PROJECT["dependencies"])
    assert {"scipy", "numpy", "safetensors"} <= installed
    extras = PROJECT["optional-dependencies"]
    files = sorted((ROOT / "unlearnkit").rglob("*.py"))
    found = {
        str(file.relative_to(ROOT)): lacking
        for file in files
        if (lacking := _undeclared(file.read_text("utf-8"), installed, extras))
    }
    assert found == {}


def test_the_rule_notices_what_is_not_declared() -> None:
    extras = {"gate": ["scikit-learn>=1.5"]}
    code = "def f():\n    from sklearn.svm import OneClassSVM\n"
    assert _undeclared(code, {"torch"}, extras) == {"sklearn"}
    assert _undeclared(code + "    # pip install 'unlearnkit[gate]'\n", {"torch"}, extras) == set()
    assert _undeclared("import scipy.stats, torch, os", {"torch"}, {"gate": []}) == {"scipy"}
