"""Compares runs; those that differ in their seed are averaged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import lightning as L

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.families import defaults, without_defaults
from unlearnkit.module import UnlearningModule
from unlearnkit.plain import leaves
from unlearnkit.runs.evaluate import fingerprint_of, read_evaluation
from unlearnkit.runs.folder import Run, load_run
from unlearnkit.suites.meaning import Meaning, stored_meaning

_SECTIONS = {"model": UnlearningModule, "data": UnlearningDataModule, "trainer": L.Trainer}
# Keys of a recipe that say where and with which numbers drawn, not what was done.
_NOT_THE_RECIPE = ("seed_everything", "run_dir", "evaluate", "gold", "attack", "goals")


class OverSeeds(NamedTuple):
    """A metric of a recipe over its seeds."""

    mean: float
    """nan if there was nothing to measure in any of them."""
    deviation: float | None
    """Standard deviation of the sample, or None of a single run."""
    count: int
    """Seeds that have it."""


@dataclass(frozen=True)
class Column:
    """Runs of one recipe."""

    name: str
    runs: tuple[Path, ...]
    metrics: dict[str, OverSeeds]
    """By address, ``<suite>/<stream>/<metric>``."""
    ranked: bool = True
    """Whether it may be best; a model before unlearning, or a gold model, may not."""


@dataclass(frozen=True)
class Comparison:
    """Columns, and the metrics that they have, by address, each with its meaning."""

    columns: tuple[Column, ...]
    metrics: dict[str, Meaning]

    def label(self, address: str) -> str:
        """The address, without the suite if there is only one."""
        suites = {each.partition("/")[0] for each in self.metrics}
        return address.partition("/")[2] if len(suites) == 1 else address

    def best(self, address: str) -> tuple[str, ...]:
        """Names of the columns with the best mean; none if there is nothing to choose from.

        Of metrics of forgetting that were measured on the gold model, the nearest to it is best.
        """
        gold = [c.metrics[address].mean for c in self.columns if _is_gold(c, address)]
        meaning = self.metrics[address]
        costs = {
            column.name: meaning.cost(column.metrics[address].mean, *gold)
            for column in self.columns
            if column.ranked
            and address in column.metrics
            and not math.isnan(column.metrics[address].mean)
        }
        known = {name: cost for name, cost in costs.items() if cost is not None}
        if len(known) < 2:
            return ()
        return tuple(name for name, cost in known.items() if cost == min(known.values()))


def compare(folders: Sequence[str | Path]) -> Comparison:
    """Puts runs side by side.

    A run's metrics are those after unlearning of its ``summary.json``, and those of
    ``evaluation/*.json`` if these belong to the model that is in the run's folder now. Metrics
    before unlearning and of the gold model stand in columns of their own if all runs agree on
    them.

    Args:
        folders: Run folders, or folders with some below them.

    Raises:
        UserError: If one of them is not a finished run.
    """
    runs = [load_run(folder) for each in folders for folder in _runs_below(Path(each))]
    by_key: dict[str, list[Run]] = {}
    for run in runs:
        by_key.setdefault(_recipe_key(run), []).append(run)
    groups = _in_order(list(by_key.values()))
    meanings: dict[str, Meaning] = {}
    columns = [
        Column(
            name,
            tuple(run.folder for run in group),
            _over_seeds([_after(run, meanings) for run in group]),
        )
        for name, group in zip(_names(groups), groups, strict=True)
    ]
    for when in ("gold", "before"):
        common = _common([_summary_metrics(run, when, meanings) for run in runs])
        if common:
            metrics = {row: OverSeeds(value, None, 1) for row, value in common.items()}
            columns.insert(0, Column(when, (), metrics, ranked=False))
    rows = dict.fromkeys(row for column in columns for row in column.metrics)
    return Comparison(tuple(columns), {row: meanings[row] for row in rows})


def _is_gold(column: Column, address: str) -> bool:
    return column.name == "gold" and not column.ranked and address in column.metrics


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


def _names(groups: Sequence[Sequence[Run]]) -> list[str]:
    """Recipes' names; where several share one, with the values in which they differ."""
    found: list[str] = []
    for group, differing in zip(groups, _differing(groups), strict=True):
        values = [f"{key.removeprefix('model.objectives.')}={value}" for key, value in differing]
        found.append(", ".join([group[0].summary["recipe"], *values]))
    # A recipe may differ from another one in what it lacks alone.
    return [
        name if found.count(name) == 1 else f"{name} {group[0].folder.name}"
        for name, group in zip(found, groups, strict=True)
    ]


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
                if any(each.get(key) != value for each in others)
            ]
        )
    return found


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


def _over_seeds(runs: Sequence[Mapping[str, float | None]]) -> dict[str, OverSeeds]:
    """Metrics of the runs that have them; of one that no run could measure, nan."""
    found: dict[str, OverSeeds] = {}
    for row in dict.fromkeys(row for run in runs for row in run):
        values = [value for run in runs if (value := run.get(row)) is not None]
        deviation = stdev(values) if len(values) > 1 else None
        found[row] = OverSeeds(fmean(values) if values else math.nan, deviation, len(values))
    return found


def _common(runs: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Metrics that are the same in all runs that have them."""
    found: dict[str, set[float]] = {}
    for each in runs:
        for row, value in each.items():
            if value is not None:
                found.setdefault(row, set()).add(value)
    return {row: values.pop() for row, values in found.items() if len(values) == 1}
