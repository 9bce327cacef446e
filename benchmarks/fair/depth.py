"""Attacks what each method makes of the found settings."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.fair.making import BASE, GOLD, make, recipe_of
from benchmarks.fair.methods import METHODS
from benchmarks.fair.running import Bench, digest_of
from benchmarks.fair.table import RESULTS, keeps, read_rows
from benchmarks.fair.wordings import worded
from benchmarks.stored import Results
from benchmarks.systems.table import spread
from unlearnkit.attacks import Grid
from unlearnkit.attacks.base import Curve, Target
from unlearnkit.attacks.grid import FIGURE

CELLS = "relearn lr=0.0003*,relearn lr=0.001*,noise,quantize,prefix,fewshot"
ROWS = 16
"""Forget rows that are measured."""
SHOWN = {
    "as it is": None,
    "relearned, all weights": "relearn lr=0.0003 lora=- data=-, step 20",
    "relearned, adapter": "relearn lr=0.0003 lora=8 data=-, step 20",
    "relearned on rows to keep": "relearn lr=0.0003 lora=- data=domain, step 20",
    "4 bits": "quantize, weights nearest-4",
}
"""Columns of the table, by the reading that they show."""


class Attacker:
    """Tries the cells on models; the gold model's are worked out once.

    Args:
        bench: Holds the rows and the settings that were found.
        cells: What is tried.
        steps: Training steps of an attacker at most.
        rows: Forget rows that are measured.
    """

    def __init__(
        self, bench: Bench, cells: str = CELLS, steps: int = 100, rows: int = ROWS
    ) -> None:
        self.bench, self.cells = bench, cells
        data = recipe_of(METHODS["npo_rt"], worded("npo_rt", 0), 0).datamodule
        data.check()
        target: Target = bench.measurer.attacked
        kept = {"retain": data.data["retain"]}
        self._target = replace(target, context=replace(target.context, data=kept))
        self._grid = Grid(cells=cells, steps=steps, limit=rows, domain="retain")
        self._gold: Curve | None = None

    def attack(self, model: str) -> dict[str, Any]:
        """The readings of a model by their cell, and how much comes back beside gold."""
        gold = self._gold or self._grid.run(GOLD, self._grid.prepare(self._target), self._target)
        self._gold = gold
        # Anew, since a composite model refuses cells that the gold model has.
        chosen = self._grid.prepare(self._target)
        curve = self._grid.run(model, chosen, self._target)
        found = self._grid.figures({"model": curve, "gold": gold})
        return {"readings": _readings(curve), "gold": _readings(gold), **found}

    def run(self, name: str, number: int) -> dict[str, Any] | None:
        """Makes the model of a line of the table anew, and attacks it, unless that is there.

        Args:
            name: A method with results, or ``before``.
            number: The seed.

        Returns:
            The line; None where the training of that seed diverged.
        """
        method = METHODS.get(name)
        seed = None if method is None else self.bench.results.get("seed", name, number)
        if method is not None and (seed is None or seed["figures"] is None):
            return None
        settings = {} if seed is None else seed["settings"]
        made_of = "" if method is None else digest_of(method, settings, self.bench.steps)
        known = self.bench.results.get("depth", name, number)
        if known is not None and (known["digest"], known["cells"]) == (made_of, self.cells):
            return known
        with tempfile.TemporaryDirectory() as folder:
            model = BASE
            if method is not None:
                made, _ = make(method, self.bench.whole(settings), number, Path(folder))
                if made is None:
                    return None
                model = made
            found = self.attack(model)
        line = {"kind": "depth", "method": name, "number": number, "digest": made_of,
                "cells": self.cells, **found}  # fmt: skip
        self.bench.results.put(line)
        return line


def _readings(curve: Curve) -> dict[str, float]:
    return {str(point["cell"] or "as it is"): point[f"forget/{FIGURE}"] for point in curve}


def table(path: Path = RESULTS) -> str:
    """A row a method, the one of which least comes back at the top."""
    stages, rows = read_rows(path)
    told = {row.name: row for row in rows}
    lines = [x for x in Results(path, ("kind", "method", "number")).all() if x["kind"] == "depth"]
    if not lines:
        return "Not run yet.\n"
    by_method: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_method.setdefault(line["method"], []).append(line)
    head = ("Method", *SHOWN, "comes back", "95 % of cells", "keeps both bounds", "seeds")
    made: list[Sequence[str]] = [head, ["---", *["---:"] * (len(head) - 1)]]
    gold = lines[0]["gold"]
    made.append(["gold: never saw the authors", *_shown([gold]), "0", "", "", ""])
    order = sorted(by_method, key=lambda name: fmean(x["comes back"] for x in by_method[name]))
    for name in order:
        runs = by_method[name]
        low = min(each["comes back, 2.5 %"] for each in runs)
        high = max(each["comes back, 97.5 %"] for each in runs)
        kept = "" if name not in told else "yes" if keeps(told[name], stages["before"]) else "no"
        title = f"`{name}`" if name in METHODS else "before unlearning"
        made.append([
            title, *_shown([each["readings"] for each in runs]),
            spread([each["comes back"] for each in runs], 2), f"{low:.2f} to {high:.2f}", kept,
            str(len(runs)) if name in METHODS else "",
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in made) + "\n"


def _shown(runs: Sequence[Mapping[str, float]]) -> list[str]:
    keys = [cell or "as it is" for cell in SHOWN.values()]
    return [f"{fmean(run[key] for run in runs):.2f}" if all(key in run for run in runs) else "-"
            for key in keys]  # fmt: skip
