"""The figures of a run, each with its direction, its role and its intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from unlearnkit.report.contents import Interval, Intervals
from unlearnkit.suites.base import Better
from unlearnkit.suites.direction import direction

Role = Literal["forget", "utility"]
# Streams that are asked what was to be forgotten; the last are prefixes of benchmarks' names.
_FORGET = ("trained", "unseen", "forget", "mia_forget", "wmdp")
# What is said of a suite in one figure; of one that has none of these, its first.
_HEADLINES = (
    "forget_quality", "harmful_rate", "hallucination_rate", "verbmem", "rougeL_recall",
    "model_utility", "accuracy",
)  # fmt: skip
# How an answer reads, not whether it was forgotten.
_QUALITY = ("distinct_2",)


@dataclass(frozen=True)
class Value:
    """A figure of one model, and its 95 % interval where there is one."""

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


@dataclass(frozen=True)
class FigureRow:
    """A figure of a suite before and after unlearning, and of the gold model."""

    suite: str
    name: str
    better: Better | None
    values: Mapping[str, Value]

    @property
    def metric(self) -> str:
        """The name without its stream."""
        return self.name.partition("/")[2]

    @property
    def role(self) -> Role:
        """Whether it says what was forgotten, or what is left."""
        return role_of(self.suite, self.name.partition("/")[0])

    @property
    def judges_forgetting(self) -> bool:
        """Whether its distance from the gold model says how far forgetting went."""
        return self.role == "forget" and self.better is not None and self.metric not in _QUALITY

    def at_gold(self) -> bool | None:
        """Whether it cannot be told from the gold model's, or is beyond it; None without both."""
        if "after" not in self.values or "gold" not in self.values or self.better is None:
            return None
        if self.name.endswith("/forget_quality"):
            # A p-value: the two models' answers cannot be told apart (Maini et al. 2024).
            return self.values["after"].value >= 0.05
        low, high = self.values["after"].bounds
        gold_low, gold_high = self.values["gold"].bounds
        if self.better == "zero":
            nearest = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
            return nearest <= max(abs(gold_low), abs(gold_high))
        return low <= gold_high if self.better == "lower" else high >= gold_low

    def change(self) -> float:
        """How far it went from before to after, either way."""
        return abs(self.values["after"].value - self.values["before"].value)

    def worse_than_before(self) -> bool:
        """Whether the intervals before and after are apart, in the bad direction."""
        if "after" not in self.values or "before" not in self.values:
            return False
        low, high = self.values["after"].bounds
        was_low, was_high = self.values["before"].bounds
        return {"lower": low > was_high, "higher": high < was_low}.get(self.better or "", False)


def figure_rows(
    suites: Mapping[str, Mapping[str, Mapping[str, float | None]]], intervals: Intervals
) -> dict[str, list[FigureRow]]:
    """The figures of each suite, those of a stream together.

    Args:
        suites: As in ``summary.json``.
        intervals: As in ``intervals.json``.
    """
    found: dict[str, list[FigureRow]] = {}
    for suite, by_when in suites.items():
        names = dict.fromkeys(name for values in by_when.values() for name in values)
        streams = list(dict.fromkeys(name.partition("/")[0] for name in names))
        found[suite] = [
            FigureRow(
                suite,
                name,
                direction(f"{suite}: {name}"),
                {
                    when: Value(value, intervals.get(suite, {}).get(when, {}).get(name))
                    for when, values in by_when.items()
                    if (value := values.get(name)) is not None and math.isfinite(value)
                },
            )
            for name in sorted(names, key=lambda name: streams.index(name.partition("/")[0]))
        ]
    return found


def role_of(suite: str, stream: str) -> Role:
    """Whether a stream of a suite asks for what was to be forgotten, or for the rest.

    Example:
        >>> role_of("rwku", "forget_level1"), role_of("tofu", "retain"), role_of("requests", "a")
        ('forget', 'utility', 'forget')
    """
    if suite.partition("-")[0] == "requests":
        return "utility" if stream in ("normal", "heldout") else "forget"
    return "forget" if stream.startswith(_FORGET) else "utility"


def headline(rows: Iterable[FigureRow], role: Role) -> FigureRow | None:
    """The figure that speaks for a suite, of those with a direction."""
    able = [row for row in rows if row.role == role and row.better is not None]
    for name in _HEADLINES:
        for row in able:
            if row.metric == name:
                return row
    return able[0] if able else None


def is_known(value: float | None) -> bool:
    """Whether there is a value and it is finite."""
    return value is not None and math.isfinite(value)


def number(value: float) -> str:
    """Three decimals; three digits of what is large; a dash for no number."""
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.3g}"
