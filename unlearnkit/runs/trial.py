"""Trial of a search: trained and measured in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import nn

from unlearnkit.callbacks.collapse_stop import CollapseStop, TrainingDiverged
from unlearnkit.callbacks.evaluate_every import EvaluateEvery, limited
from unlearnkit.engine.generation.sampling import draw_for
from unlearnkit.engine.step.step_metrics import ends_step
from unlearnkit.errors import RecipeError
from unlearnkit.runs.measure import Results, measure
from unlearnkit.runs.preflight import Planned, preflight
from unlearnkit.runs.ranks import plain_copy
from unlearnkit.suites.base import Suite, SuiteContext

Metrics = dict[str, float | None]
"""Values by ``<suite>/<stream>/<metric>``."""
Rows = Sequence[Mapping[str, Any]]
Choose = Callable[[Rows], Rows]
"""Takes rows of a suite, gives those that count."""
Report = Callable[[int, Metrics], None]
LOOKS = 2
"""Evaluations while a trial trains, evenly spaced."""
_LOOK_ROWS = 16


@dataclass
class Measurer:
    """Measures models by the rows that count.

    Args:
        suites: What is run.
        gold: The gold model's name, for suites that compare with it.
        choose: Which rows count.
        device: Of the gold model.
    """

    suites: Sequence[Suite]
    gold: str | None
    choose: Choose
    device: torch.device
    _gold: nn.Module | None = field(default=None, init=False)

    def gold_model(self) -> nn.Module | None:
        """The gold model, loaded once, where a suite compares with it."""
        if self._gold is None and self.gold and any(suite.uses_gold for suite in self.suites):
            self._gold = plain_copy(self.gold, self.device)
        return self._gold

    def metrics(self, results: Results) -> Metrics:
        """Values from those rows of the results that count."""
        return self.of_rows({suite: result.rows for suite, result in results.items()})

    def of_rows(self, rows: Mapping[str, Rows]) -> Metrics:
        """Values from those rows that count, given the rows of each suite."""
        found: Metrics = {}
        for suite in self.suites:
            values = suite.aggregate(self.choose(rows[suite.name]))
            known = {
                k: v if v is not None and math.isfinite(v) else None for k, v in values.items()
            }
            found |= {f"{suite.name}/{key}": value for key, value in known.items()}
        return found


def stages(planned: Planned) -> dict[str, Results]:
    """Results of the starting model and of the gold model, on all rows.

    Args:
        planned: The run; no weight of it is read or changed.
    """
    preflight(planned)
    device = planned.trainer.strategy.root_device
    context = SuiteContext.of(planned.data, planned.seed)
    tokenizer = planned.data.tokenizer
    gold = plain_copy(planned.gold, device) if planned.gold else None
    models: dict[str, nn.Module] = {"before": plain_copy(planned.module.base, device)}
    if gold is not None:
        models["gold"] = gold
    return {
        stage: measure(model, tokenizer, planned.suites, context, gold=gold)
        for stage, model in models.items()
    }


def trial(planned: Planned, measurer: Measurer, report: Report, *, reference: bool) -> Metrics:
    """Trains a model and measures it; nothing is written.

    Args:
        planned: The run.
        measurer: Counts rows.
        report: Called with a step and the metrics of fewer rows, twice while it trains.
        reference: Whether a metric compares with the starting model.

    Returns:
        Metrics after training; empty if the training diverged.
    """
    batches = preflight(planned)
    module, data, trainer = planned.module, planned.data, planned.trainer
    L.seed_everything(planned.seed, workers=True, verbose=False)
    module.configure_model()
    draw_for(module, trainer, data)
    context = SuiteContext.of(data, planned.seed)
    gold = measurer.gold_model()
    trainer.loggers = []
    # What follows the training, or writes, has no part in a trial.
    kept = [
        each for each in _callbacks(trainer) if not isinstance(each, Checkpoint | EvaluateEvery)
    ]
    if not any(isinstance(each, CollapseStop) for each in kept):
        kept.append(CollapseStop())
    looks = _Looks(measurer, context, report, batches.total_steps, gold)
    trainer.callbacks = [*kept, looks]  # pyright: ignore
    L.seed_everything(planned.seed, workers=True, verbose=False)
    try:
        trainer.fit(module, datamodule=data)
    except TrainingDiverged:
        return {}
    device = trainer.strategy.root_device
    started = plain_copy(module.base, device) if reference else None
    policy = module.to(device).policy
    results = measure(policy, data.tokenizer, planned.suites, context, reference=started, gold=gold)
    return measurer.metrics(results)


def refuse_unfit(planned: Planned) -> None:
    """Refuses runs that cannot be trials of a search.

    Args:
        planned: The run, after its preflight.

    Raises:
        RecipeError: For several processes, and for callbacks that choose a step by the rows of
            suites: half of these rows are to be reported.
    """
    if planned.trainer.world_size > 1:
        raise RecipeError(
            "tune: a trial runs on one process, and this recipe asks for "
            f"{planned.trainer.world_size}",
            hint="Set trainer.devices: 1; tune.budget.workers runs several trials at once.",
        )
    for each in _callbacks(planned.trainer):
        monitor = getattr(each, "monitor", None)
        chooses = isinstance(each, EvaluateEvery) and each.restore_best
        if chooses or (isinstance(monitor, str) and monitor.startswith("val/")):
            raise RecipeError(
                f"tune: {type(each).__name__} chooses a step by rows that are to be reported",
                hint="Leave it out, and search trainer.max_steps or trainer.max_epochs.",
            )


def _callbacks(trainer: L.Trainer) -> list[L.Callback]:
    return trainer.callbacks  # pyright: ignore


def _within(limit: int | None) -> int:
    """Rows of a look, evenly spaced, that are among as many as the suite itself takes.

    Example:
        >>> _within(None), _within(40), _within(41), _within(9)
        (16, 10, 41, 9)
    """
    if limit is None:
        return _LOOK_ROWS
    fewer = max(n for n in range(1, min(limit, _LOOK_ROWS) + 1) if limit % n == 0)
    return fewer if fewer >= _LOOK_ROWS // 4 else limit


class _Looks(L.Callback):
    """Measures the model a few times while it trains."""

    def __init__(
        self,
        measurer: Measurer,
        context: SuiteContext,
        report: Report,
        steps: int | None,
        gold: nn.Module | None,
    ) -> None:
        self._measurer, self._context, self._report = measurer, context, report
        self._suites = [
            limited(suite, _within(getattr(suite, "limit", None))) for suite in measurer.suites
        ]
        self._gold = gold
        self._at = (
            {steps * look // (LOOKS + 1): look for look in range(1, LOOKS + 1)} if steps else {}
        )

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Measures and reports, if it is time."""
        look = self._at.get(trainer.global_step)
        if not look or not ends_step(trainer):
            return
        del self._at[trainer.global_step]
        model: Any = pl_module.policy
        tokenizer = trainer.datamodule.tokenizer  # pyright: ignore
        devices = [pl_module.device] if pl_module.device.type == "cuda" else []
        # Suites may draw random numbers; the training must not depend on them.
        with torch.random.fork_rng(devices):
            results = measure(model, tokenizer, self._suites, self._context, gold=self._gold)
        self._report(look, self._measurer.metrics(results))
