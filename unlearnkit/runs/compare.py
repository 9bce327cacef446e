"""Compares runs and other models; seeds are averaged."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import lightning as L

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.errors import UserError
from unlearnkit.families import defaults, without_defaults
from unlearnkit.module import UnlearningModule
from unlearnkit.plain import leaves
from unlearnkit.runs.conclude import conclusion_of
from unlearnkit.runs.evaluate import fingerprint_of, read_evaluation
from unlearnkit.runs.folder import Run
from unlearnkit.runs.other.alike import unlike_rows
from unlearnkit.runs.other.judged import is_run, judged
from unlearnkit.suites.meaning import Meaning, stored_meaning
from unlearnkit.verdict.compared import Column, Comparison, OverSeeds

_SECTIONS = {"model": UnlearningModule, "data": UnlearningDataModule, "trainer": L.Trainer}
_PHASE = re.compile(r"^phases\.\d+\.")
_MOST_VALUES = 4
"""Values in which a recipe differs that its name has."""
# Keys of a recipe that say where and with which numbers drawn, not what was done.
_NOT_THE_RECIPE = ("seed_everything", "run_dir", "evaluate", "gold", "attack", "goals")


def compare(
    folders: Sequence[str | Path], names: Sequence[str] = (), before: str | Path | None = None
) -> Comparison:
    """Puts runs side by side.

    A run's metrics are those after unlearning of its ``summary.json``, and those of
    ``evaluation/*.json`` if these belong to the model that is in the run's folder now. Metrics
    before unlearning and of the gold model stand in columns of their own if all runs agree on
    them.

    Args:
        folders: Run folders, folders with some below them, or other models that were evaluated:
            their results stand in a column like those of a run, and what was not measured of a
            model is missing there.
        names: A name for each of them, or nothing; runs of one recipe have one column, named once.
        before: The starting model of the models that are no runs; see `judged`.

    Raises:
        UserError: If one of them is neither a finished run nor evaluated, or there are not as many
            names.
    """
    if names and len(names) != len(folders):
        raise UserError(
            f"--name: expected one for each of {len(folders)} runs, found {len(names)}",
            title="usage",
        )
    given = [
        [judged(folder, None if is_run(folder) else before) for folder in _runs_below(Path(each))]
        for each in folders
    ]
    own = {run.folder: name for runs, name in zip(given, names, strict=False) for run in runs}
    # One that is named twice is no second seed.
    runs = list({run.folder.resolve(): run for each in given for run in each}.values())
    by_key: dict[str, list[Run]] = {}
    for run in runs:
        by_key.setdefault(_recipe_key(run), []).append(run)
    groups = _in_order(list(by_key.values()))
    meanings: dict[str, Meaning] = {}
    columns = [
        Column(
            name,
            tuple(run.folder for run in group),
            _over_seeds([_after(run, meanings) for run in group], _intervals(group)),
            verdict=_verdict(group),
        )
        for name, group in zip(_names(groups, own), groups, strict=True)
    ]
    for when in ("gold", "before"):
        common = _common([_summary_metrics(run, when, meanings) for run in runs])
        if common:
            metrics = {row: OverSeeds(value, None, 1) for row, value in common.items()}
            columns.insert(0, Column(when, (), metrics, ranked=False))
    kept = {row: meanings[row] for row in _rows_in_order(columns)}
    return Comparison(tuple(columns), kept, unlike_rows(runs))


def _rows_in_order(columns: Sequence[Column]) -> list[str]:
    """Addresses in the order of the runs, those of a suite together."""
    ordered = sorted(columns, key=lambda column: not column.ranked)
    rows = list(dict.fromkeys(row for column in ordered for row in column.metrics))
    suites = list(dict.fromkeys(row.partition("/")[0] for row in rows))
    return sorted(rows, key=lambda row: suites.index(row.partition("/")[0]))


def _runs_below(folder: Path) -> list[Path]:
    if (folder / "recipe.yaml").is_file() or not folder.is_dir():
        return [folder]
    found = {file.parent for file in folder.rglob("summary.json")}
    # Of a run in phases, the whole and not each phase.
    return sorted(each for each in found if each.parent not in found) or [folder]


def _recipe_key(run: Run) -> str:
    kept = _given(_kept(run.recipe))
    return json.dumps([run.summary["recipe"], kept], sort_keys=True, default=str)


def _kept(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a recipe, of phases in each of them."""
    kept = {key: value for key, value in recipe.items() if key not in _NOT_THE_RECIPE}
    if phases := kept.get("phases"):
        kept["phases"] = [_kept(each) for each in phases]
    return kept


def _given(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without defaults, some of which an earlier version may not have had."""
    found = without_defaults(recipe)
    for section, cls in _SECTIONS.items():
        if isinstance(found.get(section), Mapping):
            known = defaults(cls)
            found[section] = {k: v for k, v in found[section].items() if v != known.get(k, ...)}
    if "phases" in found:
        found["phases"] = [_given(each) for each in found["phases"]]
    return found


def _in_order(groups: Sequence[list[Run]]) -> list[list[Run]]:
    """Groups as they are given, but those of one recipe by the values in which they differ."""
    values = [[_rank(value) for _, value in each] for each in _differing(groups)]
    names = [group[0].summary["recipe"] for group in groups]
    order = sorted(range(len(groups)), key=lambda i: (names.index(names[i]), values[i], i))
    return [groups[i] for i in order]


def _rank(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then texts, then null, which of a limit means all."""
    if value is None:
        return (2, 0.0, "")
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, str(value))


def _names(groups: Sequence[Sequence[Run]], own: Mapping[Path, str]) -> list[str]:
    """Recipes' names; where several share one, with the values in which they differ."""
    found: list[str] = []
    for group, differing in zip(groups, _differing(groups), strict=True):
        given = dict.fromkeys(own[run.folder] for run in group if run.folder in own)
        if given:
            found.append(", ".join(given))
            continue
        values = [
            f"{key.removeprefix('model.objectives.')}={_as_given(value)}"
            for key, value in differing
        ]
        more = [f"and {len(values) - _MOST_VALUES} more"] if len(values) > _MOST_VALUES else []
        shown = [*values[:_MOST_VALUES], *more]
        found.append(", ".join([group[0].summary["recipe"], *shown]))
    # A recipe may differ from another one in what it lacks alone.
    return [
        name if found.count(name) == 1 else f"{name} {group[0].folder.name}"
        for name, group in zip(found, groups, strict=True)
    ]


def _as_given(value: Any) -> str:
    """A value as a recipe has it: null, true and false."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _differing(groups: Sequence[Sequence[Run]]) -> list[list[tuple[str, Any]]]:
    """Of each group the keys and values in which it differs from others of its recipe's name."""
    names = [group[0].summary["recipe"] for group in groups]
    flat = [dict(leaves(_kept(group[0].recipe))) for group in groups]
    found: list[list[tuple[str, Any]]] = []
    for name, values in zip(names, flat, strict=True):
        others = [each for each, other in zip(flat, names, strict=True) if other == name]
        found.append(
            [
                (key, value)
                for key, value in values.items()
                if any(value not in _at(each, key) for each in others)
            ]
        )
    return found


def _at(flat: Mapping[str, Any], key: str) -> list[Any]:
    """The value at a key: of phases, which stands at the top where all of them have one."""
    if key in flat:
        return [flat[key]]
    top = _PHASE.sub("", key)
    if top != key:
        return [flat.get(top)]
    inside = [value for name, value in flat.items() if _PHASE.sub("", name) == key] or [None]
    return inside[:1] if all(value == inside[0] for value in inside) else []


def _summary_metrics(run: Run, when: str, meanings: dict[str, Meaning]) -> dict[str, float | None]:
    stored = run.summary.get("metrics")
    found: dict[str, float | None] = {}
    for suite, by_when in run.summary["suites"].items():
        for name, value in by_when.get(when, {}).items():
            found[f"{suite}/{name}"] = value
            meanings.setdefault(f"{suite}/{name}", stored_meaning(suite, name, stored))
    return found


def _after(run: Run, meanings: dict[str, Meaning]) -> dict[str, float | None]:
    found = _summary_metrics(run, "after", meanings)
    files = sorted((run.folder / "evaluation").glob("*.json"))
    fingerprint = fingerprint_of(str(run.model)) if files else None
    for file in files:
        later = read_evaluation(file)
        if later is not None and later.inputs["model"] == fingerprint:
            for name, value in later.values.items():
                key = f"{later.suite}/{name}"
                # What the run measured itself stands: the suite may since have had other settings.
                found.setdefault(key, value)
                kept = {later.suite: later.metrics}
                meanings.setdefault(key, stored_meaning(later.suite, name, kept))
    return found


def _verdict(group: Sequence[Run]) -> str | None:
    """The verdicts on the runs, each once; those that an earlier version made are judged now."""
    found = (
        (run.summary.get("verdict") or conclusion_of(run, {}).as_json()["verdict"])["name"]
        for run in group
    )
    return ", ".join(dict.fromkeys(found))


def _intervals(group: Sequence[Run]) -> dict[str, tuple[float, float]]:
    """Bounds of a single run by address."""
    found: dict[str, tuple[float, float]] = {}
    if len(group) == 1:
        with suppress(ValueError, TypeError, AttributeError):
            for suite, by_when in group[0].intervals().items():
                for name, (low, high) in by_when.get("after", {}).items():
                    found[f"{suite}/{name}"] = (float(low), float(high))
    return found


def _over_seeds(
    runs: Sequence[Mapping[str, float | None]], intervals: Mapping[str, tuple[float, float]]
) -> dict[str, OverSeeds]:
    """Metrics of the runs that have them; of one that no run could measure, nan."""
    found: dict[str, OverSeeds] = {}
    for row in dict.fromkeys(row for run in runs for row in run):
        values = [value for run in runs if (value := run.get(row)) is not None]
        deviation = stdev(values) if len(values) > 1 else None
        mean = fmean(values) if values else math.nan
        found[row] = OverSeeds(mean, deviation, len(values), intervals.get(row))
    return found


def _common(runs: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Metrics that are the same in all runs that have them."""
    found: dict[str, set[float]] = {}
    for each in runs:
        for row, value in each.items():
            if value is not None:
                found.setdefault(row, set()).add(value)
    return {row: values.pop() for row, values in found.items() if len(values) == 1}
