"""Roles, directions and addresses of a suite's values.

A value is addressed as ``<suite>/<stream>/<metric>``; the suite is left out if only one runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, get_args

from unlearnkit.errors import RecipeError
from unlearnkit.metrics.base import FORGETTING, Direction, Role, UnlearningMetric
from unlearnkit.registry import did_you_mean
from unlearnkit.suites.base import Suite
from unlearnkit.suites.parts.measured import match


class Meaning(NamedTuple):
    """What a value of a suite says, as a result file holds it."""

    role: Role | None = None
    direction: Direction | None = None
    headline: int = 0
    judges: bool = True
    gold_level: float | None = None

    @property
    def forgets(self) -> bool:
        """Whether it is measured on rows that ask for what is to be forgotten."""
        return self.role in FORGETTING

    @property
    def judges_forgetting(self) -> bool:
        """Whether its distance to the gold model's value says how far forgetting went."""
        return self.forgets and self.judges and self.direction is not None

    def cost(self, value: float, gold: float | None = None) -> float | None:
        """How far from good a value is; None if that is not known.

        Example:
            >>> recall = Meaning("forget", "down")
            >>> recall.cost(0.25), recall.cost(0.25, gold=0.5)
            (0.25, 0.25)
            >>> Meaning("forget", "gold").cost(0.25) is None
            True
        """
        if gold is not None and self.judges_forgetting:
            return abs(value - gold)
        costs = {"down": value, "up": -value, "zero": abs(value)}
        return costs.get(self.direction or "")


def meaning(suite: Suite | type[Suite], key: str) -> Meaning:
    """What a suite's value ``<stream>/<metric>`` says.

    Example:
        >>> from unlearnkit.suites import Copyright
        >>> meaning(Copyright, "forget/rougeL_recall")[:3]
        ('forget', 'down', 3)
    """
    stream, _, name = key.partition("/")
    probe, metric = match(suite.probes, stream), match(suite.metrics, name)
    role = None if probe is None else probe.role
    if metric is None:
        return Meaning(role)
    good = metric.direction_on(role)
    return Meaning(role, good, metric.headline, metric.judges, metric.gold_level)


def as_stored(suite: Suite, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The meaning of a suite's values, as a result file holds it."""
    return {key: meaning(suite, key)._asdict() for key in keys}


def stored_meaning(suite: str, key: str, stored: Any = None) -> Meaning:
    """The meaning of a value in a result file.

    Args:
        suite: Name of the suite, or of one of several results of it, such as ``copyright-2``.
        key: ``<stream>/<metric>``.
        stored: What the file says by suite and key; files of version 0.1.0 say nothing, and the
            registered suite of that name does.

    Example:
        >>> stored_meaning("tofu", "retain/probability").direction
        'up'
    """
    kept = stored.get(suite) if isinstance(stored, Mapping) else None
    found = kept.get(key) if isinstance(kept, Mapping) else None
    if isinstance(found, Mapping):
        known = {name: found[name] for name in Meaning._fields if name in found}
        if known.get("direction") not in get_args(Direction):
            known["direction"] = None
        return Meaning(**known)
    cls = Suite.registered().get(suite.partition("-")[0])
    return meaning(cls, key) if cls else Meaning()


def stored_role(suite: str, stream: str, stored: Any = None) -> Role | None:
    """The role of a stream in a result file."""
    kept = stored.get(suite) if isinstance(stored, Mapping) else None
    keys = kept if isinstance(kept, Mapping) else ()
    key = next((each for each in keys if each.startswith(f"{stream}/")), f"{stream}/")
    return stored_meaning(suite, key, stored).role


def address(key: str, suites: Sequence[Suite], field: str) -> str:
    """The full address of a value of some suites.

    Args:
        key: ``<suite>/<stream>/<metric>``, or ``<stream>/<metric>`` if only one suite runs.
        suites: The suites that run.
        field: Where the key was given, for messages.

    Raises:
        RecipeError: If no suite measures it, with the known ones.

    Example:
        >>> from unlearnkit.suites import Copyright
        >>> address("forget/nll", [Copyright()], "monitor")
        'copyright/forget/nll'
    """
    known = [f"{each.name}/{key}" for each in suites for key in _keys(each)]
    full = key if len(suites) != 1 or _is_known(key, known) else f"{suites[0].name}/{key}"
    if _is_known(full, known):
        return full
    alone = len(suites) == 1 and not key.startswith(f"{suites[0].name}/")
    short = [each.partition("/")[2] for each in known] if alone else known
    raise RecipeError(
        f"{field}: no suite measures '{key}'.{did_you_mean(key, short)}",
        hint=f"Known: {', '.join(short) or 'none, since no suite runs'}.",
    )


def _is_known(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _keys(suite: Suite) -> list[str]:
    """``<stream>/<metric>`` of all that a suite may measure; ``*`` where that is open."""
    found: list[str] = []
    for stream, probe in suite.probes.items():
        for name in suite.metrics if probe.metrics is None else probe.metrics:
            metric = suite.metrics.get(name)
            if isinstance(metric, UnlearningMetric) or "*" in name:
                found.append(f"{stream}/{name}")
    return found
