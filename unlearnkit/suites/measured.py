"""Means over rows of which some hold nothing to measure, in results and files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from unlearnkit.suites.digest import by_stream

_NO_WORD = "the true text has no word"
_NO_GENERATED_WORD = "no word was generated"
_REASONS = {
    "rougeL_recall": _NO_WORD,
    "rougeL_f1": _NO_WORD,
    "hallucinates": "the true or the invented text has no word",
    "bleu": "the true text has fewer than four tokens",
    "distinct_2": _NO_GENERATED_WORD,
    "entropy": "no two words were generated",
    "exact_match": "no true answer has a word",
    "f1": "no true answer has a word",
}


def known(value: float) -> float | None:
    """The value, or None where it is nan: a figure of something that is not there.

    Example:
        >>> known(0.5), known(math.nan)
        (0.5, None)
    """
    return None if math.isnan(value) else value


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are there; None where none is.

    Example:
        >>> mean([1.0, None, 0.0]), mean([None])
        (0.5, None)
    """
    found = [value for value in values if value is not None]
    return fmean(found) if found else None


def mean_of(rows: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Mean of a figure over the rows that have it."""
    return mean(row[name] for row in rows)


def left_out(rows: Sequence[Mapping[str, Any]], figures: Mapping[str, str]) -> list[str]:
    """How many rows each figure leaves out, and why, a sentence for each stream and figure.

    Args:
        rows: Rows of a suite; their figures are their own keys, or those below ``figures``.
        figures: Names of figures of a stream, each with the key of a row that it is a mean of.

    Example:
        >>> left_out([{"stream": "forget", "bleu": None}], {"leak_rate": "bleu"})
        ['forget/leak_rate: 1 of 1 rows is left out: the true text has fewer than four tokens']
    """
    notes: list[str] = []
    for stream, part in by_stream(rows).items():
        for figure, key in figures.items():
            values = [row.get("figures", row).get(key, 0.0) for row in part]
            count = sum(value is None for value in values)
            if count:
                verb = "is" if count == 1 else "are"
                notes.append(
                    f"{stream}/{figure}: {count} of {len(part)} rows {verb} left out: "
                    f"{_REASONS[key]}"
                )
    return notes


def as_json(value: Any, indent: int | None = 2) -> str:
    """A value as JSON, which has no infinite number and none that is no number: null for each.

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
