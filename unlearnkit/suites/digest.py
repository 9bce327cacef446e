"""Rows of a suite by stream, and digests by which its inputs are recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any


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


def digest(*values: Any) -> str:
    """Digest of plain values, equal where their ``repr`` is.

    Example:
        >>> digest(1, "a") == digest(1, "a"), digest(1) == digest(2)
        (True, False)
    """
    return f"sha256:{hashlib.sha256(repr(values).encode()).hexdigest()[:16]}"
