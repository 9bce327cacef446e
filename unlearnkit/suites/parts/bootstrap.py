"""Bootstrap intervals of a suite's values, over its rows."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unlearnkit.metrics.base import UnlearningMetric
from unlearnkit.suites.base import Suite
from unlearnkit.suites.parts.measured import by_stream

Intervals = dict[str, tuple[float, float]]
"""Lower and upper bound by ``<stream>/<metric>``."""
_Drawn = Sequence[Sequence[int]]
"""Indices of rows, for each stream."""
_Values = Callable[[_Drawn], Iterable[tuple[str, float | None]]]


def bootstrap(
    suite: Suite,
    rows: Sequence[Mapping[str, Any]],
    *,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Intervals:
    """Percentile intervals of a suite's values.

    The rows of each stream are resampled with replacement, as many as there are. The interval says
    what other rows of the same kind could have given, not what another training would.

    Args:
        suite: Computes values from rows.
        rows: Rows of one of its results.
        seed: Seed of the resampling: equal rows and seed give equal intervals.
        resamples: Number of resamples.
        confidence: Share of them that lies within, in (0, 1).

    References:
        Efron and Tibshirani 1993, "An introduction to the bootstrap", sec. 13.3.
    """
    groups = list(by_stream(rows).values())
    plain = type(suite).aggregate is Suite.aggregate and type(suite).groups is Suite.groups
    values_of = _by_columns(suite, groups) if plain else _by_rows(suite, groups)
    generator = random.Random(seed)
    found: dict[str, list[float]] = {}
    for _ in range(resamples):
        drawn = [generator.choices(range(len(group)), k=len(group)) for group in groups]
        for name, value in values_of(drawn):
            if value is not None:
                found.setdefault(name, []).append(value)
    outside = 50 * (1 - confidence)
    bounds = (outside, 100 - outside)
    intervals: Intervals = {}
    for name, values in found.items():
        known = np.asarray(values)[~np.isnan(values)]
        if len(known):
            low, high = np.percentile(known, bounds)
            intervals[name] = (float(low), float(high))
    return intervals


def _by_rows(suite: Suite, groups: Sequence[Sequence[Mapping[str, Any]]]) -> _Values:
    """Values of a suite that makes them its own way."""

    def values(drawn: _Drawn) -> Iterable[tuple[str, float | None]]:
        parts = zip(groups, drawn, strict=True)
        found = suite.aggregate([group[i] for group, some in parts for i in some])
        return (
            (key, value)
            for key, value in found.items()
            if key.partition("/")[2] not in suite.without_interval
        )

    return values


def _by_columns(suite: Suite, groups: Sequence[Sequence[Mapping[str, Any]]]) -> _Values:
    """The same values, from columns of numbers that are taken out of the rows once."""
    columns = [
        (index, f"{group[0]['stream']}/{name}", _Column(metric, group))
        for index, group in enumerate(groups)
        for name, metric in suite.metrics_on(group[0]["stream"]).items()
        if name not in suite.without_interval and metric.measured_in(group)
    ]

    def values(drawn: _Drawn) -> Iterable[tuple[str, float | None]]:
        found = {key: column.of(drawn[index]) for index, key, column in columns}
        return suite.completed(found).items()

    return values


class _Column:
    """The fields of a metric in the rows of a stream, and its value over any choice of them."""

    def __init__(self, metric: UnlearningMetric, rows: Sequence[Mapping[str, Any]]) -> None:
        self.metric = metric
        held = [all(key in row for key in metric.keys) for row in rows]
        numbers = [
            [metric.number(row[key]) if there else math.nan for key in metric.keys]
            for row, there in zip(rows, held, strict=True)
        ]
        self.columns = list(zip(*numbers, strict=True))
        self.whole = {i for i, row in enumerate(numbers) if not any(map(math.isnan, row))}
        self.short = {i for i, there in enumerate(held) if there} - self.whole
        self.all_whole = len(self.whole) == len(rows)

    def of(self, drawn: Sequence[int]) -> float | None:
        """As `UnlearningMetric.of`, of the rows of these indices."""
        if not self.all_whole:
            whole = [i for i in drawn if i in self.whole]
            short = self.metric.every_row and any(i in self.short for i in drawn)
            if not whole or short:
                return None
            drawn = whole
        columns = ([column[i] for i in drawn] for column in self.columns)
        result = float(self.metric.aggregate(*columns))
        return result if math.isfinite(result) else None
