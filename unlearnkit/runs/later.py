"""Reads evaluations and attacks that were added to a run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from unlearnkit.attacks import read_attack
from unlearnkit.report.contents import LaterEvaluation
from unlearnkit.runs.evaluate import fingerprint_of, read_evaluation
from unlearnkit.runs.folder import Run


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


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {k: v for k, v in values.items() if v is not None and math.isfinite(v)}
