"""Aims of a search: targets and bounds of metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from unlearnkit.errors import RecipeError
from unlearnkit.plain import told
from unlearnkit.verdict.expression import Expression

Values = Mapping[str, float | None]
"""Metrics by address; None where there is nothing to measure."""
Side = Literal["at_least", "at_most"]
SIDES: tuple[Side, ...] = ("at_least", "at_most")
STAGES = ("before", "gold")
"""Stages whose values a level may name."""
MISSING = 1e6
"""Distance of a metric that has nothing to measure: farther than any that is measured."""
_LEAST_SCALE = 0.01


class Bound(NamedTuple):
    """A metric that a search must keep on one side of a level."""

    key: str
    side: Side
    level: Expression


class Wanted(NamedTuple):
    """Targets and bounds of a search, by address of the metric."""

    towards: Mapping[str, Expression]
    keep: Sequence[Bound] = ()

    @classmethod
    def parse(cls, towards: Any, keep: Any = None) -> Wanted:
        """Reads targets and bounds.

        Args:
            towards: Levels by metric: the values that the search approaches.
            keep: Levels by metric: the least value of each. ``{at_most: LEVEL}`` sets the greatest.

        Raises:
            RecipeError: With all mistakes.

        Example:
            >>> Wanted.parse({"forget/nll": "gold"}, {"retain/f1": "0.9 * before"}).keep[0].side
            'at_least'
        """
        mistakes: list[str] = []
        targets: dict[str, Expression] = {}
        bounds: list[Bound] = []
        for field, given in (("towards", towards), ("keep", keep or {})):
            if not isinstance(given, Mapping) or (field == "towards" and not given):
                mistakes.append(
                    f"{field}: expected a mapping of metrics to levels, found {told(given)}"
                )
                continue
            for key, value in given.items():
                try:
                    if field == "towards":
                        targets[str(key)] = _level(value)
                    else:
                        bounds += _bounds(str(key), value)
                except ValueError as error:
                    mistakes.append(f"{field}.{key}: {error}")
        if mistakes:
            raise RecipeError("\n".join(mistakes))
        return cls(targets, bounds)

    @property
    def keys(self) -> list[str]:
        """Addresses of all metrics, each once."""
        return list(dict.fromkeys([*self.towards, *(bound.key for bound in self.keep)]))

    def distance(self, values: Values, stages: Mapping[str, Values]) -> float:
        """Mean distance to the targets, in units of the starting model's: 1 is nothing changed.

        A metric that the starting model has no value of counts as it is.

        Args:
            values: Metrics of the model.
            stages: Metrics ``before`` and, where there is one, of ``gold``.

        Example:
            >>> wanted = Wanted.parse({"forget/f1": 0.25})
            >>> wanted.distance({"forget/f1": 0.5}, {"before": {"forget/f1": 1.0}})
            0.3333333333333333
        """
        parts: list[float] = []
        for key, level in self.towards.items():
            target, value = _at(level, stages, key), values.get(key)
            if value is None or not math.isfinite(value):
                parts.append(MISSING)
                continue
            start = stages.get("before", {}).get(key)
            scale = 1.0 if start is None else max(abs(start - target), _LEAST_SCALE)
            parts.append(abs(value - target) / scale)
        return sum(parts) / len(parts)

    def violations(self, values: Values, stages: Mapping[str, Values]) -> list[float]:
        """How far each bound is missed: above 0 where it is broken, as Optuna's constraints are.

        Example:
            >>> wanted = Wanted.parse({"f": 0.0}, {"r": 0.9, "p": {"at_most": 2}})
            >>> [round(each, 3) for each in wanted.violations({"r": 0.8, "p": 1.0}, {})]
            [0.1, -1.0]
        """
        found: list[float] = []
        for key, side, level in self.keep:
            value, bound = values.get(key), _at(level, stages, key)
            if value is None or not math.isfinite(value):
                found.append(MISSING)
            else:
                found.append(bound - value if side == "at_least" else value - bound)
        return found


def _bounds(key: str, given: Any) -> list[Bound]:
    sides = given if isinstance(given, Mapping) else {"at_least": given}
    if not sides or not set(sides) <= set(SIDES):
        raise ValueError(
            f"expected a level, or {{at_least: LEVEL, at_most: LEVEL}}, found {told(given)}"
        )
    return [Bound(key, side, _level(sides[side])) for side in SIDES if side in sides]


def _level(given: Any) -> Expression:
    if not isinstance(given, str | int | float):
        raise ValueError(f"expected a number or an expression, found {told(given)}")
    return Expression(given, STAGES)


def _at(level: Expression, stages: Mapping[str, Values], key: str) -> float:
    """The level of a metric, given its values at the stages."""
    known = {stage: values.get(key) for stage, values in stages.items()}
    for stage in sorted(level.names):
        if known.get(stage) is None:
            lacks = "there is no such model" if stage not in stages else "it is not measured there"
            raise RecipeError(
                f"{key}: its level '{level}' refers to {stage}, but {lacks}",
                hint="Give the recipe a gold model, or a number in place of gold."
                if stage == "gold"
                else None,
            )
    value = level.value({stage: each for stage, each in known.items() if each is not None})
    if value is None:
        raise RecipeError(f"{key}: its level '{level}' is no finite number")
    return value
