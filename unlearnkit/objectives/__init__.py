"""Objectives: weighted losses on streams, each named in recipes by its registered name.

Every module of this package is imported with it, so a new objective is one new file. Classes can
be imported from here by name: ``from unlearnkit.objectives import NPO``.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from unlearnkit.objectives.base import Objective


def _objectives() -> dict[str, type[Objective]]:
    found: dict[str, type[Objective]] = {}
    for info in pkgutil.iter_modules(__path__, f"{__name__}."):
        module = import_module(info.name)
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, Objective)
                and value.__module__ == info.name
                and value.registered_name is not None
            ):
                found[value.__name__] = value
    return found


_classes = _objectives()


# Any, since each class has arguments of its own, which `type[Objective]` would hide.
def __getattr__(name: str) -> Any:
    try:
        return _classes[name]
    except KeyError:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *_classes})
