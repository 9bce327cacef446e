"""Suites while the training runs, and the best model of those that they saw."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import lightning as L
import torch
from torch import Tensor

from unlearnkit.callbacks.base import NamedCallback
from unlearnkit.engine.step.figures import ends_step
from unlearnkit.engine.training.fsdp2 import is_sharded
from unlearnkit.errors import RecipeError
from unlearnkit.suites.base import Suite, SuiteContext

logger = logging.getLogger(__name__)


class EvaluateEvery(NamedCallback, name="evaluate_every"):
    """Runs the recipe's suites every few steps and keeps the model with the best score.

    Figures are logged as ``val/<suite>/<figure>``, and the score as ``val/score``: the harmonic
    mean of the chosen figures, those that should be low as one minus their value, so that neither
    a model that forgot everything nor one that forgot nothing scores well. Lightning's
    ``ModelCheckpoint`` may monitor any of them.

    Args:
        steps: Optimiser steps between evaluations.
        score: Figures in [0, 1] that make the score, as ``<suite>/<figure>``; None for no score.
        limit: Rows of each kind at most; None for as many as the suites themselves take.
        restore_best: End the training with the weights of the best score seen; they are kept in
            main memory meanwhile.

    Raises:
        RecipeError: If ``steps`` or ``limit`` is below 1; from the fit, if a figure of the score
            is unknown, outside [0, 1], or good in neither direction, or if there is no suite.
    """

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
        self.best_step: int | None = None
        self.best_score = -1.0
        self._best: dict[str, Tensor] = {}
        self._last = -1

    def use(self, suites: Sequence[Suite], context: SuiteContext) -> None:
        """Tells what to run, and on which streams; a run does so before it trains."""
        self.suites, self.context = [self._small(suite) for suite in suites], context

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuses what could not be evaluated.

        Raises:
            RecipeError: Without a suite, or for a model whose weights are sharded.
        """
        if not self.suites:
            raise RecipeError(
                "evaluate_every: the recipe names no suite", hint="Add evaluate: [copyright]."
            )
        if is_sharded(trainer):
            raise RecipeError(
                "evaluate_every: it cannot run while the weights are sharded",
                hint="Leave it out; suites run before and after.",
            )

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Evaluates, if it is this step's turn and the step is complete."""
        step = trainer.global_step
        if step % self.steps or step == self._last or not ends_step(trainer):
            return
        self._last = step
        values = self._values(trainer, pl_module)
        score = None if self.score is None else self._score(values)
        figures = {f"val/{name}": value for name, value in values.items() if value is not None}
        if score is not None:
            figures["val/score"] = score
        for name, value in figures.items():
            # To be monitored; Lightning's own loggers would repeat the values at later steps.
            pl_module.log(name, value, logger=False, rank_zero_only=True)
        for log in trainer.loggers:
            log.log_metrics(figures, step=step)
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
        """Figures of all suites, the same on all processes."""
        model = pl_module.policy
        tokenizer = trainer.datamodule.tokenizer  # pyright: ignore
        found: dict[str, float | None] = {}
        # Suites may draw random numbers; the training must not notice.
        devices = [pl_module.device] if pl_module.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            for suite in self.suites:
                result = suite.run(model, tokenizer, self.context)  # pyright: ignore
                name = suite.registered_name or type(suite).__name__
                found |= {f"{name}/{key}": value for key, value in result.values.items()}
        return found

    def _score(self, values: dict[str, float | None]) -> float | None:
        """The score; None where a figure has nothing to measure."""
        parts: list[float] = []
        for name in self.score or ():
            if name not in values:
                raise RecipeError(
                    f"evaluate_every.score: there is no figure '{name}'",
                    hint=f"Figures: {', '.join(values)}.",
                )
            value, better = values[name], self._better(name)
            if value is None:
                logger.warning("evaluate_every.score: '%s' has nothing to measure, so there is "
                               "no score at this step", name)  # fmt: skip
                return None
            if not 0 <= value <= 1 or better not in ("lower", "higher"):
                raise RecipeError(
                    f"evaluate_every.score: '{name}' is {value:g}; expected a figure in [0, 1] "
                    "that is good when it is low, or when it is high"
                )
            parts.append(1 - value if better == "lower" else value)
        return 0.0 if min(parts) == 0 else len(parts) / sum(1 / part for part in parts)

    def _better(self, name: str) -> str | None:
        suite_name, _, figure = name.partition("/")
        for suite in self.suites:
            if (suite.registered_name or type(suite).__name__) == suite_name:
                patterns = suite.better.items()
                return next((way for key, way in patterns if fnmatchcase(figure, key)), None)
        return None

    def _small(self, suite: Suite) -> Suite:
        """The suite on fewer rows; the recipe's own is left as it is."""
        small = copy.copy(suite)
        own = getattr(small, "limit", None)
        if self.limit is not None and hasattr(small, "limit"):
            small.limit = self.limit if own is None else min(own, self.limit)  # pyright: ignore
        return small
