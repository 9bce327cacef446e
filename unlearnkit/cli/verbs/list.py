"""``unlearnkit list``: shows the registered classes and the shipped recipes."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.shipped import shipped, summary
from unlearnkit.cli.verbs.base import VerbParser
from unlearnkit.errors import UserError
from unlearnkit.families import ATTACKS, CALLBACKS, OBJECTIVES, ROBUST, STREAMS, SUITES, Family
from unlearnkit.registry import did_you_mean

HELP = "Show objectives, streams, suites, recipes, metrics, callbacks, attacks, edits or robust."

FAMILIES = {
    "attacks": ATTACKS,
    "objectives": OBJECTIVES,
    "streams": STREAMS,
    "suites": SUITES,
    "callbacks": CALLBACKS,
    "robust": ROBUST,
}
ROOTS = {
    "metrics": ("unlearnkit.metrics", "UnlearningMetric"),
    "edits": ("unlearnkit.edits", "Edit"),
}
LISTS = (*FAMILIES, "recipes", *ROOTS)

Rows = list[tuple[str, str, str]]


def command(argv: list[str]) -> None:
    """Shows the list that the words name, or what lists there are."""
    about = "Show what a recipe, or another command, can name; without a word, all names."
    parser = VerbParser(prog="unlearnkit list", description=about)
    parser.add_argument(
        "what", nargs="?", type=str, help=f"{', '.join(LISTS[:-1])} or {LISTS[-1]}."
    )
    what = parser.parse_args(argv).what
    if what is not None:
        list_names(what)
        return
    with heavy_imports():
        shown = [(what, ", ".join(name for name, _, _ in rows(what)), "") for what in LISTS]
    console.show_list(shown)
    console.out().print("\nunlearnkit list WHAT says what each is.")


def list_names(what: str) -> None:
    """Shows what a recipe, or another command, can name.

    Args:
        what: One of `LISTS`.

    Raises:
        UserError: For anything else.
    """
    if what not in LISTS:
        raise UserError(
            f"there is no list of '{what}'.{did_you_mean(what, list(LISTS))}",
            title="usage",
            hint=f"Lists: {', '.join(LISTS)}.",
        )
    console.show_list(rows(what))


def rows(what: str) -> Rows:
    """Name, description and remark of each member of a list."""
    if what == "recipes":
        return [(name, summary(path), "") for name, path in shipped().items()]
    if what in ROOTS:
        module, name = ROOTS[what]
        root = getattr(importlib.import_module(module), name)
        return [
            (n, first_line(cls), str(getattr(cls, "direction", None) or ""))
            for n, cls in root.registered().items()
        ]
    return _members(FAMILIES[what])


def first_line(cls: type) -> str:
    """First line of a class's docstring."""
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _members(family: Family) -> Rows:
    return [
        (name, first_line(cls), _remark(cls) if family is OBJECTIVES else "")
        for name, cls in family.root.registered().items()
    ]


def _remark(objective: Any) -> str:
    try:
        read = objective().streams
    except (TypeError, UserError):  # one of a plugin that has to be given something
        read = (objective.default_stream,)
    parts = [f"{'streams' if len(read) > 1 else 'stream'} {', '.join(read) or 'none'}"]
    if objective.needs:
        parts.append(f"needs {', '.join(sorted(objective.needs))}")
    return "; ".join([*parts, *([objective.paper] if objective.paper else [])])
