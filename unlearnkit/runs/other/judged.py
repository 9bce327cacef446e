"""Any model in the form of a run, to be judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import is_embedded
from unlearnkit.runs.evaluate import (
    Evaluation,
    fingerprint_of,
    read_evaluation,
    results_of,
    rows_file,
)
from unlearnkit.runs.folder import Run, load_run
from unlearnkit.runs.planning.backends import backend_of
from unlearnkit.suites.fluency import FLUENCY, fluency_meanings, fluency_of_rows
from unlearnkit.verdict.values import Intervals

EVALUATIONS = "evaluations"
_MODEL_FILES = ("config.json", "adapter_config.json")


class Stored(NamedTuple):
    """An evaluation and its file."""

    path: Path
    found: Evaluation


Files = Mapping[str, Stored]
"""Evaluations by the names of their files."""


@dataclass(frozen=True)
class Judged(Run):
    """A model that no run of ours made, in the form of a run.

    ``folder`` holds its results, ``summary`` what `evaluate` found: of the model itself as
    ``after``, of the gold model and of the starting model where they were evaluated too.
    """

    name: str = ""
    bounds: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: tuple[dict[str, Any], ...] = ()
    left_out: tuple[str, ...] = ()
    """Files that belong to another model, a sentence each."""

    @property
    def model(self) -> Path:
        """The model, as it was named."""
        return Path(self.name)

    def intervals(self) -> Intervals:
        """95 % intervals of the evaluations."""
        return self.bounds


def judged(name: str | Path, before: str | Path | None = None) -> Run:
    """A run, or any other model by the results that `evaluate` kept.

    Args:
        name: Run folder, model, adapter or edit folder, hub id, embedded model, or a folder of
            results.
        before: The starting model, if it was evaluated too; by default the one that the
            evaluations name as their reference. Of a run it is known.

    Raises:
        UserError: If it is neither, if nothing was evaluated, or if the starting model was
            evaluated on other rows.
    """
    folder = Path(name)
    if is_run(folder):
        if before is not None:
            raise UserError(f"--before: {name} is a run, which has measured its own", title="usage")
        return load_run(folder)
    place, files = _results(folder)
    if not files:
        if not (_is_model(folder) or is_embedded(str(name))):
            return load_run(folder)
        raise _none_of(name)
    model, own, left_out = _of_one_model(folder, place, files)
    if not own:
        raise _none_of(name, " that belong to it as it is now")
    gold = {file: stored for file in own if (stored := _stored(place / "gold" / file))}
    started = dict(_references(own)) if before is None else _given(before, own)
    stages = {"before": started, "after": own, "gold": gold}
    return _as_run(model, place, {k: v for k, v in stages.items() if v}, left_out)


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _MODEL_FILES)


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, finished or not."""
    return any((folder / name).is_file() for name in ("recipe.yaml", "summary.json"))


def _stored(path: Path) -> Stored | None:
    found = read_evaluation(path)
    return None if found is None else Stored(path, found)


def _results(folder: Path) -> tuple[Path, Files]:
    """The folder of a model's results, and the evaluations in it."""
    for place in (folder, folder / EVALUATIONS, results_of(str(folder))):
        files = {
            path.name: stored
            for path in sorted(place.glob("*.json"))
            if (stored := _stored(path)) is not None
        }
        if files:
            return place, files
    return folder, {}


def _of_one_model(folder: Path, place: Path, files: Files) -> tuple[str, Files, tuple[str, ...]]:
    """Name of the model, its evaluations, and a sentence for each that is not of it."""
    first = next(iter(files.values())).found
    brought = folder.is_dir() and not _is_model(folder)
    name = str(first.model["name"]) if brought else str(folder)
    try:
        now = fingerprint_of(name)
    except (OSError, RecipeError):
        # Results that were brought from elsewhere: the model itself is not needed.
        now = first.inputs["model"]
    own = {file: each for file, each in files.items() if each.found.inputs["model"] == now}
    others = [f"{place / file}: it does not belong to this model." for file in files.keys() - own]
    return name, own, tuple(sorted(others))


def _given(before: str | Path, own: Files) -> Files:
    """The starting model's evaluations of the same rows.

    Raises:
        UserError: If there is none, or it was measured on other rows or with other settings.
    """
    common = {file: each for file, each in _results(Path(before))[1].items() if file in own}
    if not common:
        raise _none_of(before)
    other = [file for file, each in common.items() if not _same_rows(each, own[file])]
    if other:
        raise UserError(
            f"--before: {before} was evaluated on other rows or with other settings: "
            f"{', '.join(other)}",
            hint="Evaluate both with the same suites and options.",
        )
    return common


def _references(own: Files) -> Iterator[tuple[str, Stored]]:
    """Evaluations of the models that were given as reference, where they were kept too."""
    for file, each in own.items():
        for path in sorted(Path(EVALUATIONS).rglob(file)):
            other = _stored(path)
            wanted = each.found.inputs.get("reference")
            if other and other.found.inputs["model"] == wanted and _same_rows(other, each):
                yield file, other
                break


def _same_rows(one: Stored, other: Stored) -> bool:
    same = all(one.found.inputs.get(k) == other.found.inputs.get(k) for k in ("suite", "settings"))
    return same and backend_of(one.found.generation) == backend_of(other.found.generation)


def _as_run(
    name: str, place: Path, stages: Mapping[str, Files], left_out: tuple[str, ...]
) -> Judged:
    suites: dict[str, dict[str, Any]] = {}
    metrics: dict[str, dict[str, Any]] = {}
    notes: dict[str, dict[str, Any]] = {}
    bounds: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for when, files in stages.items():
        said: list[tuple[str | None, dict[str, Any]]] = []
        for path, each in files.values():
            suites.setdefault(each.suite, {})[when] = dict(each.values)
            bounds.setdefault(each.suite, {})[when] = dict(each.intervals)
            metrics[each.suite] = {**metrics.get(each.suite, {}), **each.metrics}
            if each.notes:
                notes.setdefault(each.suite, {})[when] = list(each.notes)
            roles = {key.partition("/")[0]: m["role"] for key, m in each.metrics.items()}
            for line in rows_file(path).read_text(encoding="utf-8").split("\n"):
                if line.strip():
                    row = json.loads(line)
                    rows.append({"suite": each.suite, "when": when, **row})
                    said.append((roles.get(str(row.get("stream"))), row))
        if found := fluency_of_rows(said):
            suites.setdefault(FLUENCY, {})[when] = found
            metrics[FLUENCY] = fluency_meanings()
    summary: dict[str, Any] = {"recipe": name, "seed": None, "suites": suites, "metrics": metrics}
    summary |= {"notes": notes} if notes else {}
    first = next(iter(stages.get("after", {}).values()), None)
    summary |= {"generation": first.found.generation} if first and first.found.generation else {}
    return Judged(place, {}, summary, name, bounds, tuple(rows), left_out)


def _none_of(name: str | Path, what: str = "") -> UserError:
    return UserError(
        f"{name} is no run, and {results_of(str(name))} holds no results of it{what}",
        hint=f"First: unlearnkit evaluate {name} --forget FILE --normal FILE, or --suite NAME.",
    )
