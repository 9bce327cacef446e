"""The tree of a recipe, with file and line of each key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonargparse import get_loader

from unlearnkit.cli.recipe.names import dotted
from unlearnkit.errors import RecipeError
from unlearnkit.families import KeyPath
from unlearnkit.plain import refuse_yaml_bomb

COMMAND_LINE = "command line"
# Sections that a later recipe adds to, key by key; any other value it replaces whole.
MERGED = ("model", "data", "trainer")
# YAML has 010 as 8, 12:30 as 750 and 01e5 as 100000.0; who writes them means text.
_ODD = re.compile(r"[-+]?(0[0-9_]|[0-9][0-9_]*:)")


class Mistake(NamedTuple):
    """Something wrong in a recipe."""

    path: KeyPath
    message: str
    place: str = ""
    """``file:line`` or ``command line``."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.heading, self.message) if part)

    @property
    def heading(self) -> str:
        """Place and key."""
        return ": ".join(part for part in (self.place, dotted(self.path)) if part)


def refusal(name: str, mistakes: list[Mistake]) -> RecipeError:
    """One error for all mistakes, in the order of the file."""
    ordered = sorted(dict.fromkeys(mistakes), key=lambda each: _line(each.place))
    if len(ordered) == 1:
        return RecipeError(str(ordered[0]))
    lines = [f"{each.heading}\n    {each.message}" for each in ordered]
    return RecipeError("\n".join([f"{name} has {len(ordered)} mistakes.", *lines]))


