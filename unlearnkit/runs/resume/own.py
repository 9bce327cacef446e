"""Digests of a user's own code that a run is made with."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from unlearnkit.files import digest_of
from unlearnkit.own_code import is_own_file

_PROGRAM = "__main__"


def own_code(parts: Iterable[Any]) -> dict[str, str]:
    """Digests of the files of classes that belong to no installed package.

    The files of own modules that these import count too. Of a program that is run as a file only
    the classes themselves do: it also says what to run.

    Args:
        parts: Objects of a run, which may hold others.

    Returns:
        Digests by class and file, such as ``losses.Mine (losses.py)``, and by module and file of
        what these import.
    """
    found: dict[str, str] = {}
    for cls in {cls: None for part in parts for cls in _classes(part)}:
        file = _own_file(cls)
        if file is None:
            continue
        if cls.__module__ == _PROGRAM:
            found[f"{cls.__qualname__} ({file.name})"] = _digest_of_class(cls, file)
            continue
        found[f"{cls.__module__}.{cls.__qualname__} ({file.name})"] = _digest_of_file(file)
        for module, place in _imported(sys.modules[cls.__module__]):
            found.setdefault(f"{module.__name__} ({place.name})", _digest_of_file(place))
    return found


def _classes(part: Any) -> Iterator[type]:
    """Classes of an object and of what it holds, with those that they inherit."""
    held = [part]
    for value in getattr(part, "__dict__", {}).values():
        if isinstance(value, dict):
            value = list(value.values())
        held += value if isinstance(value, list | tuple) else [value]
    for each in held:
        yield from type(each).__mro__


def _own_file(thing: type | ModuleType) -> Path | None:
    try:
        file = Path(inspect.getfile(thing)).resolve()
    except (OSError, TypeError):  # a class of C, or of an interactive session
        return None
    return file if is_own_file(file) else None


def _imported(module: ModuleType) -> Iterator[tuple[ModuleType, Path]]:
    """Own modules that one imports, itself or by its names, and those that these import."""
    waiting, seen = [module], {module.__name__, _PROGRAM}
    while waiting:
        for value in list(vars(waiting.pop()).values()):
            name = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
            each = sys.modules.get(name)
            if name in seen or each is None:
                continue
            seen.add(name)
            if (file := _own_file(each)) is not None:
                waiting.append(each)
                yield each, file


def _module_of(value: Any) -> str:
    """The module of a class or function; other values do not say where they are from."""
    named = inspect.isclass(value) or inspect.isroutine(value)
    return str(getattr(value, "__module__", "")) if named else ""


def _digest_of_class(cls: type, file: Path) -> str:
    try:
        return digest_of(inspect.getsource(cls).encode())
    except (OSError, TypeError):
        return _digest_of_file(file)


def _digest_of_file(file: Path) -> str:
    return digest_of(file.read_bytes())
