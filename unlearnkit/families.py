"""Registered families and their places in a recipe.

A recipe names a class of ours by its registered name. Class paths inside this package are no part
of the format: modules move. Recipes of earlier versions hold such paths, which are read by their
last part.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from unlearnkit.registry import PACKAGE, Registered

KeyPath = tuple[str | int, ...]
LORA: KeyPath = ("model", "lora")
_LORA_CLASS = "LoraConfig"
_SEARCHED = "tune.search."


class Family(NamedTuple):
    """A registered family and the place of its entries in a recipe."""

    word: str
    module: str
    """Importing it registers the members."""
    base: str
    place: KeyPath
    listed: bool

    @property
    def root(self) -> type[Registered]:
        """The base class."""
        return getattr(importlib.import_module(self.module), self.base)

    @property
    def bound(self) -> type:
        """What an entry must be a subclass of: of the callbacks, any Lightning callback."""
        if self is CALLBACKS:
            return importlib.import_module("lightning.pytorch").Callback
        return self.root


OBJECTIVES = Family(
    "objective", "unlearnkit.objectives", "Objective", ("model", "objectives"), listed=False
)
STREAMS = Family("stream", "unlearnkit.data", "Stream", ("data", "streams"), listed=False)
CALLBACKS = Family(
    "callback", "unlearnkit.callbacks", "NamedCallback", ("trainer", "callbacks"), listed=True
)
SUITES = Family("suite", "unlearnkit.suites", "Suite", ("evaluate",), listed=True)
ATTACKS = Family("attack", "unlearnkit.attacks", "Attack", ("attack",), listed=True)
ROBUST = Family("robust method", "unlearnkit.robust", "Robust", ("model", "robust"), listed=True)
FAMILIES = (OBJECTIVES, STREAMS, CALLBACKS, SUITES, ATTACKS, ROBUST)


def at(tree: Any, path: KeyPath) -> Any:
    """The value at a path, or None."""
    for step in path:
        if isinstance(tree, Mapping):
            tree = tree.get(step)
        elif isinstance(tree, list) and isinstance(step, int) and step < len(tree):
            tree = tree[step]
        else:
            return None
    return tree


def named(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with our classes by their registered names; the input is not changed.

    A class path inside this package becomes ``name``, beside which the arguments stand. Classes of
    others keep ``class_path`` and ``init_args``.

    Args:
        recipe: A recipe as it is written to a run folder, with or without phases.

    Example:
        >>> old = "unlearnkit.objectives.divergence.RetainKL"
        >>> entry = {"class_path": old, "init_args": {"weight": 2.0}}
        >>> named({"model": {"objectives": {"retain": entry}}})
        {'model': {'objectives': {'retain': {'name': 'retain_kl', 'weight': 2.0}}}}
    """
    found = _with_entries(with_plain_lora(recipe), _named)
    if isinstance(found.get("phases"), list):
        found["phases"] = [
            named(each) if isinstance(each, Mapping) else each for each in found["phases"]
        ]
    return found


def without_defaults(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A named recipe whose entries hold no argument that is its class's default.

    So a recipe of an earlier version equals one of this version that leaves new arguments alone.

    Example:
        >>> entry = {"name": "retain_kl", "weight": 2.0, "direction": "forward"}
        >>> without_defaults({"model": {"objectives": {"retain": entry}}})
        {'model': {'objectives': {'retain': {'name': 'retain_kl', 'weight': 2.0}}}}
    """
    return _with_entries(recipe, _short)


def defaults(cls: type) -> dict[str, Any]:
    """Defaults of a constructor's arguments, with those that it passes on."""
    found: dict[str, Any] = {}
    for each in constructors(cls):
        for name, parameter in inspect.signature(each.__init__).parameters.items():
            if parameter.default is not parameter.empty:
                found[name] = parameter.default
    return found


def constructors(cls: type) -> list[type]:
    """Classes whose constructors may take an argument of a class: its own comes last."""
    others = [each for other in getattr(cls, "passes_on", ()) for each in constructors(other)]
    return [*others, *reversed(cls.__mro__)]


def with_plain_lora(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe whose ``model.lora`` holds arguments alone; earlier versions wrote our class's path.

    Example:
        >>> lora = {"class_path": "unlearnkit.engine.lora.LoraConfig", "init_args": {"r": 8}}
        >>> with_plain_lora({"model": {"lora": lora}})
        {'model': {'lora': {'r': 8}}}
    """
    found = dict(recipe)
    given = at(found, (*LORA, "class_path"))
    if isinstance(given, str) and given.startswith(PACKAGE) and given.endswith(f".{_LORA_CLASS}"):
        _put(found, LORA, at(found, (*LORA, "init_args")) or {})
    return found


def _with_entries(
    recipe: Mapping[str, Any], change: Callable[[Family, Any], Any]
) -> dict[str, Any]:
    """A copy of a recipe with every entry of a family changed."""
    found = dict(recipe)
    for family in FAMILIES:
        given = at(found, family.place)
        if isinstance(given, Mapping):
            _put(found, family.place, {key: change(family, each) for key, each in given.items()})
        elif isinstance(given, list):
            _put(found, family.place, [change(family, each) for each in given])
    return found


def _named(family: Family, entry: Any) -> Any:
    """An entry of a family, with the streams in a suite's arguments, in the shorter form."""
    path = at(entry, ("class_path",))
    if not isinstance(path, str):
        return entry
    arguments = entry.get("init_args") or {}
    if not isinstance(arguments, Mapping):
        return entry
    if family is SUITES:
        arguments = {key: _named_streams(each) for key, each in arguments.items()}
    cls = family.root.at_path(path)
    if cls is None:
        return {**entry, "init_args": arguments} if arguments else entry
    return {"name": cls.registered_name, **arguments}


def _short(family: Family, entry: Any) -> Any:
    name = at(entry, ("name",))
    if not isinstance(name, str) or name not in family.root.registered():
        return entry
    known = defaults(family.root.resolve(name))
    return {
        key: value
        for key, value in entry.items()
        if key == "name" or key not in known or value != known[key]
    }


def _named_streams(value: Any) -> Any:
    """A stream that a suite is given, or a mapping of some by name."""
    if not isinstance(value, Mapping):
        return value
    if "class_path" in value:
        return _named(STREAMS, value)
    return {key: _named_streams(each) for key, each in value.items()}


def _put(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Sets a value at a path that exists; mappings on the way are copied."""
    for step in path[:-1]:
        tree[step] = dict(tree[step])  # pyright: ignore[reportArgumentType]
        tree = tree[step]  # pyright: ignore[reportArgumentType]
    tree[path[-1]] = value  # pyright: ignore[reportArgumentType]


def path_of(key: str) -> KeyPath:
    """The path of a dotted key; what is searched is named by a dotted key of its own.

    Example:
        >>> path_of("model.objectives.forget.init_args.beta"), path_of("evaluate.0.limit")
        (('model', 'objectives', 'forget', 'beta'), ('evaluate', 0, 'limit'))
        >>> path_of("tune.search.model.optimizer.lr")
        ('tune', 'search', 'model.optimizer.lr')
    """
    if key.startswith(_SEARCHED):
        return (*_SEARCHED.split(".")[:-1], key.removeprefix(_SEARCHED))
    steps = key.split(".")
    return tuple(int(step) if step.isdigit() else step for step in steps if step != "init_args")
