"""Evaluates suites during training, and keeps the model with the best score."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor

from unlearnkit.callbacks.base import NamedCallback
from unlearnkit.data.datamodule import datamodule_of
from unlearnkit.engine.generation.dealing import Ranks, dealt
from unlearnkit.engine.step.step_metrics import ends_step
from unlearnkit.errors import RecipeError
from unlearnkit.suites.base import Suite, SuiteContext
from unlearnkit.suites.meaning import address, meaning

logger = logging.getLogger(__name__)


class EvaluateEvery(NamedCallback, name="evaluate_every"):
    """Runs the recipe's suites every few steps and keeps the model with the best score.

    Values are logged as ``val/<suite>/<stream>/<metric>``, and the score as ``val/score``: the
    harmonic mean of the chosen metrics, those that should be low as one minus their value, so that
    neither a model that forgot everything nor one that forgot nothing scores well. Lightning's
    ``ModelCheckpoint`` and ``EarlyStopping`` may monitor any of them, with or without ``val/``.

    Args:
        steps: Optimiser steps between evaluations.
        score: Metrics in [0, 1] that make the score, as ``<suite>/<stream>/<metric>``, or
            ``<stream>/<metric>`` if the recipe has one suite; None for no score.
        limit: Rows of each kind at most; None for as many as the suites themselves take.
        restore_best: End the training with the weights of the best score seen; they are kept in
            main memory meanwhile.

    Raises:
        RecipeError: If ``steps`` or ``limit`` is below 1; from the fit, if a metric of the score
            is unknown, outside [0, 1], or good in neither direction, or if there is no suite.
    """

    acts_at = "steps"

    def __init__(
        self,
        steps: int = 50,
        score: list[str] | None = None,
        limit: int | None = 16,
        restore_best: bool = True,
    ) -> None:
        for key, value in (("steps", steps), ("limit", limit)):
            if value is not None and value < 1:
                raise RecipeError(f"evaluate_every.{key}: expected at least 1, found {value}")
        self.steps, self.score, self.limit = steps, score, limit
        self.restore_best = restore_best and score is not None
        self.suites: list[Suite] = []
        self.context = SuiteContext()
        self.ranks: Ranks | None = None
        self.best_step: int | None = None
        self.best_score = -1.0
        self._best: dict[str, Tensor] = {}
        self._last = -1

    def check(self, suites: Sequence[Suite]) -> None:
        """Checks the metrics of the score; no model is needed.

        Raises:
            RecipeError: If no suite measures one of them, or it is good in neither direction.
        """
        for key in self.score or ():
            suite, _, name = address(key, suites, "evaluate_every.score").partition("/")
            by_name = {each.name: each for each in suites}
            if meaning(by_name[suite], name).direction not in ("up", "down"):
                raise RecipeError(
                    f"evaluate_every.score: '{key}' is good neither when it is low nor when it is "
                    "high"
                )

    def use(self, suites: Sequence[Suite], context: SuiteContext) -> None:
        """Sets what to run, and on which streams; a run does so before it trains."""
        self.suites, self.context = [limited(suite, self.limit) for suite in suites], context

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuses what could not be evaluated, and joins the processes.

        Raises:
            RecipeError: Without a suite.
        """
        if not self.suites:
            raise RecipeError(
                "evaluate_every: the recipe names no suite", hint="Add evaluate: [copyright]."
            )
        self.ranks = Ranks.joined()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Evaluates, if it is this step's turn and the step is complete."""
        step = trainer.global_step
        if step % self.steps or step == self._last or not ends_step(trainer):
            return
        self._last = step
        values = self._values(trainer, pl_module)
        score = None if self.score is None else self._score(values)
        metrics = {f"val/{name}": value for name, value in values.items() if value is not None}
        if score is not None:
            metrics["val/score"] = score
        for name, value in metrics.items():
            # To be monitored; Lightning's own loggers would repeat the values at later steps.
            pl_module.log(name, value, logger=False, rank_zero_only=True)
        for log in trainer.loggers:
            log.log_metrics(metrics, step=step)
        if score is not None and score > self.best_score:
            self.best_score, self.best_step = score, step
            if self.restore_best:
                self._best = {
                    name: parameter.detach().cpu().clone()
                    for name, parameter in pl_module.named_parameters()
                    if parameter.requires_grad
                }

    @torch.no_grad()
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Puts the best weights back."""
        if not self._best:
            return
        for name, parameter in pl_module.named_parameters():
            if name in self._best:
                parameter.copy_(self._best[name])
        self._best = {}
        logger.warning(
            "evaluate_every: the model is that of step %d, with the best score %.3f",
            self.best_step,
            self.best_score,
        )

    def _values(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, float | None]:
        """Values of all suites, the same on all processes."""
        model = pl_module.policy
        tokenizer = datamodule_of(trainer).tokenizer
        found: dict[str, float | None] = {}
        # Suites may draw random numbers; the training must not depend on them.
        devices = [pl_module.device] if pl_module.device.type == "cuda" else []
        with torch.random.fork_rng(devices), dealt(self.ranks):
            for suite in self.suites:
                result = suite.run(model, tokenizer, self.context)  # pyright: ignore
                found |= {f"{suite.name}/{key}": value for key, value in result.values.items()}
        return found

    def _score(self, values: dict[str, float | None]) -> float | None:
        """The score; None if a metric has nothing to measure."""
        by_name = {suite.name: suite for suite in self.suites}
        parts: list[float] = []
        for key in self.score or ():
            full = address(key, self.suites, "evaluate_every.score")
            if full not in values:
                raise RecipeError(
                    f"evaluate_every.score: '{key}' is not measured in this run",
                    hint=f"Measured: {', '.join(values)}.",
                )
            suite, _, name = full.partition("/")
            value, good = values[full], meaning(by_name[suite], name).direction
            if value is None:
                logger.warning("evaluate_every.score: '%s' has nothing to measure, so there is "
                               "no score at this step", key)  # fmt: skip
                return None
            if not 0 <= value <= 1:
                raise RecipeError(
                    f"evaluate_every.score: '{key}' is {value:g}; expected a metric in [0, 1]"
                )
            parts.append(1 - value if good == "down" else value)
        return 0.0 if min(parts) == 0 else len(parts) / sum(1 / part for part in parts)


def limited(suite: Suite, limit: int | None) -> Suite:
    """A copy of a suite on fewer rows of each kind; None for as many as it takes itself."""
    small = copy.copy(suite)
    own = getattr(small, "limit", None)
    if limit is not None and hasattr(small, "limit"):
        small.limit = limit if own is None else min(own, limit)  # pyright: ignore
    return small


def check_addresses(trainer: L.Trainer, suites: Sequence[Suite]) -> None:
    """Checks the metrics that callbacks name, and gives monitors the names that are logged.

    Raises:
        RecipeError: If no suite measures one of them, or none while the training runs.
    """
    callbacks: list[Any] = trainer.callbacks  # pyright: ignore
    measuring = [each for each in callbacks if isinstance(each, EvaluateEvery)]
    for each in measuring:
        each.check(suites)
    for each in callbacks:
        monitor = getattr(each, "monitor", None)
        if not isinstance(monitor, str) or monitor == "val/score":
            continue
        key, field = monitor.removeprefix("val/"), f"{type(each).__name__}.monitor"
        first = key.partition("/")[0]
        names = {name for suite in suites for name in (suite.name, *suite.probes)}
        if key == monitor and first not in names:
            continue  # of the training, or logged by a callback of the user's own
        full = address(key, suites, field)
        if not measuring:
            raise RecipeError(
                f"{field}: '{key}' is not measured while the training runs",
                hint="Add the callback {name: evaluate_every, steps: 50}.",
            )
        each.monitor = f"val/{full}"
