"""Metrics of an attack's curves, as verdicts and goals look at them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.suites.meaning import Meaning
from unlearnkit.verdict.values import MetricRow, Value

_MODEL, _GOLD = "unlearned", "gold"
_OWN = ("trained",)
"""Rows that the attacker trained on, on which nothing is judged."""


def attacked_rows(attack: Mapping[str, Any]) -> list[MetricRow]:
    """What an attack brought back, metric by metric: ``<attack>/<rows>/<metric>``.

    ``start`` is the model before the attack, ``after`` the point of the curve that is furthest
    above the gold model's, or the highest one where there is no gold model, and ``gold`` the gold
    model's at that point.

    Args:
        attack: As its file holds it.

    Example:
        >>> curve = [{"step": 0, "others/nll": 0.1}, {"step": 5, "others/nll": 0.75}]
        >>> row = attacked_rows({"attack": "relearn", "curves": {"unlearned": curve}})[0]
        >>> row.address, row.values["start"].value, row.values["after"].value
        ('relearn/others/nll', 0.1, 0.75)
    """
    curve = attack["curves"].get(_MODEL)
    gold = attack["curves"].get(_GOLD, [])
    if not curve or len(curve) < 2:
        return []
    by = next(iter(curve[0]))
    found: list[MetricRow] = []
    for name in dict.fromkeys(key for point in curve for key in point if key != by):
        if name.partition("/")[0] in _OWN:
            continue
        values = _values(curve, gold, name)
        if values:
            found.append(MetricRow(attack["attack"], name, Meaning("forget", "down"), values))
    return found


def _values(
    curve: Sequence[Mapping[str, Any]], gold: Sequence[Mapping[str, Any]], name: str
) -> dict[str, Value]:
    numbers = [_number(point.get(name)) for point in curve]
    beside = [_number(point.get(name)) for point in gold]
    beside += [None] * (len(numbers) - len(beside))
    points = [(n, g) for n, g in zip(numbers[1:], beside[1:], strict=False) if n is not None]
    with_gold = [(n, g) for n, g in points if g is not None]
    if not points:
        return {}
    worst = max(with_gold, key=lambda point: point[0] - (point[1] or 0.0), default=max(points))
    given = {"start": numbers[0], "after": worst[0], "gold": worst[1]}
    return {when: Value(value) for when, value in given.items() if value is not None}


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else None
