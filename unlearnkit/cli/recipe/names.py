"""Expands ``{name: npo, beta: 0.2}`` to a class and its arguments.

The entries of a family stand at a fixed place of a recipe. There a registered name, a dotted path
or ``class_path``/``init_args`` may be given; `expand` writes all of them in the last form, which
jsonargparse reads.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from unlearnkit.cli.recipe.loggers import logger_entry
from unlearnkit.cli.recipe.optimizers import optimizer_path
from unlearnkit.cli.recipe.strategies import strategy_entry
from unlearnkit.errors import RecipeError
from unlearnkit.families import (
    CALLBACKS,
    FAMILIES,
    STREAMS,
    SUITES,
    Family,
    KeyPath,
    at,
    with_plain_lora,
)
from unlearnkit.plain import told
from unlearnkit.registry import PACKAGE, did_you_mean

OPTIMIZER: KeyPath = ("model", "optimizer")
LOGGER: KeyPath = ("trainer", "logger")
STRATEGY: KeyPath = ("trainer", "strategy")
PROFILER: KeyPath = ("trainer", "profiler")


class Entry(NamedTuple):
    """One entry of a family, or the optimizer, taken apart."""

    path: KeyPath
    family: Family | None
    class_path: str | None
    """None if the entry cannot be resolved; then `error` says why."""
    arguments: dict[str, Any]
    error: RecipeError | None = None


def entries(tree: Mapping[str, Any]) -> Iterator[Entry]:
    """All entries of a recipe, or of a part of one, in its order."""
    for family in FAMILIES:
        given = at(tree, family.place)
        if family.listed:
            items = list(enumerate(_as_list(given)))
        else:
            items = list(given.items()) if isinstance(given, Mapping) else []
        for key, value in items:
            yield _entry(family, (*family.place, key), value)
    optimizer = at(tree, OPTIMIZER)
    if optimizer is not None:
        yield _entry(None, OPTIMIZER, optimizer)
    if has_named_strategy(tree):
        yield _entry(None, STRATEGY, at(tree, STRATEGY))
    if _is_path(profiler := at(tree, PROFILER)):
        yield Entry(PROFILER, None, profiler, {})
    logger = at(tree, LOGGER)
    if isinstance(logger, list):
        for index, each in enumerate(logger):
            yield _entry(None, (*LOGGER, index), each)
    elif logger is not None and not isinstance(logger, bool):
        yield _entry(None, LOGGER, logger)


def has_named_strategy(tree: Mapping[str, Any]) -> bool:
    """Whether a strategy has arguments in the short form, or is a dotted path.

    A name alone is Lightning's to read, which would take a path in lower case for a name.

    Example:
        >>> given = ({"name": "fsdp2", "replicate": 2}, "mine.Own", "ddp")
        >>> [has_named_strategy({"trainer": {"strategy": each}}) for each in given]
        [True, True, False]
    """
    given = at(tree, STRATEGY)
    return _is_path(given) or (isinstance(given, Mapping) and "class_path" not in given)


def own_keys(tree: Mapping[str, Any], section: str) -> list[str]:
    """Keys of a section that hold entries, which are checked on their own."""
    places = [*(family.place for family in FAMILIES), OPTIMIZER, LOGGER]
    places += [STRATEGY] if has_named_strategy(tree) else []
    places += [PROFILER] if _is_path(at(tree, PROFILER)) else []
    return [str(place[1]) for place in places if place[0] == section and len(place) > 1]


def bound_of(entry: Entry) -> type:
    """What an entry's class has to be one of."""
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.profilers import Profiler
    from lightning.pytorch.strategies import Strategy
    from torch.optim import Optimizer

    if is_logger(entry.path):
        return Logger
    if entry.path in (STRATEGY, PROFILER):
        return Strategy if entry.path == STRATEGY else Profiler
    return Optimizer if entry.family is None else entry.family.bound


def is_logger(path: KeyPath) -> bool:
    """Whether the path is a logger's entry.

    Example:
        >>> is_logger(("trainer", "logger")), is_logger(("trainer", "logger", 0, "name"))
        (True, False)
    """
    return path[:2] == LOGGER and len(path) < 4


