"""Several runs side by side; those that differ in their seed alone are one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import lightning as L

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.families import defaults, without_defaults
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.evaluate import fingerprint_of, read_evaluation
from unlearnkit.runs.folder import Run, load_run
from unlearnkit.suites.base import Better
from unlearnkit.suites.direction import direction

_SECTIONS = {"model": UnlearningModule, "data": UnlearningDataModule, "trainer": L.Trainer}
# Keys of a recipe that say where and with which numbers drawn, not what was done.
_NOT_THE_RECIPE = ("seed_everything", "run_dir", "evaluate", "gold")


class Figure(NamedTuple):
    """A figure of a recipe over its seeds."""

    mean: float
    """nan where there was nothing to measure in any of them."""
    deviation: float | None
    """Standard deviation of the sample, or None of a single run."""
    count: int
    """Seeds that have it."""


@dataclass(frozen=True)
class Column:
    """Runs of one recipe."""

    name: str
    runs: tuple[Path, ...]
    figures: dict[str, Figure]
    """By ``<suite>: <stream>/<metric>``."""
    ranked: bool = True
    """Whether it may be best; a model before unlearning, or a gold model, may not."""


@dataclass(frozen=True)
class Comparison:
    """Columns, and the rows that they have.

    ``better`` holds the good direction of each row, None where none is known.
    """

    columns: tuple[Column, ...]
    better: dict[str, Better | None]

    def best(self, row: str) -> tuple[str, ...]:
        """Names of the columns with the best mean; none if there is nothing to choose from."""
        better = self.better[row]
        means = {
            column.name: column.figures[row].mean
            for column in self.columns
            if column.ranked and row in column.figures
        }
        means = {name: mean for name, mean in means.items() if not math.isnan(mean)}
        if better is None or len(means) < 2:
            return ()
        cost = {"lower": float, "higher": lambda x: -x, "zero": abs}[better]
        least = min(map(cost, means.values()))
        return tuple(name for name, mean in means.items() if cost(mean) == least)


def compare(folders: Sequence[str | Path]) -> Comparison:
    """Puts runs side by side.

    A run's figures are those after unlearning of its ``summary.json``, and those of
    ``evaluation/*.json`` if these belong to the model that is in the run's folder now. Figures
    before unlearning and of the gold model stand in columns of their own where all runs agree
    on them.

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
    columns = [
        Column(name, tuple(run.folder for run in group), _over_seeds([_after(r) for r in group]))
        for name, group in zip(_names(groups), groups, strict=True)
    ]
    for when in ("gold", "before"):
        common = _common([_summary_figures(run, when) for run in runs])
        if common:
            figures = {row: Figure(value, None, 1) for row, value in common.items()}
            columns.insert(0, Column(when, (), figures, ranked=False))
    rows = dict.fromkeys(row for column in columns for row in column.figures)
    return Comparison(tuple(columns), {row: direction(row) for row in rows})


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
    flat = [dict(_leaves(_kept(group[0].recipe))) for group in groups]
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


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for name, each in value.items():
            step = "" if name == "init_args" else str(name)
            yield from _leaves(each, ".".join(part for part in (key, step) if part))
    else:
        yield key, value


def _summary_figures(run: Run, when: str) -> dict[str, float | None]:
    return {
        f"{suite}: {name}": value
        for suite, by_when in run.summary["suites"].items()
        for name, value in by_when.get(when, {}).items()
    }


def _after(run: Run) -> dict[str, float | None]:
    found = _summary_figures(run, "after")
    files = sorted((run.folder / "evaluation").glob("*.json"))
    fingerprint = fingerprint_of(str(run.model)) if files else None
    for file in files:
        evaluation = read_evaluation(file)
        if evaluation is not None and evaluation.inputs["model"] == fingerprint:
            found |= {f"{evaluation.suite}: {k}": v for k, v in evaluation.values.items()}
    return found


def _over_seeds(runs: Sequence[Mapping[str, float | None]]) -> dict[str, Figure]:
    """Figures of the runs that have them; of one that no run could measure, nan."""
    found: dict[str, Figure] = {}
    for row in dict.fromkeys(row for run in runs for row in run):
        values = [value for run in runs if (value := run.get(row)) is not None]
        deviation = stdev(values) if len(values) > 1 else None
        found[row] = Figure(fmean(values) if values else math.nan, deviation, len(values))
    return found


def _common(figures: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Figures that are the same in all runs that have them."""
    found: dict[str, set[float]] = {}
    for each in figures:
        for row, value in each.items():
            if value is not None:
                found.setdefault(row, set()).add(value)
    return {row: values.pop() for row, values in found.items() if len(values) == 1}
