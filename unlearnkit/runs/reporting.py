"""The report of a run folder: its files are read, the page is written."""

from __future__ import annotations

import csv
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlearnkit.errors import UserError
from unlearnkit.report.contents import Contents, LaterEvaluation
from unlearnkit.runs import evaluation
from unlearnkit.runs.folder import Run, load_run, write_json, write_rows, write_text
from unlearnkit.runs.scored import fingerprint_of, read_evaluation
from unlearnkit.runs.token_logps import TokenLogps
from unlearnkit.suites.base import Suite

REPORT = "report.html"


def report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Writes the report of a finished run, from the files of its folder alone.

    Args:
        folder: The run folder.
        out: The file; by default ``report.html`` in the run folder, which is made anew.

    Returns:
        The file.

    Raises:
        UserError: If the folder is not a finished run, or the file exists and is not that report.
    """
    # Altair and the script engine take a second to load, and most verbs need neither.
    from unlearnkit.report.run import run_report

    run = load_run(folder)
    return write_new(run_report(read_contents(run)), out, run.folder / REPORT)


def report_after_fit(
    folder: Path,
    results: Mapping[str, evaluation.Results],
    suites: Sequence[Suite],
    token_logps: TokenLogps,
    seed: int,
) -> Path | None:
    """Writes what the report alone needs, and the report.

    Returns:
        The report, or None after a warning: the run stands, whatever becomes of its report.
    """
    try:
        if suites:
            write_rows(folder / "tokens.jsonl", token_logps.rows())
            write_json(folder / "intervals.json", evaluation.intervals(results, suites, seed))
        return report(folder)
    except Exception as error:
        warnings.warn(
            f"the report could not be made ({type(error).__name__}: {error}); the run itself is "
            f"complete, and `unlearnkit report {folder}` tries again",
            stacklevel=2,
        )
        return None


def write_new(text: str, out: str | Path | None, own: Path | None) -> Path:
    """Writes a file that does not exist yet, or our own, which is remade.

    Raises:
        UserError: If it exists and is not ours, or cannot be written.
    """
    target = own if out is None else Path(out)
    assert target is not None
    ours = own is not None and target.absolute() == own.absolute()
    if target.exists() and not ours:
        raise UserError(f"{target} exists and is not overwritten.", hint="Give another name.")
    write_text(target, text)
    return target


def read_contents(run: Run) -> Contents:
    """The files of a run folder that a report shows; what is missing or stale is named."""
    folder, left_out = run.folder, []

    def lines(name: str, lost: str) -> list[dict[str, Any]]:
        if not (folder / name).is_file():
            left_out.append(f"{lost}: the run folder has no {name}.")
            return []
        with (folder / name).open(encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.strip()]

    def mapping(name: str, lost: str) -> dict[str, Any]:
        if not (folder / name).is_file():
            left_out.append(f"{lost}: the run folder has no {name}.")
            return {}
        return json.loads((folder / name).read_text(encoding="utf-8"))

    rows = lines("rows.jsonl", "Generations and heat map")
    tokens = lines("tokens.jsonl", "Log-probabilities of tokens")
    intervals = mapping("intervals.json", "Intervals")
    environment = mapping("environment.json", "Environment")
    return Contents(
        folder="/".join(folder.absolute().parts[-2:]),
        summary=run.summary,
        recipe=(folder / "recipe.yaml").read_text(encoding="utf-8"),
        objectives=tuple(run.recipe.get("model", {}).get("objectives", {})),
        environment=environment,
        metrics=_metrics(folder, left_out),
        rows=rows,
        intervals=intervals,
        tokens=tokens,
        evaluations=_evaluations(run, left_out),
        attacks=_attacks(run, left_out),
        left_out=left_out,
    )


def _metrics(folder: Path, left_out: list[str]) -> list[dict[str, float]]:
    file = folder / "metrics.csv"
    if not file.is_file():
        left_out.append("Losses: the run folder has no metrics.csv.")
        return []
    with file.open(encoding="utf-8", newline="") as stream:
        return [
            {name: float(value) for name, value in line.items() if name and value}
            for line in csv.DictReader(stream)
        ]


def _evaluations(run: Run, left_out: list[str]) -> list[LaterEvaluation]:
    files = sorted((run.folder / "evaluation").glob("*.json"))
    now = fingerprint_of(str(run.model)) if files else None
    found: list[LaterEvaluation] = []
    for file in files:
        later = read_evaluation(file)
        if later is None or later.inputs["model"] != now:
            left_out.append(f"evaluation/{file.name}: it does not belong to this model.")
            continue
        gold = read_evaluation(file.parent / "gold" / file.name)
        found.append(
            LaterEvaluation(
                later.suite,
                later.created,
                _known(later.values),
                later.intervals,
                _known(gold.values) if gold else {},
                later.missing,
            )
        )
    return found


def _attacks(run: Run, left_out: list[str]) -> list[dict[str, Any]]:
    files = sorted((run.folder / "attacks").glob("*.json"))
    now = fingerprint_of(str(run.model)) if files else None
    found: list[dict[str, Any]] = []
    for file in files:
        attack = json.loads(file.read_text(encoding="utf-8"))
        if attack["models"].get("unlearned") != now:
            left_out.append(f"attacks/{file.name}: it does not belong to this model.")
        else:
            found.append(attack)
    return found


def _known(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