def _line(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return (file, int(line)) if line.isdigit() else ("~", 0)


@dataclass
class Document:
    """Recipes merged in their order.

    Args:
        tree: The values.
        name: The first file.
        places: ``file:line`` by key path; ``init_args`` left out of the paths.
        mistakes: What is wrong with the text itself.
        choices: By the name of each choice, the block that was taken and the names of all.
    """

    tree: dict[str, Any]
    name: str
    places: dict[KeyPath, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    choices: dict[str, tuple[str, list[str]]] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """Where the key, or the nearest one above it, stands."""
        path = plain(path)
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)

    def located(self, message: str) -> str:
        """A message with file and line before each of its lines that begins with a key.

        Args:
            message: Lines such as ``trainer.max_steps: 0 trains nothing``.
        """
        return "\n".join(map(self._located, message.splitlines()))

    def _located(self, line: str) -> str:
        key, colon, _ = line.partition(": ")
        path: KeyPath = tuple(key.split("."))
        # A file may be called as a section is: model.yaml.
        if not colon or ":" in key or " " in key or path[0] not in self.tree:
            return line
        exact = plain(path) in self.places
        # Of phases, a key that all share may be that of one of them.
        if not exact and "phases" in self.tree:
            return line
        place = self.place(path)
        return line if place == self.name else f"{place}: {line}"


def plain(path: KeyPath) -> KeyPath:
    """The path without ``init_args``, and with ``class_path`` as ``name``."""
    steps = (step for step in path if step != "init_args")
    return tuple("name" if step == "class_path" else step for step in steps)


def load_yaml(text: str) -> Any:
    """YAML as jsonargparse reads it: ``2e-6`` is a number. Keys are names, and so text as written.

    Example:
        >>> load_yaml("{lr: 2e-6, no: no, 01: 01}")
        {'lr': 2e-06, 'no': False, '01': 1}

    Raises:
        ValueError: If it stands for far more than it is.
        yaml.YAMLError: If it is no YAML.
    """
    refuse_yaml_bomb(text)
    try:
        value = get_loader("yaml")(text)
    except (KeyError, AttributeError, ValueError) as error:
        raise yaml.YAMLError(f"a value is not of its type: {error}") from error
    return _with_names(value, yaml.compose(text, Loader=yaml.SafeLoader)) if _odd(value) else value


def _odd(value: Any) -> bool:
    """Whether some key is not text."""
    if isinstance(value, dict):
        return any(not isinstance(key, str) or _odd(each) for key, each in value.items())
    return isinstance(value, list) and any(map(_odd, value))


def _with_names(value: Any, node: yaml.Node | None) -> Any:
    """The value with each key as its file has it."""
    if isinstance(value, list) and isinstance(node, yaml.SequenceNode):
        return [_with_names(*each) for each in zip(value, node.value, strict=True)]
    if not isinstance(value, dict) or not isinstance(node, yaml.MappingNode):
        return value
    read = get_loader("yaml")
    written = {
        key.value if key.style or isinstance(name := read(key.value), str) else name: (key, below)
        for key, below in node.value
    }
    found = {}
    for name, each in value.items():
        key, below = written.get(name, (None, None))
        found[str(name) if key is None else key.value] = _with_names(each, below)
    return found


def read(files: list[Path]) -> Document:
    """Reads recipes; of two that give the same key, the later wins.

    Raises:
        RecipeError: For a file that is not text, not YAML or not a mapping, with the line.
    """
    document = Document(tree={}, name=str(files[0]) if files else COMMAND_LINE)
    for path in files:
        tree, node = _parse(path)
        for key, place, duplicate in _keys(node, str(path)):
            document.places[key] = place
            if duplicate:
                document.mistakes.append(
                    Mistake(key, "this key stands twice in its mapping.", place)
                )
        document.mistakes += [
            Mistake(key, fault, f"{path}:{line}") for key, line, fault in misread(node)
        ]
        for section, value in tree.items():
            merged = document.tree.get(section)
            if section in MERGED and isinstance(merged, dict) and isinstance(value, dict):
                merged.update(value)
            else:
                document.tree[section] = value
    return document


def _parse(path: Path) -> tuple[dict[str, Any], yaml.MappingNode]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{path} is not UTF-8 text: byte {error.start} cannot be read."
        ) from error
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        refuse_yaml_bomb(text)
    except ValueError as error:
        raise RecipeError(
            f"{path}: found {error}.",
            hint="A recipe is a page of plain values; write them out.",
        ) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = load_yaml(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise RecipeError(
            f"{_at(path, error)}: this is not YAML: {getattr(error, 'problem', None) or error}.",
            hint="Look at the indentation, and for a missing quote, bracket or colon.",
        ) from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(tree, dict):
        found = "nothing" if node is None else "something else"
        raise RecipeError(
            f"{path}: expected a mapping with the sections model, data and trainer, found {found}.",
            hint="`unlearnkit cp copyright my.yaml` gives one to start from.",
        )
    return tree, node


def misread(node: yaml.Node | None, above: KeyPath = ()) -> Iterator[tuple[KeyPath, int, str]]:
    """Path, line and fault of each number that YAML reads as another one than is written.

    A key is a name, whatever it looks like.

    Example:
        >>> for path, line, fault in misread(yaml.compose("where: {id: 010}")):
        ...     print(path, line, fault)
        ('where', 'id') 1 YAML reads 010 as the number 8; quoted, "010", it is as written.
    """
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from misread(value, plain((*above, str(key.value))))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from misread(value, (*above, index))
    elif isinstance(node, yaml.ScalarNode) and not node.style and _ODD.match(node.value):
        text, number = node.value, get_loader("yaml")(node.value)
        # The loader of recipes takes 01e5 for a number, and that of YAML itself for text.
        exempt = node.tag == "tag:yaml.org,2002:str" and "e" not in text.lower()
        if isinstance(number, int | float) and not exempt:
            fault = f'YAML reads {text} as the number {number}; quoted, "{text}", it is as written.'
            yield above, node.start_mark.line + 1, fault


def _at(path: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return str(path) if mark is None else f"{path}:{mark.line + 1}"


def _keys(node: yaml.Node, file: str, above: KeyPath = ()) -> Iterator[tuple[KeyPath, str, bool]]:
    """Path, place and whether the key is there already, of all keys and list items."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            path = plain((*above, str(key.value)))
            yield path, f"{file}:{key.start_mark.line + 1}", key.value in seen
            seen.add(key.value)
            yield from _keys(value, file, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            path = (*above, index)
            yield path, f"{file}:{value.start_mark.line + 1}", False
            yield from _keys(value, file, path)
