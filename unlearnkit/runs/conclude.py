"""Judges a run folder: its verdict, and the goals that it meets."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unlearnkit.attacks import Attack, Target, attack_and_keep, read_attack
from unlearnkit.attacks.addresses import missing_reason, unknown_goals
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.errors import UserError
from unlearnkit.files import write_json
from unlearnkit.inspection.kept import read_inspection
from unlearnkit.report.contents import LaterEvaluation
from unlearnkit.runs.card import card_with_verdict
from unlearnkit.runs.evaluate import Evaluation, fingerprint_of, read_evaluation
from unlearnkit.runs.folder import Run, RunSummary, load_run
from unlearnkit.runs.measure import Stages
from unlearnkit.runs.other.judged import Judged
from unlearnkit.runs.planning.backends import backend_of
from unlearnkit.verdict import GoalResult, Verdict, check_goals, judge, read_goals
from unlearnkit.verdict.attacked import attacked_rows
from unlearnkit.verdict.teaching import objectives_of, teaches
from unlearnkit.verdict.values import Intervals, MetricRow, metric_rows

NO_BEFORE = (
    "The starting model was not evaluated beside it: evaluate it on the same rows, and name it by "
    "--before."
)


@dataclass(frozen=True)
class Conclusion:
    """What a run comes to.

    Args:
        verdict: The verdict.
        goals: The goals of its recipe, and whether each is met.
    """

    verdict: Verdict
    goals: tuple[GoalResult, ...] = ()

    @property
    def missed(self) -> list[GoalResult]:
        """Goals that are not met."""
        return [goal for goal in self.goals if not goal.met]

    def as_json(self) -> dict[str, Any]:
        """As it stands in ``summary.json``."""
        found: dict[str, Any] = {"verdict": self.verdict.as_json()}
        return found | ({"goals": [goal.as_json() for goal in self.goals]} if self.goals else {})


def conclusion_of(run: Run, goals: Any = None) -> Conclusion:
    """The conclusion from all that the run folder holds now.

    Args:
        run: A finished run.
        goals: Goals in place of those of its recipe, in the form of a recipe.

    Raises:
        UserError: If the goals cannot be read, or those in place of the recipe's name what nothing
            measures.
    """
    return conclusion_from(
        run, run.intervals(), evaluations_of(run, []), attacks_of(run, []), goals
    )


def conclusion_from(
    run: Run,
    intervals: Intervals,
    evaluations: Sequence[LaterEvaluation],
    attacks: Sequence[Mapping[str, Any]],
    goals: Any = None,
) -> Conclusion:
    """The conclusion from files that were read already; see `conclusion_of`."""
    rows = _rows(run, intervals, evaluations)
    given = run.recipe.get("goals") if goals is None else goals
    try:
        wanted = read_goals(given)
    except ValueError as error:
        raise UserError(f"{run.folder / 'recipe.yaml'}: {error}") from error
    attacked = [row for attack in attacks for row in attacked_rows(attack)]
    measured = [*attacked, *rows]
    if goals is not None and (unknown := unknown_goals(wanted, measured)):
        raise unknown
    results = [
        replace(each, reason=missing_reason(each.goal.address, measured))
        if each.value is None
        else each
        for each in check_goals(wanted, measured)
    ]
    verdict = judge(
        rows, attacks, teaching=teaches(run.recipe), objectives=objectives_of(run.recipe)
    )
    if isinstance(run, Judged) and not any("before" in row.values for row in rows):
        verdict = replace(verdict, next="", notes=(NO_BEFORE, *verdict.notes))
    return Conclusion(verdict, tuple(results))


def attack_run(
    folder: Path, attacks: Sequence[Attack], data: UnlearningDataModule, gold: str | None
) -> None:
    """Attacks the model of a run that has just ended, and its gold model.

    The run stands, whatever becomes of an attack: one that fails is a warning.
    """
    models = {"unlearned": str(load_run(folder).model)} | ({"gold": gold} if gold else {})
    for attack in attacks:
        kind = attack.registered_name or type(attack).__name__
        try:
            attack_and_keep(attack, Target.of(data), models, folder / "attacks")
        except Exception as error:
            warnings.warn(
                f"the attack {kind} failed ({type(error).__name__}: {error}); the run itself is "
                f"complete, and `unlearnkit attack {folder} {kind}` tries again",
                stacklevel=2,
            )


def conclude(folder: Path, stages: Stages, summary: RunSummary, goals: Any = None) -> Conclusion:
    """Judges a run that has just ended, and writes verdict and goals into ``summary.json``."""
    # What keeps intervals from being made keeps the report from being made, which tells of it.
    with suppress(Exception):
        write_json(folder / "intervals.json", stages.intervals)
    found = conclusion_of(load_run(folder), goals)
    summary.conclusion = found.as_json()
    write_json(folder / "summary.json", summary.as_json())
    return found


def conclude_again(run: Run) -> Conclusion:
    """Judges a run by what was added to its folder, and brings summary and card up to date."""
    found = conclusion_of(run)
    kept = {k: v for k, v in run.summary.items() if k not in ("verdict", "goals")}
    write_json(run.folder / "summary.json", kept | found.as_json())
    card_with_verdict(run.model, found.verdict)
    return found


def same_backend(run: Run, later: Evaluation) -> bool:
    """Whether one backend generated the texts of a run and of a later evaluation of its model."""
    return not run.summary["suites"] or backend_of(later.generation) == backend_of(
        run.summary.get("generation")
    )


def evaluations_of(run: Run, left_out: list[str]) -> list[LaterEvaluation]:
    """Evaluations of the model that is in the folder now.

    Args:
        run: The run.
        left_out: Gets a sentence for each file that belongs to another model.
    """
    files = sorted((run.folder / "evaluation").glob("*.json"))
    now = fingerprint_of(str(run.model)) if files else None
    found: list[LaterEvaluation] = []
    for file in files:
        later = read_evaluation(file)
        if later is None or later.inputs["model"] != now:
            left_out.append(f"evaluation/{file.name}: it does not belong to this model.")
            continue
        if not same_backend(run, later):
            left_out.append(
                f"evaluation/{file.name}: its texts were generated by "
                f"{backend_of(later.generation)}, those of the run by "
                f"{backend_of(run.summary.get('generation'))}."
            )
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
                later.notes,
                later.metrics,
            )
        )
    return found


def attacks_of(run: Run, left_out: list[str]) -> list[dict[str, Any]]:
    """Attacks on the model that is in the folder now, by kind and time.

    Args:
        run: The run.
        left_out: Gets a sentence for each file that is none, or belongs to another model.
    """
    files = sorted((run.folder / "attacks").glob("*.json"))
    now = fingerprint_of(str(run.model)) if files else None
    found: list[dict[str, Any]] = []
    for file in files:
        attack = read_attack(file)
        if attack is None:
            left_out.append(f"attacks/{file.name}: it is not what `unlearnkit attack` writes.")
        elif attack.models.get("unlearned") != now:
            left_out.append(f"attacks/{file.name}: it does not belong to this model.")
        else:
            found.append(asdict(attack))
    return sorted(found, key=lambda attack: (attack["attack"], attack["created"]))


def inspection_of(run: Run, left_out: list[str]) -> dict[str, Any] | None:
    """The newest inspection of the model that is in the folder now.

    Args:
        run: The run.
        left_out: Gets a sentence for each file that is none, or belongs to another model.
    """
    files = sorted((run.folder / "inspection").glob("depth*.json"), key=_written)
    now = fingerprint_of(str(run.model)) if files else None
    newest: dict[str, Any] | None = None
    for file in files:
        found = read_inspection(file)
        if found is None:
            left_out.append(f"inspection/{file.name}: it is not what `unlearnkit inspect` writes.")
        elif found["models"]["after"] != now:
            left_out.append(f"inspection/{file.name}: it does not belong to this model.")
        else:
            newest = found
    return newest


def _written(file: Path) -> int:
    return file.stat().st_mtime_ns


def _rows(
    run: Run, intervals: Intervals, evaluations: Sequence[LaterEvaluation]
) -> list[MetricRow]:
    """Metrics of the run, with those that later evaluations add."""
    suites = deepcopy(run.summary["suites"])
    bounds: dict[str, Any] = {suite: dict(by_when) for suite, by_when in intervals.items()}
    stored = dict(run.summary.get("metrics") or {})
    for later in evaluations:
        by_when = suites.setdefault(later.suite, {})
        # What the run measured itself stands: the suite may since have had other settings.
        by_when["after"] = {**later.values, **by_when.get("after", {})}
        if later.gold:
            by_when["gold"] = {**later.gold, **by_when.get("gold", {})}
        own = bounds.setdefault(later.suite, {})
        own["after"] = {**later.intervals, **own.get("after", {})}
        stored[later.suite] = {**later.meanings, **(stored.get(later.suite) or {})}
    return [row for rows in metric_rows(suites, bounds, stored).values() for row in rows]


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {k: v for k, v in values.items() if v is not None and math.isfinite(v)}
