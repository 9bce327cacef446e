"""Small operations on plain values: spaced rows, nested keys, printed numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def spaced(rows: Sequence[T], limit: int | None) -> list[T]:
    """At most ``limit`` rows, evenly spaced; all of them without a limit.

    Example:
        >>> spaced(range(10), 3), spaced("ab", None)
        ([0, 3, 6], ['a', 'b'])
    """
    count = len(rows) if limit is None else min(limit, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of a nested mapping, such as a recipe.

    Entries of lists of mappings are numbered, and ``init_args`` is left out of keys.

    Example:
        >>> list(leaves({"a": {"init_args": {"b": [1, 2]}}, "c": [{"d": None}]}))
        [('a.b', [1, 2]), ('c.0.d', None)]
    """
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, each in value.items():
        step = "" if name == "init_args" else str(name)
        yield from leaves(each, ".".join(part for part in (key, step) if part))


def number(value: float | None, none: str = "-") -> str:
    """Three decimals, or three digits of a large number.

    Args:
        value: The number.
        none: What stands for None and nan.

    Example:
        >>> number(0.12345), number(123456.0), number(None)
        ('0.123', '1.23e+05', '-')
    """
    if value is None or math.isnan(value):
        return none
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.3g}"
