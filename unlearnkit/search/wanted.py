"""Aims of a search: targets and bounds of metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from unlearnkit.errors import RecipeError

Values = Mapping[str, float | None]
"""Metrics by address; None where there is nothing to measure."""
Side = Literal["at_least", "at_most"]
SIDES: tuple[Side, ...] = ("at_least", "at_most")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_STAGE = r"before|gold"
_LEVEL = re.compile(
    rf"(?:(?P<factor>{_NUMBER})\s*\*\s*)?(?P<stage>{_STAGE})"
    rf"(?:\s*(?P<sign>[-+])\s*(?P<offset>{_NUMBER}))?$"
)
_FORM = "a number, before, gold, or such as 0.95 * before or gold + 0.05"
MISSING = 1e6
"""Distance of a metric that has nothing to measure: farther than any that is measured."""
_LEAST_SCALE = 0.01


class Level(NamedTuple):
    """A value, absolute or relative to a measured stage.

    Args:
        factor: Of the stage's value.
        stage: ``before`` or ``gold``; None for an absolute value.
        offset: What is added; the value itself without a stage.
    """

    factor: float
    stage: str | None
    offset: float

    @classmethod
    def parse(cls, given: Any) -> Level:
        """Reads a level.

        Raises:
            ValueError: If it has another form.

        Example:
            >>> Level.parse("0.95 * before"), Level.parse("gold + 0.05")[1:], Level.parse(0.5)[2]
            (Level(factor=0.95, stage='before', offset=0.0), ('gold', 0.05), 0.5)
        """
        if isinstance(given, int | float) and not isinstance(given, bool):
            if math.isfinite(given):
                return cls(0.0, None, float(given))
        elif isinstance(given, str) and (found := _LEVEL.match(given.strip())):
            offset = float((found["sign"] or "") + (found["offset"] or "0"))
            return cls(float(found["factor"] or 1), found["stage"], offset)
        raise ValueError(f"expected {_FORM}, found {given!r}")

    def at(self, stages: Mapping[str, Values], key: str) -> float:
        """The level of a metric, given its values at the stages.

        Raises:
            RecipeError: If the stage's value is not known.
        """
        if self.stage is None:
            return self.offset
        value = stages.get(self.stage, {}).get(key)
        if value is None:
            lacks = "there is no gold model" if self.stage not in stages else "it is not measured"
            raise RecipeError(
                f"{key}: its level refers to {self.stage}, but {lacks} there",
                hint="Give the recipe a gold model, or a number in place of gold."
                if self.stage == "gold"
                else None,
            )
        return self.factor * value + self.offset


class Bound(NamedTuple):
    """A metric that a search must keep on one side of a level."""

    key: str
    side: Side
    level: Level


class Wanted(NamedTuple):
    """Targets and bounds of a search, by address of the metric."""

    towards: Mapping[str, Level]
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
        targets: dict[str, Level] = {}
        bounds: list[Bound] = []
        for field, given in (("towards", towards), ("keep", keep or {})):
            if not isinstance(given, Mapping) or (field == "towards" and not given):
                mistakes.append(
                    f"{field}: expected a mapping of metrics to levels, found {given!r}"
                )
                continue
            for key, value in given.items():
                try:
                    if field == "towards":
                        targets[str(key)] = Level.parse(value)
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
            target, value = level.at(stages, key), values.get(key)
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
            value, bound = values.get(key), level.at(stages, key)
            if value is None or not math.isfinite(value):
                found.append(MISSING)
            else:
                found.append(bound - value if side == "at_least" else value - bound)
        return found


def _bounds(key: str, given: Any) -> list[Bound]:
    sides = given if isinstance(given, Mapping) else {"at_least": given}
    if not sides or not set(sides) <= set(SIDES):
        raise ValueError(
            f"expected a level, or {{at_least: LEVEL, at_most: LEVEL}}, found {given!r}"
        )
    return [Bound(key, side, Level.parse(sides[side])) for side in SIDES if side in sides]
