"""Which values of a figure are good, asked by its name."""

from __future__ import annotations

from fnmatch import fnmatchcase

from unlearnkit.suites.base import Better, Suite


def direction(row: str) -> Better | None:
    """Good values of ``<suite>: <figure>``, as the suite says; None where none is known.

    Example:
        >>> direction("copyright: forget/rougeL_recall"), direction("no_such: forget/x")
        ('lower', None)
    """
    suite, _, figure = row.partition(": ")
    cls = Suite.registered().get(suite.partition("-")[0])
    patterns = cls.better.items() if cls else ()
    return next((better for key, better in patterns if fnmatchcase(figure, key)), None)
