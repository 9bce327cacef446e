"""Measures a model on rows that choose, or that are reported."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.fair.making import BASE, GOLD
from benchmarks.fair.rows import CHOOSING, REPORTING, TRAINED
from unlearnkit.attacks import Relearn
from unlearnkit.attacks.base import Target
from unlearnkit.attacks.target import target_of
from unlearnkit.engine.generation.scoring import score
from unlearnkit.metrics import ExactMemorization
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites.base import SuiteContext
from unlearnkit.suites.parts.bootstrap import bootstrap
from unlearnkit.suites.tofu import Tofu

Values = dict[str, float | None]
DISTANCE = "forget/ks_distance"
REPORTED = (DISTANCE, "utility/model_utility", "neighbour/rougeL_recall", "retain/rougeL_recall",
            "heldout/rougeL_recall", "forget/truth_ratio", "forget/probability")  # fmt: skip
CHOSEN_BY = (DISTANCE, "forget/exact_memorization", "utility/model_utility",
             "neighbour/rougeL_recall")  # fmt: skip
_RESAMPLES = 300


@dataclass
class Measurer:
    """Measures models; the gold model's values are worked out once.

    Args:
        rows: Folder with the rows, as `write_rows` writes it.
        limit: Rows of each kind at most; None for all.
        relearning: Optimiser steps of the attacker.
    """

    rows: Path
    limit: int | None = None
    relearning: int = 20
    _context: SuiteContext = field(init=False)
    _suites: dict[str, Tofu] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Loads tokenizer and gold model."""
        self.tokenizer = load_tokenizer(BASE)
        self._context = SuiteContext(gold=load_model(GOLD), kept={})

    def chosen_by(self, model: Any) -> Values:
        """What a trial is judged by; of a model in memory, or of one that is named."""
        loaded: Any = load_model(model) if isinstance(model, str) else model
        result = self._suite(CHOOSING).run(loaded, self.tokenizer, self._context)
        return {key: _known(result.values[key]) for key in CHOSEN_BY}

    def reported(self, model: str) -> dict[str, Any]:
        """What the table says, with the interval of D over rows."""
        loaded = load_model(model)
        suite = self._suite(REPORTING)
        result = suite.run(loaded, self.tokenizer, self._context)
        forget = [row for row in result.rows if row["stream"] == "forget"]
        interval = bootstrap(suite, forget, resamples=_RESAMPLES).get(DISTANCE)
        target = self.attacked
        attack = Relearn(
            rows=8 if self.limit is None else 1,
            steps=self.relearning,
            every=self.relearning,
            lr=3e-4,
        )
        curve = attack.run(model, attack.prepare(target), target)
        scores = score(loaded, target.examples)
        known = ExactMemorization()(scores.correct, scores.sequence, scores.sequences)
        return {
            **{key: _known(result.values[key]) for key in REPORTED},
            "interval": interval,
            "exact_memorization": float(known),
            "relearned": curve[-1]["others/exact_memorization"],
            "relearned_before": curve[0]["others/exact_memorization"],
        }

    @property
    def attacked(self) -> Target:
        """The reported authors' rows in a wording that losses see."""
        return target_of(self._suite(TRAINED), self.tokenizer, self._context)

    def _suite(self, folder: str) -> Tofu:
        # One suite for all models: what it measured of the gold model is kept by it.
        if folder not in self._suites:
            self._suites[folder] = Tofu(
                str(self.rows / folder),
                "forget50",
                neighbour="neighbour_perturbed",
                max_new_tokens=24,
                limit=self.limit,
            )
        return self._suites[folder]


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def one_thread() -> None:
    """Keeps torch to one thread, so that processor times can be compared."""
    torch.set_num_threads(1)
