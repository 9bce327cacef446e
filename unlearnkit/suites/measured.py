"""Small helpers of suites: rows, names by pattern, values as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
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


def spaced(rows: Sequence[_T], limit: int | None) -> list[_T]:
    """At most ``limit`` rows, evenly spaced, since files are often sorted; None for all.

    Example:
        >>> spaced(range(10), 3)
        [0, 3, 6]
    """
    count = len(rows) if limit is None else min(limit, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


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


def as_json(value: Any, indent: int | None = 2) -> str:
    """A value as JSON; numbers that are nan or infinite become null.

    Example:
        >>> as_json({"a": [1.0, math.nan], "b": (math.inf,)}, indent=None)
        '{"a": [1.0, null], "b": [null]}'
    """
    found = _finite(value)
    return json.dumps(found, indent=indent, ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