def expand(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe, or a part of one, with every short form written out; the input is not changed.

    Raises:
        RecipeError: For the first entry that cannot be resolved.
    """
    expanded = _copy(with_plain_lora(tree))
    for family in FAMILIES:
        if family.listed and at(expanded, family.place) is not None:
            _put(expanded, family.place, _as_list(at(expanded, family.place)))
    for entry in entries(expanded):
        if entry.error is not None:
            raise RecipeError(f"{dotted(entry.path)}: {entry.error.message}", hint=entry.error.hint)
        written = {"class_path": entry.class_path, "init_args": entry.arguments}
        _put(expanded, entry.path, written)
    return expanded


def family_at(path: KeyPath) -> Family | None:
    """The family that the path is an entry of, or None."""
    listed = isinstance(path[-1], int)
    return next((f for f in FAMILIES if path[:-1] == f.place and f.listed <= listed), None)


def dotted(path: KeyPath) -> str:
    """``model.objectives.forget``, ``evaluate[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def split_entry(value: Any) -> tuple[str | None, dict[str, Any]]:
    """Name and arguments of an entry in any of its forms; the name is None where left out.

    Raises:
        RecipeError: If the entry is neither a name nor a mapping.
    """
    if value is None or isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping):
        raise RecipeError(
            f"expected a name or a mapping such as {{name: ..., weight: 1.0}}, found {told(value)}"
        )
    if "class_path" in value:
        extra = [key for key in value if key not in ("class_path", "init_args", "dict_kwargs")]
        if extra:
            raise RecipeError(
                f"{', '.join(map(repr, extra))} beside class_path; the arguments of a class_path "
                "stand under init_args"
            )
        given = value.get("init_args") or {}
        if not isinstance(given, Mapping):
            raise RecipeError(f"init_args: expected a mapping of arguments, found {told(given)}")
        return str(value["class_path"]), dict(given)
    arguments = dict(value)
    name = arguments.pop("name", None)
    if name is not None and not isinstance(name, str):
        raise RecipeError(f"expected text, found {told(name)}. Quote it if it is text.")
    return name, arguments


def _entry(family: Family | None, path: KeyPath, value: Any) -> Entry:
    try:
        name, arguments = split_entry(value)
        if is_logger(path):
            class_path, arguments = logger_entry(name, arguments)
            return Entry(path, None, class_path, arguments)
        if path == STRATEGY:
            class_path, arguments = strategy_entry(name, arguments)
            return Entry(path, None, class_path, arguments)
        if family is None:
            return Entry(path, None, optimizer_path(name), arguments)
        if name is None and family.listed:
            raise RecipeError(f"no name; give {{name: ...}}, one of {_known(family)}.")
        try:
            class_path = _class_path(family, name or str(path[-1]))
        except RecipeError as unknown:
            if name is not None:
                return Entry(path, family, None, arguments, unknown)
            unnamed = RecipeError(
                f"it gives no name, and no {family.word} is named '{path[-1]}'",
                hint=f"Add name: with one of {_known(family)}.",
            )
            return Entry(path, family, None, arguments, unnamed)
        if family is SUITES:
            arguments = {key: _stream_of_suite(path, key, arguments[key]) for key in arguments}
        return Entry(path, family, class_path, arguments)
    except RecipeError as error:
        return Entry(path, family, None, {}, error)


def _stream_of_suite(path: KeyPath, key: str, value: Any) -> Any:
    """A stream given to a suite alone, or a mapping of some by name, in the short form too."""
    if isinstance(value, Mapping) and all(isinstance(each, Mapping) for each in value.values()):
        return {name: _stream_of_suite(path, f"{key}.{name}", value[name]) for name in value}
    if not isinstance(value, Mapping) or not {"name", "class_path"} & set(value):
        return value
    stream = _entry(STREAMS, (*path, key), value)
    if stream.error is not None:
        raise RecipeError(f"{key}: {stream.error.message}", hint=stream.error.hint)
    return {"class_path": stream.class_path, "init_args": stream.arguments}


def _class_path(family: Family, name: str) -> str:
    if "." in name:
        return _own_path(family, name)
    if family is CALLBACKS:
        return _callback_path(name)
    return _path_of(family.root.resolve(name))


def _own_path(family: Family, path: str) -> str:
    """Where a class is now that an earlier version wrote the path of; other paths as they are."""
    if not path.startswith(PACKAGE):
        return path
    found = family.root.at_path(path)
    if found is None:
        return path
    warnings.warn(
        "class paths inside unlearnkit are read by their last part, since modules may move; "
        "write a class's name instead, such as {name: retain_kl}",
        stacklevel=2,
    )
    return _path_of(found)


def _path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _callback_path(name: str) -> str:
    """Ours by registered name, Lightning's own by class name."""
    ours = CALLBACKS.root.registered()
    if name in ours:
        return _path_of(ours[name])
    theirs = importlib.import_module("lightning.pytorch.callbacks")
    if name in theirs.__all__:
        return f"lightning.pytorch.callbacks.{name}"
    raise RecipeError(
        f"no callback is named '{name}'.{did_you_mean(name, [*ours, *theirs.__all__])}",
        hint=f"Known: {', '.join(ours)}, and Lightning's own by class name, such as "
        "EarlyStopping. Or give a dotted path such as my_module.MyCallback.",
    )


def _known(family: Family) -> str:
    return ", ".join(family.root.registered())


def _is_path(given: Any) -> bool:
    return isinstance(given, str) and "." in given


def _as_list(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list) else [given]


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _put(tree: Any, path: KeyPath, value: Any) -> None:
    for step in path[:-1]:
        tree = tree[step]
    tree[path[-1]] = value
