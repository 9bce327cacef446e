"""Goals of a recipe: bounds that a run meets or not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unlearnkit.plain import told
from unlearnkit.registry import did_you_mean
from unlearnkit.verdict.expression import Expression
from unlearnkit.verdict.values import MetricRow, number

NAMES = ("before", "gold")
"""Values of the same metric that a bound may name."""
BOUNDS = ("at_most", "at_least")


@dataclass(frozen=True)
class Goal:
    """A bound of a metric after unlearning.

    Args:
        address: ``<suite>/<stream>/<metric>``, or ``<attack>/<rows>/<metric>``; the first part is
            left out where one suite runs.
        bound: ``at_most`` or ``at_least``.
        limit: The expression.
    """

    address: str
    bound: str
    limit: Expression

    def __str__(self) -> str:
        return f"{self.address} {self.bound} {self.limit}"


@dataclass(frozen=True)
class GoalResult:
    """A goal, what was found, and whether it is met."""

    goal: Goal
    value: float | None
    """None if the metric was not measured."""
    limit: float | None
    """None if it names what was not measured."""
    met: bool
    reason: str = ""
    """Why there is no value."""

    def as_json(self) -> dict[str, Any]:
        """As it stands in ``summary.json``."""
        return {
            "goal": str(self.goal),
            "sentence": self.sentence,
            "value": self.value,
            "limit": self.limit,
            "met": self.met,
        }

    @property
    def sentence(self) -> str:
        """What was found, beside the bound."""
        word = "at most" if self.goal.bound == "at_most" else "at least"
        text = f"{self.goal.address}: {number(self.value)}"
        if self.value is None:
            return f"{text}, not measured{f': {self.reason}' if self.reason else ''}"
        if self.limit is None:
            return f"{text}; {self.goal.limit} cannot be worked out from what was measured"
        spelled = "" if self.goal.limit.text == f"{self.limit:g}" else f" ({self.goal.limit})"
        return f"{text}, {word} {number(self.limit)}{spelled}"


def faults_of(given: Any) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the ``goals`` of a recipe: the keys that lead there, and a sentence each.

    Example:
        >>> faults_of({"copyright/forget/nll": {"at_mots": 1}})[0][0]
        ('copyright/forget/nll', 'at_mots')
    """
    return _read(given)[1]


def read_goals(given: Any) -> list[Goal]:
    """The ``goals`` of a recipe.

    Raises:
        ValueError: If there is anything wrong with them.

    Example:
        >>> str(read_goals({"copyright/forget/nll": {"at_least": "0.9 * gold"}})[0])
        'copyright/forget/nll at_least 0.9 * gold'
    """
    goals, faults = _read(given)
    if faults:
        path, message = faults[0]
        raise ValueError(f"{'.'.join(('goals', *path))}: {message}")
    return goals


def check_goals(goals: Sequence[Goal], rows: Sequence[MetricRow]) -> list[GoalResult]:
    """Which goals a run meets; one that cannot be judged is not met.

    Args:
        goals: The goals.
        rows: Metrics of the run and of its attacks.
    """
    by_address = {row.address: row for row in rows}
    names = Counter(row.name for row in rows)
    by_address |= {row.name: row for row in rows if names[row.name] == 1}
    found: list[GoalResult] = []
    for goal in goals:
        row = by_address.get(goal.address)
        known = {} if row is None else {when: each.value for when, each in row.values.items()}
        value, limit = known.get("after"), goal.limit.value(known)
        met = False
        if value is not None and limit is not None and math.isfinite(value):
            met = value <= limit if goal.bound == "at_most" else value >= limit
        found.append(GoalResult(goal, value, limit, met))
    return found


def _read(given: Any) -> tuple[list[Goal], list[tuple[tuple[str, ...], str]]]:
    goals: list[Goal] = []
    faults: list[tuple[tuple[str, ...], str]] = []
    if given is None:
        return goals, faults
    if not isinstance(given, Mapping):
        return goals, [((), f"expected a mapping of metrics to bounds, found {told(given)}")]
    example = "{at_most: gold + 0.05}"
    for address, bounds in given.items():
        if not isinstance(bounds, Mapping) or not bounds:
            faults.append(
                ((str(address),), f"expected bounds such as {example}, found {told(bounds)}")
            )
            continue
        for bound, limit in bounds.items():
            path = (str(address), str(bound))
            if bound not in BOUNDS:
                near = did_you_mean(str(bound), list(BOUNDS))
                message = f"a goal has no key '{bound}'.{near} It has: {', '.join(BOUNDS)}."
                faults.append((path, message))
                continue
            try:
                if not isinstance(limit, str | int | float):
                    raise ValueError(f"expected a number or an expression, found {told(limit)}")
                goals.append(Goal(str(address), bound, Expression(limit, NAMES)))
            except ValueError as error:
                faults.append((path, str(error)))
    return goals, faults
