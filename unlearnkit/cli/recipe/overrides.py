"""Command-line arguments that override a recipe."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from unlearnkit.arguments import refuse_idle
from unlearnkit.cli.recipe.choices import lay_choices
from unlearnkit.cli.recipe.document import (
    COMMAND_LINE,
    Document,
    Mistake,
    load_yaml,
    misread,
    plain,
)
from unlearnkit.cli.recipe.names import (
    OPTIMIZER,
    dotted,
    entries,
    family_at,
    split_entry,
)
from unlearnkit.cli.recipe.shipped import find, shipped
from unlearnkit.cli.recipe.signature import accepted, import_class
from unlearnkit.errors import RecipeError
from unlearnkit.families import FAMILIES, Family, KeyPath, at, path_of
from unlearnkit.registry import did_you_mean

RECIPE_FLAGS = ("-r", "--recipe", "-c", "--config")
SHOWING = ("--print_recipe", "--help_all")
CHANGES, CHECKPOINT = "--resume_with_changes", "--ckpt_path"
SWITCHES = (*SHOWING, CHANGES)


class Override(NamedTuple):
    """One value from the command line; with ``appends`` it is added to a list."""

    path: KeyPath
    value: Any
    appends: bool = False


@dataclass
class CommandLine:
    """The arguments behind a verb, taken apart.

    Args:
        recipes: Files, in their order.
        overrides: Values for keys, in their order.
        switches: Those of `SWITCHES` that were given.
        ckpt_path: Checkpoint to resume from.
    """

    recipes: list[Path] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)
    switches: set[str] = field(default_factory=set)
    ckpt_path: str | None = None


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """Takes the arguments apart.

    Raises:
        RecipeError: For a recipe that does not exist, a word that belongs to no option, or an
            option without a value.
    """
    line = CommandLine()
    for flag, value in _options(list(argv)):
        if flag in SWITCHES:
            line.switches.add(flag)
        elif value is None:
            hint = f"Shipped: {', '.join(shipped())}." if flag in RECIPE_FLAGS else None
            raise RecipeError(f"{flag} is given no value.", hint=hint)
        elif flag in RECIPE_FLAGS:
            line.recipes.append(find(value))
        elif flag == CHECKPOINT:
            line.ckpt_path = value
        else:
            line.overrides.append(_override(flag, value))
    return line


def refuse_unread(line: CommandLine, verb: str, read: Collection[str] = ()) -> None:
    """Refuses what a verb does not read of the options that are no keys of a recipe.

    Args:
        line: The command line.
        verb: The verb.
        read: Those that it reads.

    Raises:
        UserError: With all others that are given.
    """
    given = [*sorted(line.switches), *([] if line.ckpt_path is None else [CHECKPOINT])]
    unread = [each.removeprefix("--") for each in given if each not in read]
    refuse_idle(dict.fromkeys(unread, f"on {verb}"))


def split_options(argv: Sequence[str], own: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of a verb itself, and those that belong to a recipe, each with its value.

    Example:
        >>> split_options(["-r", "mine.yaml", "--top_p", "0.9", "--model.base=tiny"], ["--top_p"])
        (['--top_p', '0.9'], ['-r', 'mine.yaml', '--model.base=tiny'])
    """
    ours: list[str] = []
    recipes: list[str] = []
    left = list(argv)
    while left:
        flag = left.pop(0)
        into = ours if flag.partition("=")[0] in own else recipes
        into.append(flag)
        if "=" not in flag and left and not left[0].startswith("-"):
            into.append(left.pop(0))
    return ours, recipes


def apply(document: Document, overrides: Sequence[Override]) -> None:
    """Lays chosen blocks and overrides over a recipe; one that names no entry is a mistake."""
    values, overrides = lay_choices(document, overrides)
    for path, value in values:
        _set(document.tree, path, deepcopy(value))
    for path, value, appends in overrides:
        missing = _missing_entry(document.tree, path)
        if missing is not None:
            document.mistakes.append(Mistake(path, missing, COMMAND_LINE))
            continue
        if appends:
            given = at(document.tree, path) or []
            value = [*(given if isinstance(given, list) else [given]), value]
            _came_from_line(document, (*path, len(value) - 1))
        elif _is_entry(path) and isinstance(value, str):
            value = _renamed(document.tree, path, value)
            _came_from_line(document, path, below=False)
        else:
            _came_from_line(document, path)
        # A later override may change what is in it, and the caller's own stays as it was given.
        _set(document.tree, path, deepcopy(value))


