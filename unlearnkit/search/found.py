"""Budget and results of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from unlearnkit.errors import RecipeError, UserError

Settings: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """Where a search ends.

    Args:
        trials: Trials that end, pruned ones counted.
        minutes: After which no trial is begun; None for no limit.
    """

    trials: int = 40
    minutes: float | None = None

    def __post_init__(self) -> None:
        """Refuses budgets of nothing.

        Raises:
            RecipeError: Below one trial, or at no minutes.
        """
        if self.trials < 1:
            raise RecipeError(f"budget.trials: expected at least 1, found {self.trials}")
        if self.minutes is not None and not self.minutes > 0:
            raise RecipeError(f"budget.minutes: expected more than 0, found {self.minutes:g}")


def broken(violations: Sequence[float]) -> float:
    """By how much bounds are broken in all; those that are kept by a margin do not offset it.

    Example:
        >>> broken([0.25, -1.0, 0.5])
        0.75
    """
    return sum(max(each, 0.0) for each in violations)


@dataclass(frozen=True)
class TrialResult:
    """A trial that ended.

    Args:
        number: Its number in the study.
        settings: What it was run with.
        state: ``complete`` or ``pruned``.
        distance: Mean distance to the targets, 1 for the starting model; None if it was pruned.
        values: Metrics by address.
        violations: By how much each bound is missed; above 0 where it is broken.
        seconds: Its duration.
    """

    number: int
    settings: Settings
    state: str
    distance: float | None
    values: Mapping[str, float | None] = field(default_factory=dict)
    violations: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def feasible(self) -> bool:
        """Whether it kept every bound."""
        return self.distance is not None and all(each <= 0 for each in self.violations)

    @property
    def rank(self) -> tuple[float, float]:
        """Order of trials: those that keep all bounds by distance, then by what they break."""
        return broken(self.violations), self.distance if self.distance is not None else float("inf")


@dataclass(frozen=True)
class Found:
    """What a search found.

    Args:
        trials: All that ended, in their order.
        importances: Share of each setting in the distance, where it can be told.
    """

    trials: list[TrialResult]
    importances: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> TrialResult:
        """The nearest trial that keeps all bounds; if none does, the one that breaks least.

        Raises:
            UserError: If no trial was completed.
        """
        complete = [each for each in self.trials if each.distance is not None]
        if not complete:
            raise UserError("no trial was completed, so there is no best one", title="search")
        return min(complete, key=lambda each: each.rank)

    @property
    def pareto(self) -> list[TrialResult]:
        """Trials that no other beats in both distance and what they break."""
        complete = [each for each in self.trials if each.distance is not None]
        return [
            each
            for each in complete
            if not any(
                other.rank[0] <= each.rank[0]
                and other.rank[1] <= each.rank[1]
                and other.rank != each.rank
                for other in complete
            )
        ]
