"""What ``unlearnkit list`` shows: the registered classes and the shipped recipes."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from unlearnkit.cli.families import CALLBACKS, OBJECTIVES, STREAMS, SUITES
from unlearnkit.cli.shipped import shipped, summary

Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]


def rows(what: str) -> Rows:
    """Headings and rows of a list."""
    if what == "objectives":
        headings = ("name", "", "stream", "needs", "paper")
        return headings, [
            (name, first_line(cls), *_of_objective(cls))
            for name, cls in OBJECTIVES.root.registered().items()
        ]
    if what == "recipes":
        return ("name", ""), [(name, summary(path)) for name, path in shipped().items()]
    if what == "metrics":
        return ("name", ""), [(cls.__name__, first_line(cls)) for cls in _metrics()]
    family = {"streams": STREAMS, "suites": SUITES, "callbacks": CALLBACKS}[what]
    return ("name", ""), [(name, first_line(cls)) for name, cls in family.root.registered().items()]


def first_line(cls: type) -> str:
    """First line of a class's docstring."""
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _of_objective(cls: Any) -> tuple[str, str, str]:
    return cls.default_stream, ", ".join(sorted(cls.needs)) or "-", cls.paper


def _metrics() -> list[type]:
    module = importlib.import_module("unlearnkit.metrics")
    found = {getattr(module, name) for name in dir(module)}
    return sorted((each for each in found if inspect.isclass(each)), key=lambda c: c.__name__)
