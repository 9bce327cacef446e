"""Tries many attacks, and sums them up in one number."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.cells import chosen_cells, read_cells
from unlearnkit.data.tokens.kept import cache_folder
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel
from unlearnkit.suites.parts.digest import digest, fingerprint_of

FIGURE = "exact_memorization"
"""The metric of the one figure, of forget rows that the attacker did not see."""
LEAK = "leak_rate"
BENIGN = "tiny/normal.jsonl"
_DOMAIN = ("neighbour", "retain")
_RESAMPLES = 1000


@dataclass(frozen=True)
class Cells:
    """What a grid tries, by the name of the cell."""

    chosen: dict[str, dict[str, Any]]
    left_out: list[str]


class Grid(Attack, name="grid"):
    """Try every attack of a grid, beside gold: one number says how much comes back.

    Each cell is an attack with its options. Cells are kept in the cache folder, by the digests of
    model, rows, options and code: a grid that was stopped goes on where it was, and a gold model is
    attacked once for all models beside it. A curve has one mapping per reading of a cell, that of
    the untouched model first: ``cell``, ``forget/exact_memorization`` of rows that the attacker did
    not see, and ``forget/leak_rate`` where answers are sampled.

    The metric ``comes back`` is the mean over cells of (exact memorisation minus that of the gold
    model), where a cell counts by the mean of its readings. Its interval of 95 % resamples cells,
    and so says how much it depends on which attacks are tried, not on which rows are asked.

    Args:
        cells: Names of cells, such as ``relearn*,noise``; by default all.
        grid: A YAML file of cells, in place of the package's.
        domain: A stream or file of rows of the same domain that the attacker trains on; by default
            the recipe's stream ``neighbour``, or else ``retain``.
        benign: A stream or file of benign rows that the attacker trains on.
        steps: Training steps at most.
        seconds: Time after which no further cell is begun for a model.
        limit: Rows measured at most, evenly spaced.

    References:
        Che et al. 2025, "Model tampering attacks enable more rigorous evaluations of LLM
        capabilities", arXiv 2502.05209, for the worst of many attacks in place of one.
    """

    def __init__(
        self,
        cells: str | None = None,
        grid: str | None = None,
        domain: str | None = None,
        benign: str = BENIGN,
        steps: int = 100,
        seconds: float | None = None,
        limit: int = 16,
    ) -> None:
        if steps < 1:
            raise UserError(f"--steps: expected at least 1, found {steps}", title="usage")
        if seconds is not None and not seconds > 0:
            raise UserError(f"--seconds: expected above 0, found {seconds}", title="usage")
        self.cells, self.grid, self.domain, self.benign = cells, grid, domain, benign
        self.steps, self.seconds, self.limit = steps, seconds, check_limit(limit)
        self._tried: set[str] = set()
        self._refused: dict[str, str] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """The options that decide what is found, which the time is not."""
        return {name: value for name, value in super().settings.items() if name != "seconds"}

    def prepare(self, target: Target) -> Cells:
        """The cells, each of which takes the rows.

        Raises:
            UserError: If a cell does not, by its name.
        """
        self._tried, self._refused = set(), {}
        domain = self.domain or next((n for n in _DOMAIN if n in target.context.data), None)
        all_cells = read_cells(self.grid, {"domain": domain, "benign": self.benign})
        chosen = {
            name: self._within(options)
            for name, options in chosen_cells(all_cells, self.cells).items()
        }
        for name, options in chosen.items():
            try:
                attack_of(options).prepare(target)
            except UserError as error:
                raise type(error)(f"cell {name}: {error}") from error
        left_out = (
            [] if domain else ["cells with data=domain: no rows of the same domain are named"]
        )
        return Cells(chosen, left_out)

    def _within(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a cell within the limits of the grid."""
        given = {"limit": self.limit, **options}
        if "steps" in given:
            given["steps"] = min(given["steps"], self.steps)
            given["at"] = [step for step in given.get("at") or () if step <= given["steps"]] or None
        return given

    def notes(self, rows: Cells, target: Target) -> list[str]:
        """Cells without rows, and those that a model refused."""
        refused = [f"cell {name} is left out: {why}" for name, why in self._refused.items()]
        return [*rows.left_out, *refused]

    def run(self, base: str | BaseModel, rows: Cells, target: Target) -> Curve:
        """Tries the cells that are not kept yet.

        Raises:
            UserError: If the time is over before all cells are tried.
        """
        started = time.monotonic()
        curve: Curve = []
        for i, (name, options) in enumerate(rows.chosen.items()):
            if name in self._refused:
                continue
            if self.seconds is not None and time.monotonic() - started > self.seconds:
                raise UserError(
                    f"grid: the {self.seconds:g} seconds are over after {i} of {len(rows.chosen)} "
                    "cells.",
                    hint="What was found is kept: the same command goes on. Or name fewer --cells.",
                )
            try:
                found = _kept_curve(attack_of(options), target, base)
            except UserError as error:
                if name in self._tried:  # the curves of all models have the same points
                    raise
                self._refused[name] = str(error)
                continue
            self._tried.add(name)
            curve += readings(name, found, first=not curve)
        if not curve:
            raise UserError(f"grid: no cell can be tried: {'; '.join(self._refused.values())}")
        return curve

    def figures(self, curves: Mapping[str, Curve]) -> dict[str, float]:
        """How much comes back, with its interval; without a gold model, nothing."""
        if len(curves) < 2:
            return {}
        gaps = gaps_of(*list(curves.values())[:2])
        if not gaps:
            return {}
        drawn = np.random.default_rng(0).choice(gaps, (_RESAMPLES, len(gaps))).mean(1)
        low, high = np.percentile(drawn, (2.5, 97.5))
        return {
            "comes back": fmean(gaps),
            "comes back, 2.5 %": float(low),
            "comes back, 97.5 %": float(high),
        }


