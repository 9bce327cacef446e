"""Small helpers of suites: rows by stream, names by pattern, means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from statistics import fmean
from typing import Any, TypeVar

_T = TypeVar("_T")


def by_stream(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by their stream, each in its order.

    Example:
        >>> by_stream([{"stream": "forget", "nll": 1.0}])
        {'forget': [{'stream': 'forget', 'nll': 1.0}]}
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["stream"], []).append(row)
    return found


def match(patterns: Mapping[str, _T], name: str) -> _T | None:
    """The value of the first pattern that matches a name; ``*`` matches anything.

    Example:
        >>> match({"forget*": 1, "*": 2}, "forget_level1"), match({}, "forget")
        (1, None)
    """
    return next((value for key, value in patterns.items() if fnmatchcase(name, key)), None)


def known(value: float) -> float | None:
    """The value, or None if it is nan.

    Example:
        >>> known(0.5), known(math.nan)
        (0.5, None)
    """
    return None if math.isnan(value) else value


def mean_of(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Mean of a field over the rows that have a value; None if no row has one.

    Example:
        >>> mean_of([{"bleu": 1.0}, {"bleu": None}, {"bleu": 0.0}], "bleu")
        0.5
    """
    found = [row[name] for row in rows if row[name] is not None]
    return fmean(found) if found else None
