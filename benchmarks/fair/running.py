"""Runs trials and seeds that are not there yet."""

from __future__ import annotations

import gc
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fair.making import BASE, GOLD, make, trained
from benchmarks.fair.measuring import DISTANCE, Measurer
from benchmarks.fair.methods import METHODS, Method
from benchmarks.stored import Results
from unlearnkit.search.found import Settings, TrialResult
from unlearnkit.search.study import Report, search_recipe
from unlearnkit.search.wanted import Values, Wanted

KEY = ("kind", "method", "number")
TOWARDS = {DISTANCE: 0, "forget/exact_memorization": "gold"}
KEEP = {"utility/model_utility": "0.95 * before", "neighbour/rougeL_recall": "0.9 * before"}
WANTED = Wanted.parse(TOWARDS, KEEP)
SHIPPED = 0
"""Number of the trial with the settings as shipped; a search's trials are counted from 1."""


@dataclass
class Bench:
    """Searches and reports methods; what has a line is not made again.

    Args:
        results: The JSON-lines file.
        measurer: Measures models.
        steps: Optimiser steps of every training, in place of those that are searched; for tests.
    """

    results: Results
    measurer: Measurer
    steps: int | None = None
    stages: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)

    def measure_stages(self) -> None:
        """Measures the model before unlearning and the gold model."""
        for name, model in (("before", BASE), ("gold", GOLD)):
            line = self.results.get("stage", name, 0)
            if line is None:
                line = {
                    "kind": "stage", "method": name, "number": 0,
                    "values": self.measurer.chosen_by(model),
                    "figures": self.measurer.reported(model),
                }  # fmt: skip
                self.results.put(line)
            self.stages[name] = line["values"]

    def search(self, name: str, trials: int) -> TrialResult:
        """The best of ``trials`` trials, the settings as shipped being the first of them."""
        best = [self._trial(name, SHIPPED, {})]
        if trials > 1:
            numbers = iter(range(1, trials))

            def run(settings: Settings, report: Report) -> Values:
                return self._trial(name, next(numbers), settings).values

            with tempfile.TemporaryDirectory() as folder:
                # The sampler draws by seed and values alone: what is stored is drawn again.
                search_recipe(
                    run, search=METHODS[name].space(), towards=TOWARDS, keep=KEEP,
                    before=self.stages["before"], gold=self.stages["gold"],
                    trials=trials - 1, name=name,
                    storage=f"sqlite:///{folder}/study.db",
                )  # fmt: skip
            best += [self._stored(name, number) for number in range(1, trials)]
        return min(best, key=lambda each: each.rank)

    def report(self, name: str, best: TrialResult, trials: int, seed: int) -> dict[str, Any]:
        """Measures the best settings with a seed, on the reporting rows."""
        method = METHODS[name]
        known = self.results.get("seed", name, seed)
        digest = digest_of(method, best.settings, self.steps)
        if known is not None and known["digest"] == digest:
            if known["trials"] != trials:
                self.results.put({**known, "trials": trials})
            return known
        with tempfile.TemporaryDirectory() as folder:
            made, seconds = make(method, self.whole(best.settings), seed, Path(folder))
            figures = None if made is None else self.measurer.reported(made)
        line = {
            "kind": "seed", "method": name, "number": seed, "digest": digest, "trials": trials,
            "trial": best.number, "settings": best.settings, "feasible": best.feasible,
            "distance": best.distance, "seconds": round(seconds, 2), "figures": figures,
        }  # fmt: skip
        self.results.put(line)
        return line

    def _trial(self, name: str, number: int, settings: Settings) -> TrialResult:
        method = METHODS[name]
        digest = digest_of(method, settings, self.steps)
        known = self.results.get("trial", name, number)
        if known is None or known["digest"] != digest:
            with tempfile.TemporaryDirectory() as folder:
                whole = self.whole(settings)
                if method.edit:
                    made, seconds = make(method, whole, 0, Path(folder))
                else:
                    made, seconds = trained(method, whole, 0)
                values = {} if made is None else self.measurer.chosen_by(made)
            gc.collect()  # Lightning's trainer and the module hold each other, and a model
            self.results.put({
                "kind": "trial", "method": name, "number": number, "digest": digest,
                "settings": settings, "values": values, "seconds": round(seconds, 2),
            })  # fmt: skip
        return self._stored(name, number)

    def whole(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with the steps of a test, where they are given."""
        fixed = {} if self.steps is None else {"trainer.max_steps": self.steps}
        return {**settings, **fixed}

    def _stored(self, name: str, number: int) -> TrialResult:
        line = self.results.get("trial", name, number)
        assert line is not None, "it was written before"
        values = line["values"]
        return TrialResult(
            number, line["settings"], "complete", WANTED.distance(values, self.stages), values,
            WANTED.violations(values, self.stages), line["seconds"],
        )  # fmt: skip


def digest_of(method: Method, settings: Mapping[str, Any], steps: int | None) -> str:
    """Digest of all that a trial is made of: the recipe with its settings."""
    made = json.dumps([method.document().tree, method.edit, dict(method.options), dict(settings),
                       steps], sort_keys=True)  # fmt: skip
    return hashlib.sha256(made.encode()).hexdigest()[:12]
