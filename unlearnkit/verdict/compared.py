"""Columns of a comparison, and which of them is best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from unlearnkit.errors import UserError
from unlearnkit.registry import did_you_mean
from unlearnkit.suites.fluency import FLUENCY
from unlearnkit.suites.meaning import Meaning

BESIDE = ("before", "gold")
"""Columns of the models that runs started from, and are held against."""


class OverSeeds(NamedTuple):
    """A metric of a recipe over its seeds."""

    mean: float
    """nan if there was nothing to measure in any of them."""
    deviation: float | None
    """Standard deviation of the sample, or None of a single run."""
    count: int
    """Seeds that have it."""
    interval: tuple[float, float] | None = None
    """95 % interval over the rows of a single run."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval, or a standard deviation to both sides, or the value twice."""
        off = self.deviation or 0.0
        return self.interval or (self.mean - off, self.mean + off)

    def tied(self, other: OverSeeds) -> bool:
        """Whether one of the two lies within the bounds of the other."""
        return (
            self.bounds[0] <= other.mean <= self.bounds[1]
            or other.bounds[0] <= self.mean <= other.bounds[1]
        )


@dataclass(frozen=True)
class Column:
    """Runs of one recipe."""

    name: str
    runs: tuple[Path, ...]
    metrics: dict[str, OverSeeds]
    """By address, ``<suite>/<stream>/<metric>``."""
    ranked: bool = True
    """Whether it may be best; a model before unlearning, or a gold model, may not."""
    verdict: str | None = None
    """The verdict on its runs; of several the different ones, comma between."""
    settings: tuple[tuple[str, str], ...] = ()
    """Keys and values in which its recipe differs from others, if they are few."""

    @property
    def collapsed(self) -> bool:
        """Whether one of its runs no longer writes text: then it is best in nothing."""
        return "collapsed" in (self.verdict or "")


@dataclass(frozen=True)
class Comparison:
    """Columns, and the metrics that they have, by address, each with its meaning."""

    columns: tuple[Column, ...]
    metrics: dict[str, Meaning]
    unlike: frozenset[str] = frozenset()
    """``<suite>/<stream>`` of rows that are not the same in all runs: nothing of theirs is best."""

    @property
    def notes(self) -> list[str]:
        """Why values cannot be compared, or are missing, a sentence each."""
        by_place: dict[str, list[str]] = {}
        for row in self.metrics:
            by_place.setdefault(row.rpartition("/")[0], []).append(row)
        found: list[str] = []
        if unlike := [self._place(place) for place in by_place if place in self.unlike]:
            found.append(
                f"The runs were measured on different rows of {', '.join(unlike)}: these values "
                "cannot be compared, and none is best."
            )
        runs = [column for column in self.columns if column.runs]
        lacking: list[str] = []
        for place, rows in by_place.items():
            missing = [row for row in rows if any(row not in column.metrics for column in runs)]
            whole = len(missing) == len(rows)
            lacking += [self._place(place)] if whole else [self.label(row) for row in missing]
        if lacking:
            found.append(f"A dash stands where a run did not measure it: {', '.join(lacking)}.")
        apart = [row for row in self.metrics if row.rpartition("/")[0] in self.unlike]
        beside = [c for c in self.columns if c.name in BESIDE and not c.ranked]
        if any(row not in column.metrics for column in beside for row in apart):
            names = " and ".join(column.name for column in beside)
            found.append(f"A dash of {names} stands where the runs do not agree on the value.")
        return found

    def _place(self, place: str) -> str:
        return self.label(f"{place}/").removesuffix("/")

    def label(self, address: str) -> str:
        """The address, without the suite if there is only one beside fluency."""
        suite, _, rest = address.partition("/")
        others = {each.partition("/")[0] for each in self.metrics} - {suite, FLUENCY}
        return address if others or suite == FLUENCY else rest

    def best(self, address: str) -> tuple[str, ...]:
        """Names of the best columns; none if there is nothing to choose from.

        Of metrics of forgetting that were measured on the gold model, the nearest to it is best.
        Of those to be kept, nothing is better than the value before. A value that cannot be told
        from the best one is best too. A collapsed run is never best, and nothing is where runs were
        measured on other rows.
        """
        if address.rpartition("/")[0] in self.unlike:
            return ()
        beside = {c.name: c.metrics[address].mean for c in self.columns
                  if not c.ranked and address in c.metrics}  # fmt: skip
        able = {
            column.name: column.metrics[address]
            for column in self.columns
            if column.ranked
            and not column.collapsed
            and address in column.metrics
            and not math.isnan(column.metrics[address].mean)
        }
        costs = {
            name: cost
            for name, found in able.items()
            if (cost := self._cost(self.metrics[address], found.mean, beside)) is not None
        }
        if len(costs) < 2:
            return ()
        least = min(costs.values())
        first = [able[name] for name, cost in costs.items() if cost == least]
        return tuple(
            name
            for name, cost in costs.items()
            if cost == least or any(able[name].tied(each) for each in first)
        )

    @staticmethod
    def _cost(meaning: Meaning, value: float, beside: Mapping[str, float]) -> float | None:
        gold, before = beside.get("gold"), beside.get("before")
        if meaning.forgets and gold is not None:
            return meaning.cost(value, gold)
        if not meaning.forgets and before is not None and meaning.direction in ("up", "down"):
            return max(0.0, before - value if meaning.direction == "up" else value - before)
        return meaning.cost(value)

    def only(self, metrics: Sequence[str] | None, columns: Sequence[str] | None) -> Comparison:
        """A choice of the rows and columns; best is what is best among all runs.

        Args:
            metrics: Addresses, in which ``*`` matches anything; None for all.
            columns: Names, or numbers of runs from 1; None for all.

        Raises:
            UserError: If nothing has one of these names.
        """
        rows = dict(self.metrics)
        for each in metrics or ():
            if not any(_fits(row, each, self.label(row)) for row in rows):
                raise UserError(
                    f"--metric: nothing is called '{each}'.{did_you_mean(each, list(rows))}",
                    hint=f"There is: {', '.join(map(self.label, rows))}.",
                )
        if metrics:
            rows = {k: v for k, v in rows.items()
                    if any(_fits(k, each, self.label(k)) for each in metrics)}  # fmt: skip
        ranked = [column.name for column in self.columns if column.ranked]
        known = {str(i): name for i, name in enumerate(ranked, 1)}
        known |= {column.name: column.name for column in self.columns}
        for each in columns or ():
            if each not in known:
                raise UserError(
                    f"--column: nothing is called '{each}'.", hint=f"There is: {', '.join(known)}."
                )
        wanted = {known[each] for each in columns or known}
        return replace(
            self, columns=tuple(c for c in self.columns if c.name in wanted), metrics=rows
        )


def _fits(address: str, pattern: str, label: str) -> bool:
    return fnmatchcase(address, pattern) or fnmatchcase(label, pattern)
