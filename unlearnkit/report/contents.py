"""Contents of a report: the files of a run folder, read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unlearnkit.verdict import GoalResult, Verdict
from unlearnkit.verdict.values import Interval, Intervals


@dataclass(frozen=True)
class LaterEvaluation:
    """Metrics that `unlearnkit evaluate` added to the run folder."""

    suite: str
    created: str
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]
    gold: Mapping[str, float]
    missing: Mapping[str, str]
    notes: Sequence[str] = ()
    meanings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Role, direction and headline of each value."""


@dataclass(frozen=True)
class Training:
    """What was logged while the run, or one of its phases, trained.

    Args:
        phase: Name of the phase; empty where the run is one training.
        objectives: Names of the recipe's objectives.
        metrics: Lines of ``metrics.csv``.
    """

    phase: str
    objectives: Sequence[str]
    metrics: Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Contents:
    """The files of a run folder.

    Args:
        folder: Name of the run folder.
        summary: ``summary.json``.
        recipe: ``recipe.yaml``, as text.
        trainings: The training of the run, or of each of its phases.
        environment: ``environment.json``; of phases, that of the last that trained.
        rows: Lines of ``rows.jsonl``.
        intervals: ``intervals.json``.
        tokens: Lines of ``tokens.jsonl``.
        evaluations: ``evaluation/*.json`` of the model that is in the folder now.
        attacks: ``attacks/*.json`` of the model that is in the folder now.
        inspection: The newest ``inspection/depth*.json`` of the model that is in the folder now.
        verdict: What all of it comes to.
        goals: Goals of the recipe, and whether each is met.
        left_out: What the report lacks and why, a sentence each.
    """

    folder: str
    summary: Mapping[str, Any]
    recipe: str = ""
    trainings: Sequence[Training] = ()
    environment: Mapping[str, Any] | None = None
    rows: Sequence[Mapping[str, Any]] = ()
    intervals: Intervals = field(default_factory=dict)
    tokens: Sequence[Mapping[str, Any]] = ()
    evaluations: Sequence[LaterEvaluation] = ()
    attacks: Sequence[Mapping[str, Any]] = ()
    inspection: Mapping[str, Any] | None = None
    verdict: Verdict | None = None
    goals: Sequence[GoalResult] = ()
    left_out: Sequence[str] = ()
