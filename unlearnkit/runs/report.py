"""Writes the report of a run folder."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml
from lightning.pytorch.loggers import Logger

from unlearnkit.engine.training.loggers import send_facts
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_existing, write_bytes, write_text
from unlearnkit.plain import load_yaml
from unlearnkit.report.contents import Contents, Training
from unlearnkit.runs.compare import Comparison
from unlearnkit.runs.conclude import (
    attacks_of,
    conclusion_from,
    evaluations_of,
    inspection_of,
)
from unlearnkit.runs.folder import Run, as_mapping, load_run
from unlearnkit.runs.measure import Stages
from unlearnkit.runs.other.judged import Judged, judged

REPORT = "report.html"
PICTURES = ("png", "pdf", "svg")
"""What a picture of a comparison can be."""
T = TypeVar("T")


def report(
    folder: str | Path, out: str | Path | None = None, before: str | Path | None = None
) -> Path:
    """Writes the report of a finished run, or of any model that was evaluated.

    It is made of the files of the run folder, or of the model's results, alone.

    Args:
        folder: The run folder, or the other model.
        out: The file; by default ``report.html`` in the run folder or beside the results, which is
            made anew.
        before: The starting model of a model that is no run; see `judged`.

    Returns:
        The file.

    Raises:
        UserError: If the folder is neither a finished run nor evaluated, or the file exists and is
            not that report.
    """
    # Altair and the script engine take a second to load, and most verbs need neither.
    from unlearnkit.report.run import run_report

    run = judged(folder, before)
    own = run.folder / REPORT
    target = own if out is None else Path(out)
    if target.absolute() != own.absolute():
        refuse_existing(target)
    write_text(target, run_report(read_contents(run)))
    return target


def report_after_fit(folder: Path, stages: Stages) -> Path | None:
    """Writes what the report alone needs, and the report.

    Returns:
        The report, or None after a warning: the run does not fail with its report.
    """
    try:
        stages.write_for_report(folder)
        return report(folder)
    except Exception as error:
        warnings.warn(
            f"the report could not be made ({type(error).__name__}: {error}); the run itself is "
            f"complete, and `unlearnkit report {folder}` tries again",
            stacklevel=2,
        )
        return None


def send_report(loggers: list[Logger], folder: Path) -> None:
    """Sends the run folder, the report's path and the report's picture to the user's loggers.

    A failure is a warning: the run stands.
    """
    if not loggers:
        return
    from unlearnkit.report.picture import run_picture

    try:
        png = run_picture(read_contents(load_run(folder)))
    except Exception as error:
        warnings.warn(
            f"the picture could not be made ({type(error).__name__}: {error}); loggers get none",
            stacklevel=2,
        )
        png = None
    send_facts(loggers, folder, png)


def report_comparison(
    comparison: Comparison, picture: str | Path | None, page: str | Path | None
) -> list[Path]:
    """Writes a comparison as a picture, as a page, or as both.

    Returns:
        The files.

    Raises:
        UserError: If one of them exists or cannot be written, or no suite of the runs measures
            both forgetting and utility, so that there is no picture.
    """
    targets = [refuse_existing(Path(each)) for each in (picture, page) if each is not None]
    form = "png" if picture is None else Path(picture).suffix.lstrip(".").lower()
    if form not in PICTURES:
        raise UserError(
            f"--picture: expected a file that ends with .{', .'.join(PICTURES)}, found {picture}",
            title="usage",
        )
    from unlearnkit.report.comparison import Compared, Line, Spread, comparison_report
    from unlearnkit.report.comparison import picture as drawn

    columns = [
        Compared(
            column.name,
            len(column.runs),
            {key: Spread(found.mean, found.deviation) for key, found in column.metrics.items()},
            column.verdict.split(", ") if column.verdict else (),
        )
        for column in comparison.columns
    ]
    lines = {
        key: Line(comparison.label(key), meaning, comparison.best(key))
        for key, meaning in comparison.metrics.items()
    }
    if picture is not None:
        drawing = drawn(columns, lines, form)
        if drawing is None:
            raise UserError("--picture: no suite of these runs measures forgetting and utility.")
        write_bytes(Path(picture), drawing)
    if page is not None:
        write_text(Path(page), comparison_report(columns, lines, comparison.notes))
    return targets


def read_contents(run: Run) -> Contents:
    """The files of a run folder that a report shows; what is missing, broken or stale is named."""
    left_out: list[str] = []
    if isinstance(run, Judged):
        return _of_other_model(run)
    kept = partial(_kept, run.folder, left_out=left_out)
    environment = (run.recipe_file.parent / "environment.json").relative_to(run.folder)
    found = Contents(
        folder="/".join(run.folder.absolute().parts[-2:]),
        summary=run.summary,
        recipe=(run.folder / "recipe.yaml").read_text(encoding="utf-8"),
        rows=kept("rows.jsonl", "Generations and heat map", _rows_of("suite", "stream", "when"))
        or [],
        tokens=kept(
            "tokens.jsonl", "Log-probabilities of tokens", _rows_of("prompt", "tokens", "logps")
        )
        or [],
        intervals=kept("intervals.json", "Intervals", _mapping) or {},
        environment=kept(str(environment), "Environment", _mapping) or {},
        trainings=_trainings(run, kept),
        evaluations=evaluations_of(run, left_out),
        attacks=attacks_of(run, left_out),
        inspection=inspection_of(run, left_out),
        left_out=left_out,
    )
    concluded = conclusion_from(run, found.intervals, found.evaluations, found.attacks)
    return replace(found, verdict=concluded.verdict, goals=concluded.goals)


def _of_other_model(model: Judged) -> Contents:
    left_out = list(model.left_out)
    attacks = attacks_of(model, left_out)
    concluded = conclusion_from(model, model.intervals(), (), attacks)
    return Contents(
        folder=str(model.folder),
        summary=model.summary,
        rows=model.rows,
        intervals=model.intervals(),
        attacks=attacks,
        verdict=concluded.verdict,
        left_out=left_out,
    )


def _kept(
    folder: Path, name: str, lost: str, parse: Callable[[str], T], *, left_out: list[str]
) -> T | None:
    """What a file holds; None where it cannot be shown, and why is added to ``left_out``."""
    if not (folder / name).is_file():
        left_out.append(f"{lost}: the run folder has no {name}.")
        return None
    try:
        # Newlines as they are: those in a quoted field of CSV are its own.
        return parse((folder / name).read_bytes().decode("utf-8"))
    except (ValueError, csv.Error, yaml.YAMLError) as error:
        left_out.append(f"{lost}: {name} cannot be read ({' '.join(str(error).split())}).")
        return None


def _mapping(text: str) -> dict[str, Any]:
    return as_mapping(json.loads(text))


def _rows_of(*keys: str) -> Callable[[str], list[dict[str, Any]]]:
    def parse(text: str) -> list[dict[str, Any]]:
        rows = [_mapping(line) for line in text.split("\n") if line.strip()]
        for number, row in enumerate(rows, 1):
            if missing := [key for key in keys if key not in row]:
                raise ValueError(f"row {number} has no {', '.join(missing)}")
        return rows

    return parse


def _trainings(run: Run, kept: Callable[..., Any]) -> list[Training]:
    trained = [each for each in run.summary.get("phases", []) if each["trained"]]
    folders = {each["name"]: each["folder"] for each in trained} or {"": ""}
    found: list[Training] = []
    for phase, inside in folders.items():
        file, curves = str(Path(inside, "recipe.yaml")), str(Path(inside, "metrics.csv"))
        objectives = kept(file, "Order of the losses", _objectives) or ()
        found.append(Training(phase, objectives, kept(curves, "Losses", _metrics) or []))
    return found


def _objectives(text: str) -> tuple[str, ...]:
    recipe = as_mapping(load_yaml(text) or {})
    return tuple(as_mapping(as_mapping(recipe.get("model") or {}).get("objectives") or {}))


def _metrics(text: str) -> list[dict[str, float]]:
    lines = [
        {name: float(value) for name, value in line.items() if name and value}
        for line in csv.DictReader(io.StringIO(text, newline=""))
    ]
    if not lines:
        raise ValueError("it has no line of metrics")
    return lines