def _came_from_line(document: Document, path: KeyPath, *, below: bool = True) -> None:
    """Takes down that a value, and with ``below`` all in it, is no longer the file's."""
    key = plain(path)
    if below:
        for place in [each for each in document.places if each[: len(key)] == key]:
            del document.places[place]
    else:
        document.places.pop((*key, "name"), None)
    for depth in range(1, len(key)):
        document.places.setdefault(key[:depth], COMMAND_LINE)
    document.places[key] = COMMAND_LINE


def _options(argv: list[str]) -> Iterator[tuple[str, str | None]]:
    while argv:
        flag = argv.pop(0)
        if not flag.startswith("-"):
            is_recipe = flag in shipped() or flag.endswith((".yaml", ".yml"))
            hint = f"A recipe is given as: --recipe {flag}" if is_recipe else None
            raise RecipeError(f"unexpected '{flag}'; options begin with two dashes.", hint=hint)
        flag, equals, value = flag.partition("=")
        if flag in SWITCHES:
            yield flag, None
        elif equals:
            yield flag, value
        elif argv and not argv[0].startswith("--") and argv[0] not in RECIPE_FLAGS:
            yield flag, argv.pop(0)
        else:
            yield flag, None


def _override(flag: str, text: str) -> Override:
    path = path_of(flag.lstrip("-").rstrip("+"))
    if path[-1] in ("name", "class_path") and _is_entry(path[:-1]):
        path = path[:-1]
    try:
        value, node = load_yaml(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        node, value = None, text
    except ValueError as error:
        raise RecipeError(f"{flag}: found {error}") from error
    if told := "\n".join(told for _, _, told in misread(node)):
        quotes = f" In a shell: {flag} '\"{text}\"'" if isinstance(node, yaml.ScalarNode) else ""
        raise RecipeError(f"{flag}: {told}{quotes}")
    if value is None and _is_entry(path) and path != OPTIMIZER:
        raise RecipeError(
            f"{flag} null: an entry cannot be taken out of a recipe at the command line.",
            hint="A weight of 0 leaves an objective out, and its forward passes with it.",
        )
    return Override(path, value, appends=flag.endswith("+"))


def _is_entry(path: KeyPath) -> bool:
    return path == OPTIMIZER or family_at(path) is not None


def _missing_entry(tree: dict[str, Any], path: KeyPath) -> str | None:
    """Why a value cannot be set below an entry that the recipe does not have."""
    for family in FAMILIES:
        depth = len(family.place)
        if path[:depth] == family.place and len(path) > depth + 1:
            known = at(tree, family.place)
            if isinstance(known, dict) and path[depth] not in known:
                return _no_entry(family, str(path[depth]), list(known))
    return None


def _no_entry(family: Family, key: str, known: list[str]) -> str:
    near = did_you_mean(key, known)
    return f"no {family.word} '{key}' in this recipe.{near} It has: {', '.join(known)}."


def _renamed(tree: dict[str, Any], path: KeyPath, name: str) -> dict[str, Any]:
    """The entry under another name, with those of its arguments that the new class takes."""
    try:
        _, arguments = split_entry(at(tree, path))
        _set(tree, path, {"name": name})
        entry = next(each for each in entries(tree) if each.path == path)
        takes = accepted(import_class(entry.class_path or "", object))
    except RecipeError:  # reported with all other mistakes
        return {"name": name}
    return {"name": name} | {key: arguments[key] for key in arguments if key in takes}


def _set(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    here: Any = tree
    try:
        for depth, step in enumerate(path[:-1], start=1):
            inner = at(here, (step,))
            if not isinstance(inner, (dict, list)):
                inner = here[step] = _opened(path[:depth], inner)
            here = inner
            if isinstance(here, dict) and "class_path" in here:
                here = here.setdefault("init_args", {})
        here[path[-1]] = value
    except (IndexError, TypeError):
        raise RecipeError(f"there is nothing at {dotted(path)} to override.") from None


def _opened(path: KeyPath, value: Any) -> dict[str, Any]:
    """A mapping in place of a value that was given in its shorter form."""
    if value is None:
        return {}
    return {"name" if _is_entry(path) else "path": value}


def with_values(argv: Sequence[str], switches: Collection[str]) -> list[str]:
    """The words with ``--merge`` alone as ``--merge=true``, since jsonargparse asks for a value."""
    pairs = zip(argv, [*argv[1:], ""], strict=False)
    alone = [word in switches and after.lower() not in ("true", "false") for word, after in pairs]
    return [f"{word}=true" if bare else word for word, bare in zip(argv, alone, strict=True)]
