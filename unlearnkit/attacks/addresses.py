"""Addresses of what suites and attacks measure, for goals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from unlearnkit.attacks.base import Attack
from unlearnkit.attacks.measuring import MEASURED
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.registry import did_you_mean
from unlearnkit.suites.base import Suite
from unlearnkit.suites.fluency import FLUENCY, KEYS
from unlearnkit.suites.meaning import address
from unlearnkit.verdict.goals import Goal, faults_of, read_goals
from unlearnkit.verdict.values import MetricRow

ATTACKED = ("others", "forget")
"""What attacks call the rows that they are judged on."""


def check_goal_addresses(
    goals: Any, suites: Sequence[Suite], attacks: Sequence[Attack], gold: str | None
) -> None:
    """Refuses goals that no suite and no attack of a recipe measures.

    Raises:
        RecipeError: With the known addresses, or if a goal needs a gold model and there is none.
    """
    by_attack = {each.registered_name or type(each).__name__ for each in attacks}
    known = [f"{FLUENCY}/{key}" for key in KEYS] if suites else []
    known += [f"{name}/{rows}/{each}" for name in sorted(by_attack)
              for rows in ATTACKED for each in MEASURED]  # fmt: skip
    for goal in read_goals(goals):
        field = f"goals.{goal.address}"
        if "gold" in goal.limit.names and not gold:
            raise RecipeError(
                f"{field}.{goal.bound}: '{goal.limit}' needs a gold model, and the recipe has none",
                hint="Add gold: FOLDER, a model that never saw the forget set.",
            )
        if goal.address in known:
            continue
        first = goal.address.partition("/")[0]
        if first in Attack.registered() and first not in by_attack:
            raise RecipeError(
                f"{field}: the recipe has no attack '{first}'", hint=f"Add attack: [{first}]."
            )
        try:
            address(goal.address, suites, field)
        except RecipeError as error:
            hint = ", ".join([(error.hint or "").rstrip("."), *known])
            raise RecipeError(error.message, hint=f"{hint}.") from error


def unmeasured(
    goals: Mapping[str, Any], suites: Sequence[Suite], attacks: Sequence[Attack], gold: str | None
) -> Iterator[tuple[str, str]]:
    """Each goal that `check_goal_addresses` refuses, with a sentence.

    Args:
        goals: Those of a recipe; one that is none, by its form, is passed over.
        suites: What measures.
        attacks: What measures too.
        gold: The gold model.
    """
    for name, bounds in goals.items():
        if faults_of({name: bounds}):
            continue
        try:
            check_goal_addresses({name: bounds}, suites, attacks, gold)
        except RecipeError as error:
            message = error.message.partition(": ")[2]
            point = "" if message.endswith((".", "?")) else "."
            yield name, f"{message}{point} {error.hint or ''}".rstrip()


def unknown_goals(goals: Sequence[Goal], rows: Sequence[MetricRow]) -> UserError | None:
    """What is wrong with goals on metrics that nothing measures; all of them at once.

    A metric that a shipped suite or attack measures is known, whether or not it was measured here.

    Args:
        goals: The goals.
        rows: What was measured, attacks included.
    """
    own = [row.address for row in rows]
    names = Counter(row.name for row in rows)
    suites = _suites_of(rows)
    faults: list[str] = []
    for goal in goals:
        given = goal.address
        if names[given] > 1 and given not in own:
            several = ", ".join(row.address for row in rows if row.name == given)
            faults.append(f"goals.{given}: it was measured more than once; name one of {several}.")
        elif not (names[given] or _is_known(given, own) or _is_known(_full(given, suites), own)):
            near = did_you_mean(given, [*own, *names] if given.count("/") > 1 else [*names, *own])
            faults.append(f"goals.{given}: no suite and no attack measures '{given}'.{near}")
    if not faults:
        return None
    return UserError(
        "\n".join(dict.fromkeys(faults)),
        title="goals",
        hint=f"Measured here: {', '.join(own) or 'nothing'}.",
    )


def missing_reason(key: str, rows: Sequence[MetricRow]) -> str:
    """Why a known metric was not measured.

    Args:
        key: Its address.
        rows: What was measured, attacks included.
    """
    suites = _suites_of(rows)
    full = key if any(row.address == key for row in rows) else _full(key, suites)
    suite, _, name = full.partition("/")
    if any(row.address == full for row in rows):
        return "no row held anything to measure"
    if any(row.suite == suite for row in rows):
        stream = name.partition("/")[0]
        if any((row.suite, row.stream) == (suite, stream) for row in rows):
            return f"{suite} leaves it out with these settings"
        return f"{suite} had no rows '{stream}'"
    if suite in Attack.registered():
        return f"`unlearnkit attack RUN {suite}` measures it"
    return f"`unlearnkit evaluate RUN --suite {suite}` measures it"


def _full(key: str, suites: Sequence[str]) -> str:
    """The address with its suite, which may be left out where one was run."""
    return f"{suites[0]}/{key}" if len(suites) == 1 and key.count("/") == 1 else key


def _suites_of(rows: Iterable[MetricRow]) -> list[str]:
    beside = {FLUENCY, *Attack.registered()}
    return [suite for suite in dict.fromkeys(row.suite for row in rows) if suite not in beside]


def _is_known(key: str, own: Sequence[str]) -> bool:
    first, _, name = key.partition("/")
    if key in own or (first == FLUENCY and name in KEYS):
        return True
    if first in Attack.registered():
        rows, _, metric = name.partition("/")
        return rows in ATTACKED and metric in MEASURED
    # Several results of one suite are called copyright, copyright-2 and so on.
    cls = Suite.registered().get(first.partition("-")[0])
    stream, _, metric = name.partition("/")
    for pattern, probe in cls.probes.items() if cls else ():
        if fnmatchcase(stream, pattern):
            metrics = cls.metrics if cls and probe.metrics is None else probe.metrics or ()
            return any(fnmatchcase(metric, each) for each in metrics)
    return False
