"""Metrics of a run before and after unlearning, with meaning and intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from unlearnkit import plain
from unlearnkit.metrics.base import Direction
from unlearnkit.suites.meaning import Meaning, stored_meaning

Interval = tuple[float, float]
Intervals = Mapping[str, Mapping[str, Mapping[str, Interval]]]
"""Bounds as ``[suite]["before" | "after" | "gold"][metric]``."""


@dataclass(frozen=True)
class Value:
    """A metric of one model, and its 95 % interval if there is one."""

    value: float
    interval: Interval | None = None

    def __str__(self) -> str:
        bounds = self.interval
        if bounds is None:
            return number(self.value)
        return f"{number(self.value)} [{number(bounds[0])}, {number(bounds[1])}]"

    @property
    def bounds(self) -> Interval:
        """The interval, or the value twice."""
        return self.interval or (self.value, self.value)

    def overlaps(self, other: Value) -> bool:
        """Whether the intervals have a value in common."""
        return self.bounds[0] <= other.bounds[1] and self.bounds[1] >= other.bounds[0]


@dataclass(frozen=True)
class MetricRow:
    """A metric of a suite before and after unlearning, and of the gold model."""

    suite: str
    name: str
    meaning: Meaning
    values: Mapping[str, Value]

    @property
    def metric(self) -> str:
        """The name without its stream."""
        return self.name.partition("/")[2]

    @property
    def direction(self) -> Direction | None:
        """Good values, if any value is good by itself."""
        return self.meaning.direction

    @property
    def address(self) -> str:
        """``<suite>/<stream>/<metric>``."""
        return f"{self.suite}/{self.name}"

    @property
    def stream(self) -> str:
        """The name's first part."""
        return self.name.partition("/")[0]


def metric_rows(
    suites: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    intervals: Intervals,
    stored: Any = None,
) -> dict[str, list[MetricRow]]:
    """The metrics of each suite, those of a stream together.

    Args:
        suites: As in ``summary.json``.
        intervals: As in ``intervals.json``.
        stored: ``metrics`` of ``summary.json``.
    """
    found: dict[str, list[MetricRow]] = {}
    for suite, by_when in suites.items():
        names = dict.fromkeys(name for values in by_when.values() for name in values)
        streams = list(dict.fromkeys(name.partition("/")[0] for name in names))
        found[suite] = [
            MetricRow(
                suite,
                name,
                stored_meaning(suite, name, stored),
                {
                    when: Value(value, intervals.get(suite, {}).get(when, {}).get(name))
                    for when, values in by_when.items()
                    if (value := values.get(name)) is not None and math.isfinite(value)
                },
            )
            for name in sorted(names, key=lambda name: streams.index(name.partition("/")[0]))
        ]
    return found


def headline(rows: Iterable[MetricRow], *, forgets: bool) -> MetricRow | None:
    """The metric that speaks for its suite, of those with a direction.

    Args:
        rows: Metrics of one suite or several.
        forgets: Whether it is to say what was forgotten, or what was kept.
    """
    able = [row for row in rows if row.meaning.forgets == forgets and row.direction is not None]
    return max(able, key=lambda row: row.meaning.headline, default=None)


def is_known(value: float | None) -> bool:
    """Whether there is a value and it is finite."""
    return value is not None and math.isfinite(value)


number = partial(plain.number, none="–")
"""Three decimals; a dash for no number."""