def attack_of(options: Mapping[str, Any]) -> Attack:
    """The attack of a cell."""
    given = dict(options)
    cls: Any = Attack.registered()[given.pop("attack")]
    return cls(**given)


def readings(name: str, curve: Curve, *, first: bool) -> Curve:
    """The points of a cell's curve as points of the grid's.

    Args:
        name: Of the cell.
        curve: Of its attack.
        first: Whether the point of the untouched model is wanted too.

    Example:
        >>> curve = [{"step": 0, "others/exact_memorization": 0.0},
        ...          {"step": 5, "others/exact_memorization": 0.5}]
        >>> [point["cell"] for point in readings("relearn", curve, first=False)]
        ['relearn, step 5']
    """
    by = next(iter(curve[0]))
    untouched = curve[0][by] in (None, 0) and by != "layer"
    found: Curve = []
    for point in curve[0 if first or not untouched else 1 :]:
        values = {key.partition("/")[2]: v for key, v in point.items() if not _is_own(key, by)}
        is_start = point is curve[0] and untouched
        found.append(
            {
                "cell": None if is_start else f"{name}, {by} {point[by]}",
                f"forget/{FIGURE}": values.get(FIGURE),
                f"forget/{LEAK}": values.get(LEAK),
            }
        )
    return found


def gaps_of(curve: Curve, gold: Curve) -> list[float]:
    """For each cell that both curves have, the mean of (exact memorisation minus gold's).

    Example:
        >>> key = "forget/exact_memorization"
        >>> curve = [{"cell": "a, step 5", key: 0.5}, {"cell": "a, step 20", key: 1.0}]
        >>> gaps_of(curve, [{"cell": "a, step 5", key: 0.25}, {"cell": "a, step 20", key: 0.25}])
        [0.5]
    """
    beside = {point["cell"]: point[f"forget/{FIGURE}"] for point in gold}
    gaps: dict[str, list[float]] = {}
    for point in curve:
        cell, value = point["cell"], point[f"forget/{FIGURE}"]
        if cell is not None and value is not None and beside.get(cell) is not None:
            gaps.setdefault(cell.rpartition(", ")[0], []).append(value - beside[cell])
    return [fmean(each) for each in gaps.values()]


def _is_own(key: str, by: str) -> bool:
    """Whether it is not of rows that the attacker did not see."""
    return key == by or key.startswith("trained/")


def _kept_curve(attack: Attack, target: Target, base: str | BaseModel) -> Curve:
    """The attack's curve, from the cache folder if it is there."""
    from unlearnkit.attacks.kept import attack_and_keep

    folder, model = cache_folder(), fingerprint_of(base)
    if folder is None or model is None:
        return attack.run(base, attack.prepare(target), target)
    place = folder / "attacks" / digest(model).rpartition(":")[2]
    kept = attack_and_keep(attack, target, {"model": base}, place)
    return kept.attack.curves["model"]
