"""Reads a grid of attacks from YAML, and varies its options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from unlearnkit.attacks.base import Attack
from unlearnkit.errors import UserError
from unlearnkit.plain import load_yaml

FILE = "grid.yaml"


def read_cells(path: str | None, words: Mapping[str, str | None]) -> dict[str, dict[str, Any]]:
    """The cells of a grid by name, each with the attack's name and its options.

    A cell whose option stands for a word without a value is left out.

    Args:
        path: A YAML file; by default the package's.
        words: What ``{domain}`` and the like stand for.

    Raises:
        UserError: If the file is none, or a cell has an attack or an option that is not known.
    """
    name = f"--grid {path}" if path else FILE
    try:
        text = Path(path) if path else files("unlearnkit.attacks").joinpath(FILE)
        tree = load_yaml(text.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{name}: cannot be read: {error}") from error
    if not isinstance(tree, dict) or not tree:
        raise UserError(f"{name}: expected a mapping of names to attacks, found {tree!r}")
    return dict(each for key, entry in tree.items() for each in _varied(name, key, entry, words))


def chosen_cells(cells: Mapping[str, Any], wanted: str | None) -> dict[str, Any]:
    """The cells whose names match one of the patterns between commas; without any, all.

    Raises:
        UserError: For patterns that match none.

    Example:
        >>> chosen_cells({"relearn lr=0.1": 1, "prefix": 2}, "relearn*")
        {'relearn lr=0.1': 1}
    """
    if wanted is None:
        return dict(cells)
    patterns = [each.strip() for each in wanted.split(",")]
    idle = [each for each in patterns if not any(fnmatchcase(name, each) for name in cells)]
    if idle:
        raise UserError(
            f"--cells: no cell is called {', '.join(idle)}.",
            title="usage",
            hint=f"Cells: {'; '.join(cells)}.",
        )
    return {k: v for k, v in cells.items() if any(fnmatchcase(k, each) for each in patterns)}


def _varied(
    name: str, key: Any, entry: Any, words: Mapping[str, str | None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    known = Attack.registered()
    if not isinstance(entry, dict) or entry.get("attack") not in known or entry["attack"] == "grid":
        choices = ", ".join(each for each in known if each != "grid")
        raise UserError(f"{name}: {key}: expected a mapping with attack, one of {choices}")
    vary = entry.get("vary") or {}
    if not isinstance(vary, dict) or not all(isinstance(v, list) and v for v in vary.values()):
        raise UserError(f"{name}: {key}.vary: expected options with lists of values")
    fixed = {option: value for option, value in entry.items() if option != "vary"}
    options = inspect.signature(known[entry["attack"]]).parameters
    unknown = [each for each in [*fixed, *vary] if each not in options and each != "attack"]
    if unknown:
        raise UserError(
            f"{name}: {key}: {entry['attack']} has no option {', '.join(map(str, unknown))}.",
            hint=f"It has: {', '.join(options)}.",
        )
    for values in product(*vary.values()):
        given = dict(zip(vary, values, strict=True))
        shown = [f"{option}={_plain(value)}" for option, value in given.items()]
        filled = {option: _filled(value, words) for option, value in {**fixed, **given}.items()}
        missing = [v for v in given.values() if _word(v) in words and words[_word(v)] is None]
        if not missing:
            yield " ".join([str(key), *shown]), filled


def _word(value: Any) -> str:
    return value[1:-1] if isinstance(value, str) and value[:1] + value[-1:] == "{}" else ""


def _plain(value: Any) -> str:
    return "-" if value is None else _word(value) or str(value)


def _filled(value: Any, words: Mapping[str, str | None]) -> Any:
    return words.get(_word(value), value)
