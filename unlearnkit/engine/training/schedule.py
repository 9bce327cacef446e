"""The learning-rate schedule over all optimiser steps."""

from __future__ import annotations

from typing import Any, Literal

import lightning as L
import torch
from transformers import get_scheduler

from unlearnkit.errors import RecipeError

Schedule = Literal["constant", "linear", "cosine"]


def warmup_steps(warmup: float, steps: int) -> int:
    """Optimiser steps of the warm-up, given in steps or, below 1, as a part of all steps.

    Example:
        >>> warmup_steps(0.1, 9), warmup_steps(3, 9)
        (1, 3)
    """
    return int(warmup) if warmup >= 1 else round(warmup * steps)


def scheduled(
    optimizer: torch.optim.Optimizer, schedule: Schedule, warmup: float, trainer: L.Trainer
) -> Any:
    """The optimizer with its schedule, as Lightning takes them.

    The schedule ends with the last optimiser step, whatever the accumulation and its short windows.

    Raises:
        RecipeError: If the schedule needs an end and the fit has none.
    """
    if schedule == "constant" and not warmup:
        return optimizer
    steps = total_steps(trainer)
    check_end(schedule, warmup, steps)
    assert steps is not None
    scheduler = get_scheduler(
        "constant_with_warmup" if schedule == "constant" else schedule,
        optimizer,
        num_warmup_steps=warmup_steps(warmup, steps),
        num_training_steps=steps,
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def check_end(schedule: Schedule, warmup: float, steps: int | None) -> None:
    """Refuses a course of the learning rate that is measured by an end where there is none.

    Raises:
        RecipeError: With the keys that give it one.
    """
    if steps is None and (schedule != "constant" or warmup):
        what = f"schedule: '{schedule}'" if schedule != "constant" else "warmup: it"
        raise RecipeError(
            f"model.{what} needs an end, and the run has none",
            hint="Set trainer.max_epochs or trainer.max_steps, or model.schedule: constant.",
        )


def total_steps(trainer: L.Trainer) -> int | None:
    """Optimiser steps of the whole fit, or None if it has no bound."""
    plan = getattr(getattr(trainer, "datamodule", None), "plan", None)
    if plan is not None:
        # Lightning's own count makes the loaders, too early for those of a resumed epoch.
        return plan.updates(trainer.max_epochs, trainer.max_steps)
    steps = trainer.estimated_stepping_batches
    return int(steps) if steps != float("inf") else None
