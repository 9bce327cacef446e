"""Stops a run before it destroys the model."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from unlearnkit.callbacks.base import NamedCallback
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.finite import listed, not_finite

_NORM = "gradient norm"


class TrainingDiverged(UserError):
    """A loss, a gradient or a weight is not finite; files on disk are from before.

    Args:
        message: What, at which step.
        step: Optimiser steps taken so far.
        hint: What to do about it.
    """

    def __init__(self, message: str, *, step: int, hint: str | None = None) -> None:
        super().__init__(message, title="training diverged", hint=hint)
        self.step = step


class CollapseStop(NamedCallback, name="collapse_stop"):
    """Stops at a forget NLL, at a retain KL, or at the first value that is not finite.

    Gradient ascent has no lower bound: past the point of forgetting it only tears the model
    apart. The callback checks the metrics before each optimiser step and does not take a step past
    a ceiling, so the weights are those that were measured. It checks weights before they are
    saved, so a broken checkpoint never replaces a good one.

    Args:
        forget_nll: Ceiling of the forget stream's NLL, in nats per token; None for none. Random
            guessing over a vocabulary of ``V`` is ``ln V``.
        retain_kl: Ceiling of KL(reference ‖ policy) on the retain stream, in nats per token.
        forget: Name of the forget stream.
        retain: Name of the retain stream.

    Raises:
        RecipeError: If a ceiling is not above 0.
        TrainingDiverged: From the fit, when a loss, the gradient or a weight is not finite.
    """

    def __init__(
        self,
        forget_nll: float | None = None,
        retain_kl: float | None = None,
        forget: str = "forget",
        retain: str = "retain",
    ) -> None:
        for key, ceiling in (("forget_nll", forget_nll), ("retain_kl", retain_kl)):
            if ceiling is not None and ceiling <= 0:
                raise RecipeError(f"collapse_stop.{key}: expected above 0, found {ceiling}")
        self.ceilings = {f"{forget}_nll": forget_nll, f"{retain}_kl": retain_kl}
        self.reason: str | None = None

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Checks the step's metrics and gradient; drops the gradient past a ceiling."""
        norm = _gradient_norm(trainer, pl_module)
        metrics: dict[str, float] = pl_module.read_metrics(**norm)  # pyright: ignore
        self._refuse_non_finite(trainer, pl_module, metrics)
        crossed = self._crossed(metrics)
        if crossed is None:
            return
        self.reason = f"step {trainer.global_step}: {crossed}"
        pl_module.refuse_step()  # pyright: ignore
        trainer.should_stop = True

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuses to save weights that are not finite."""
        _refuse_weights(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuses an end with weights that are not finite: no later step would find them."""
        _refuse_weights(trainer, pl_module)

    def _refuse_non_finite(
        self, trainer: L.Trainer, pl_module: L.LightningModule, metrics: dict[str, float]
    ) -> None:
        step = trainer.global_step
        norm = metrics.pop(_NORM, 0.0)
        broken = {key: value for key, value in metrics.items() if not math.isfinite(value)}
        if broken:
            # Names the stream's broken value, not what an objective computes from it.
            terms = [key for key in pl_module.active if key in broken]  # pyright: ignore
            named = ", ".join(f"{key} is {broken[key]}" for key in terms or broken)
            raise TrainingDiverged(f"step {step}: {named}", step=step)
        if not math.isfinite(norm):
            raise TrainingDiverged(f"step {step}: the gradient norm is {norm}", step=step)

    def _crossed(self, metrics: dict[str, float]) -> str | None:
        for key, ceiling in self.ceilings.items():
            value = metrics.get(key)
            if ceiling is not None and value is not None and value >= ceiling:
                return f"{key} reached {value:.3f} nats, the ceiling is {ceiling:g}"
        return None


def _refuse_weights(trainer: L.Trainer, pl_module: L.LightningModule) -> None:
    trained = ((name, p) for name, p in pl_module.named_parameters() if p.requires_grad)
    found = not_finite(trained)
    # On a sharded model other processes hold the rest; all are to stop.
    anywhere = torch.tensor(float(bool(found)), device=trainer.strategy.root_device)
    if trainer.strategy.reduce(anywhere, reduce_op="sum"):
        step = trainer.global_step
        names = f" ({listed(found)})" if found else ""
        raise TrainingDiverged(f"step {step}: weights are NaN or infinite{names}", step=step)


def _gradient_norm(trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Tensor]:
    """The norm of the whole gradient by its name, if it is checked."""
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        return {}  # a gradient scaler overflows on purpose and skips the step itself
    gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
    if not gradients:
        return {}
    norm = torch.nn.utils.get_total_norm(gradients)
    return {_NORM: norm.full_tensor() if isinstance(norm, DTensor) else norm}
