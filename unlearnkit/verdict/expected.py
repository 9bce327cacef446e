"""Published results beside a comparison of runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearnkit.errors import UserError
from unlearnkit.plain import leaves, number, told
from unlearnkit.suites.base import Suite
from unlearnkit.suites.meaning import stored_meaning
from unlearnkit.suites.parts.measured import match
from unlearnkit.verdict.compared import Column, Comparison, OverSeeds

_FORM = (
    '{"source": ADDRESS, "tolerance": {METRIC: {"absolute": 0.05} or {"side_of": 0.05}}, '
    '"entries": [{"name": NAME, "where": {KEY: VALUE}, "metrics": {METRIC: NUMBER}}]}'
)


def with_expected(
    comparison: Comparison, recipes: Mapping[str, Mapping[str, Any]], file: str | Path
) -> tuple[Comparison, list[str]]:
    """Puts published results beside the runs that they are of.

    An entry is of a run whose recipe has every value of its ``where``; None stands for a key that
    the recipe lacks.

    Args:
        comparison: Runs side by side.
        recipes: The recipe of each column of runs, by its name.
        file: JSON: ``source``, an address; ``tolerance`` by metric, ``absolute``, or ``side_of``
            for values that have to lie on the same side of a number; ``entries``, each with
            ``name``, ``where`` and ``metrics``.

    Returns:
        The comparison, with a column behind each run that has an entry and a row for each metric
        that an entry has; and a sentence for each metric that was not measured, or is further from
        the published one than the tolerance.

    Raises:
        UserError: If the file cannot be read, or no entry is of one of the runs.
    """
    found = _read(Path(file))
    columns: list[Column] = []
    sentences: list[str] = []
    rows = dict(comparison.metrics)
    for column in comparison.columns:
        columns.append(column)
        recipe = recipes.get(column.name)
        entry = _entry(recipe, found["entries"])
        if recipe is None or entry is None:
            continue
        metrics = {key: OverSeeds(float(v), None, 1) for key, v in entry["metrics"].items()}
        columns.append(Column(f"{column.name}, published", (), metrics, ranked=False))
        for key, published in metrics.items():
            suite, _, name = key.partition("/")
            rows.setdefault(key, stored_meaning(suite, name))
            ours = column.metrics.get(key)
            if ours is None:
                said = f"was not measured{_why(recipe, column, key)}"
            elif _agree(ours.mean, published.mean, found["tolerance"].get(key, {})):
                continue
            else:
                said = f"is {number(ours.mean)}"
            sentences.append(f"{column.name}: {key} {said}, published {number(published.mean)}")
    if len(columns) == len(comparison.columns):
        raise UserError(
            f"--expected: {file} has no entry of these runs.",
            title="expected",
            hint="An entry is of a run whose recipe has all values of its 'where'.",
        )
    suites = list(dict.fromkeys(row.partition("/")[0] for row in rows))
    ordered = sorted(rows, key=lambda row: suites.index(row.partition("/")[0]))
    kept = {row: rows[row] for row in ordered}
    return replace(comparison, columns=tuple(columns), metrics=kept), sentences


def _why(recipe: Mapping[str, Any], column: Column, address: str) -> str:
    """Why a run did not measure a metric, in brackets; nothing where that is not plain."""
    suite, _, name = address.partition("/")
    stream, _, metric = name.partition("/")
    if not any(key.startswith(f"{suite}/") for key in column.metrics):
        return f" (its suite '{suite}' was not run)"
    cls = Suite.registered().get(suite.partition("-")[0])
    if cls is None:
        return ""
    found = match(cls.metrics, metric)
    if found is None or match(cls.probes, stream) is None:
        return f" (the suite '{suite}' has no such metric)"
    fields = getattr(found, "keys", ())
    of_gold = any(each.startswith("gold_") for each in fields) and not recipe.get("gold")
    return " (no gold model was given)" if of_gold else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--expected: {path} cannot be read: {error}", title="expected") from error
    if not isinstance(found, dict) or not isinstance(found.get("entries"), list):
        raise UserError(f"--expected: {path} has no list of entries.", title="expected", hint=_FORM)
    mistakes = [
        f"--expected: {path}: {fault}"
        for index, entry in enumerate(found["entries"])
        if (fault := _fault(index, entry))
    ]
    tolerance = found.setdefault("tolerance", {})
    if not isinstance(tolerance, dict):
        mistakes.append(f"--expected: {path}: tolerance: expected a mapping, found {tolerance!r}")
    else:
        mistakes += [
            f"--expected: {path}: tolerance of {key}: expected absolute or side_of and a number, "
            f"found {told(each)}"
            for key, each in tolerance.items()
            if not isinstance(each, dict)
            or not each.keys() <= {"absolute", "side_of"}
            or not all(map(_is_number, each.values()))
        ]
    if mistakes:
        raise UserError("\n".join(mistakes), title="expected", hint=_FORM)
    return found


def _fault(index: int, entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return f"entry {index + 1}: expected a mapping, found {entry!r}"
    for key in ("where", "metrics"):
        if not isinstance(entry.get(key), dict) or not entry[key]:
            return f"entry {index + 1}: {key}: expected a mapping, found {told(entry.get(key))}"
    for key, value in entry["metrics"].items():
        if not _is_number(value):
            return f"entry {index + 1}: {key}: expected a number, found {told(value)}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _entry(
    recipe: Mapping[str, Any] | None, entries: list[dict[str, Any]]
) -> dict[str, Any] | None:
    if recipe is None:
        return None
    values = dict(leaves(recipe))
    return next((each for each in entries if _is_of(each["where"], values)), None)


def _is_of(where: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    return all(recipe.get(key) == value for key, value in where.items())


def _agree(ours: float, published: float, tolerance: Mapping[str, float]) -> bool:
    if math.isnan(ours):
        return False
    if "side_of" in tolerance:
        return (ours >= tolerance["side_of"]) == (published >= tolerance["side_of"])
    return "absolute" not in tolerance or abs(ours - published) <= tolerance["absolute"]
