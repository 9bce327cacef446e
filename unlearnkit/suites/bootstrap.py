"""Bootstrap intervals of a suite's values, over its rows."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unlearnkit.suites.measured import by_stream

if TYPE_CHECKING:
    from unlearnkit.suites.base import Suite

Intervals = dict[str, tuple[float, float]]
"""Lower and upper bound by ``<stream>/<metric>``."""


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
    generator = random.Random(seed)
    found: dict[str, list[float]] = {}
    for _ in range(resamples):
        drawn = [row for group in groups for row in generator.choices(group, k=len(group))]
        for name, value in suite.aggregate(drawn).items():
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
