"""The section ``tune:`` of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from unlearnkit.cli.recipe.document import Document
from unlearnkit.errors import RecipeError
from unlearnkit.plain import told
from unlearnkit.registry import did_you_mean
from unlearnkit.search.found import Budget
from unlearnkit.search.space import Range, parse_space
from unlearnkit.search.study import refuse_unknown_sampler
from unlearnkit.search.wanted import Wanted

SECTION = "tune"
_KEYS = ("search", "towards", "keep", "budget", "seeds", "sampler")
_BUDGET = ("trials", "minutes", "workers")
_SEEDS = 3


class Tuning(NamedTuple):
    """What ``unlearnkit tune`` searches, and for how long.

    Args:
        space: Ranges by the recipe's key.
        wanted: Targets and bounds by metric.
        budget: Where it ends.
        workers: Processes on this machine.
        seeds: How many seeds the chosen recipe is run on.
        sampler: How settings are drawn.
    """

    space: dict[str, Range]
    wanted: Wanted
    budget: Budget
    workers: int = 1
    seeds: int = _SEEDS
    sampler: str = "tpe"


def take_tuning(document: Document) -> Tuning | None:
    """Takes the section out of a recipe; None if it has none.

    Raises:
        RecipeError: With all mistakes of the section.
    """
    if SECTION not in document.tree:
        return None
    place = document.place((SECTION,))
    try:
        return parse_tuning(document.tree.pop(SECTION))
    except RecipeError as error:
        lines = "\n".join(f"{place}: {SECTION}: {each}" for each in error.message.splitlines())
        raise RecipeError(lines, hint=error.hint) from error


def parse_tuning(given: Any) -> Tuning:
    """Reads the section.

    Raises:
        RecipeError: With all mistakes.

    Example:
        >>> ranges = {"model.optimizer.lr": {"log": [1e-5, 1e-3]}}
        >>> parse_tuning({"search": ranges, "towards": {"forget/nll": "gold"}}).budget.trials
        40
    """
    if not isinstance(given, Mapping):
        raise RecipeError(f"expected a mapping with {', '.join(_KEYS)}, found {told(given)}")
    mistakes = [_unknown(key, _KEYS) for key in given if key not in _KEYS]
    budget = given.get("budget") or {}
    if isinstance(budget, Mapping):
        mistakes += [f"budget: {_unknown(key, _BUDGET)}" for key in budget if key not in _BUDGET]
    else:
        mistakes.append(
            f"budget: expected a mapping with {', '.join(_BUDGET)}, found {told(budget)}"
        )
        budget = {}
    counts = {"budget.trials": budget.get("trials", 40), "budget.workers": budget.get("workers", 1)}
    for name, count in {**counts, "seeds": given.get("seeds", _SEEDS)}.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            mistakes.append(f"{name}: expected a whole number of at least 1, found {told(count)}")
    minutes = budget.get("minutes")
    if minutes is not None and (not isinstance(minutes, int | float) or minutes <= 0):
        mistakes.append(f"budget.minutes: expected a number above 0, found {told(minutes)}")
    hint = None
    made: list[Any] = []
    for make in (
        lambda: parse_space(given.get("search")),
        lambda: Wanted.parse(given.get("towards"), given.get("keep")),
        lambda: refuse_unknown_sampler(given.get("sampler", "tpe")),
    ):
        try:
            made.append(make())
        except RecipeError as error:
            mistakes += error.message.splitlines()
            hint = hint or error.hint
    if mistakes:
        raise RecipeError("\n".join(mistakes), hint=hint)
    space, wanted, _ = made
    return Tuning(
        space,
        wanted,
        Budget(budget.get("trials", 40), minutes),
        budget.get("workers", 1),
        given.get("seeds", _SEEDS),
        given.get("sampler", "tpe"),
    )


def _unknown(key: Any, known: tuple[str, ...]) -> str:
    return f"there is no key '{key}'.{did_you_mean(str(key), [*known])} Keys: {', '.join(known)}"
