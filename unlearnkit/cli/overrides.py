"""Arguments of the command line that override a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from unlearnkit.cli.document import COMMAND_LINE, Document, Mistake, load_yaml, plain
from unlearnkit.cli.families import FAMILIES, KeyPath, at, expand, family_at, split_entry
from unlearnkit.cli.shipped import find, shipped
from unlearnkit.errors import RecipeError
from unlearnkit.registry import did_you_mean

RECIPE_FLAGS = ("-r", "--recipe", "-c", "--config")
_SECTIONS = ("seed_everything", "model", "data", "trainer", "evaluate", "gold", "run_dir")


@dataclass
class CommandLine:
    """The arguments behind a verb, taken apart.

    Args:
        recipes: Files, in their order.
        overrides: Key paths and values.
        ckpt_path: Checkpoint to resume from.
        argv: The same arguments with files found and short forms written out, for jsonargparse.
    """

    recipes: list[Path] = field(default_factory=list)
    overrides: list[tuple[KeyPath, Any]] = field(default_factory=list)
    ckpt_path: str | None = None
    argv: list[str] = field(default_factory=list)

    @property
    def asks_for_help(self) -> bool:
        """Whether the parser's help is asked for, which needs no recipe."""
        return any("--help" in each or ".help" in each for each in self.argv)


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """Takes the arguments apart.

    Raises:
        RecipeError: For a recipe that does not exist, or a word that belongs to no option.
    """
    line = CommandLine()
    for flag, value in _options(list(argv)):
        if flag in RECIPE_FLAGS:
            if value is None:
                raise RecipeError(f"{flag} names no recipe.", hint=f"Shipped: {_names()}.")
            path = find(value)
            line.recipes.append(path)
            line.argv += ["--recipe", str(path)]
        elif flag == "--ckpt_path":
            line.ckpt_path = value
        elif value is not None and flag.lstrip("-").split(".")[0].rstrip("+") in _SECTIONS:
            _add_override(line, flag, value)
        else:
            line.argv.append(flag if value is None else f"{flag}={value}")
    return line


def apply(document: Document, line: CommandLine) -> None:
    """Puts the overrides into the document, as jsonargparse will do."""
    for path, value in line.overrides:
        family = next((f for f in FAMILIES if path[: len(f.place)] == f.place), None)
        depth = 0 if family is None or family.listed else len(family.place) + 1
        if depth and len(path) > depth and at(document.tree, path[: depth - 1]) is not None:
            known = list(at(document.tree, path[: depth - 1]))
            if path[depth - 1] not in known:
                message = (
                    f"no {family.word} '{path[depth - 1]}' in this recipe."  # type: ignore[union-attr]
                    f"{did_you_mean(str(path[depth - 1]), known)} It has: {', '.join(known)}."
                )
                document.mistakes.append(Mistake(path, message, COMMAND_LINE))
                continue
        if len(path) == depth and isinstance(value, str):
            value = _renamed(document, path, value)
        _set(document.tree, path, value)
        document.places[plain(path)] = COMMAND_LINE


def _options(argv: list[str]) -> Iterator[tuple[str, str | None]]:
    while argv:
        flag = argv.pop(0)
        if not flag.startswith("-"):
            what = f"unexpected '{flag}'."
            hint = f"A recipe is given as: --recipe {flag}"
            is_recipe = flag in shipped() or flag.endswith((".yaml", ".yml"))
            raise RecipeError(what, hint=hint if is_recipe else "Options begin with two dashes.")
        flag, equals, value = flag.partition("=")
        if equals:
            yield flag, value
        elif argv and not argv[0].startswith("--") and argv[0] not in RECIPE_FLAGS:
            yield flag, argv.pop(0)
        else:
            yield flag, None


def _add_override(line: CommandLine, flag: str, text: str) -> None:
    appends = flag.endswith("+")
    path: KeyPath = tuple(
        int(step) if step.isdigit() else step for step in flag.strip("-+").split(".")
    )
    if path[-1] in ("name", "class_path") and family_at(path[:-1]) is not None:
        path = path[:-1]
    try:
        value = load_yaml(text)
    except yaml.YAMLError:
        value = text
    if family_at(path) is not None and value is None:
        raise RecipeError(
            f"{flag} null: an entry cannot be taken out of a recipe at the command line.",
            hint="A weight of 0 leaves an objective out, and its forward passes with it.",
        )
    key = ".".join(map(str, path))
    written = _written_out(path, value)
    sign = "+" if appends else ""
    line.argv.append(f"--{key}{sign}={text if written is None else written}")
    if not appends:
        line.overrides.append((plain(path), value))


def _written_out(path: KeyPath, value: Any) -> str | None:
    """The value for jsonargparse if it holds short forms, else None."""
    tree: Any = value
    for step in reversed(path):
        tree = {step: tree}
    try:
        expanded = at(expand(tree), path)
    except RecipeError:
        return None  # reported with all other mistakes
    if expanded == value:
        return None
    if isinstance(value, str) and isinstance(expanded, dict):
        # A bare name keeps the arguments that the entry has in the recipe.
        return expanded["class_path"]
    return json.dumps(expanded)


def _renamed(document: Document, path: KeyPath, name: str) -> dict[str, Any]:
    try:
        _, arguments = split_entry(at(document.tree, path))
    except RecipeError:
        arguments = {}
    document.carried |= {(*path, key) for key in arguments}
    return {"name": name, **arguments}


def _set(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    here: Any = tree
    for step in path[:-1]:
        if isinstance(here, list):
            return  # jsonargparse's own business
        if isinstance(here.get(step), str):
            here[step] = {"name": here[step]}
        elif not isinstance(here.get(step), (dict, list)):
            here[step] = {}
        here = here[step]
        if isinstance(here, dict) and "class_path" in here:
            here = here.setdefault("init_args", {})
    if isinstance(here, dict):
        here[path[-1]] = value


def _names() -> str:
    return ", ".join(shipped())
