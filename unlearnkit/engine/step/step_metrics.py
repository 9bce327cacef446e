"""Metrics and counts of optimiser steps, summed over their micro-batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor


class StepMetrics(L.LightningModule):
    """A LightningModule that logs optimiser steps, and may refuse one.

    A metric of one micro-batch is a share of the step's: its sum over tokens, divided by the
    tokens that a micro-batch of the step has on average. So the mean over all parts that the
    trainer divides the loss by is the mean over the tokens of the step, however it was split.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step_metrics: dict[str, Tensor] = {}
        """Metrics of the last complete step, the same on all ranks, where they were computed."""
        self._on_host: dict[str, Tensor] = {}
        self.step_refused = False
        self._sums: dict[str, Tensor] = {}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Frees the gradients of the step before, which Lightning keeps until the backward pass."""
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            self.zero_grad()

    def log_micro_batch(self, metrics: Mapping[str, Tensor], batch_idx: int) -> None:
        """Takes in a micro-batch; with the last one, sums the step up.

        Args:
            metrics: Its metrics by name, without gradient; ``loss`` is shown in the progress bar.
            batch_idx: Its index in the epoch.
        """
        trainer = self.trainer
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._sums = {}  # an interrupted step may have left some
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        if not ends_step(trainer):
            return
        shares = torch.stack(list(self._sums.values())) / trainer.accumulate_grad_batches
        means: Any = trainer.strategy.reduce(shares, reduce_op="mean")
        self.step_metrics = dict(zip(self._sums, means.unbind(), strict=True))
        self._on_host = {}

    def read_metrics(self, **more: Tensor) -> dict[str, float]:
        """The step's metrics and further scalars as numbers, by one copy from the device.

        The host waits for the device here, and nowhere else in a step: not before the gradient is
        under way.
        """
        asked = {**self.step_metrics, **more}
        values = torch.stack([value.detach() for value in asked.values()]).cpu()
        self._on_host = dict(zip(asked, values.unbind(), strict=True))
        return dict(zip(asked, values.tolist(), strict=True))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Logs the step as ``train/<metric>``, unless a callback has read its metrics already."""
        if not self._on_host:
            self.read_metrics()
        for name in self.step_metrics:
            # Lightning reads what it logs one by one; of numbers on the host that costs nothing.
            self.log(f"train/{name}", self._on_host[name], prog_bar=name == "loss", batch_size=1)

    def refuse_step(self) -> None:
        """Drops the gradient, so that the optimiser step leaves all as it is and is not counted."""
        self.step_refused = True
        for parameter in self.parameters():
            parameter.grad = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Steps, and takes back Lightning's count of a step that was refused."""
        self.step_refused = False
        super().optimizer_step(*args, **kwargs)
        if self.step_refused:
            progress: Any = self.trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress
            for count in (progress.optimizer.step.total, progress.optimizer.step.current):
                count.ready -= 1
                count.completed -= 1  # one is added when this method returns

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Moves the learning rate on, unless the step was refused."""
        if not self.step_refused:
            super().lr_scheduler_step(scheduler, metric)


def ends_step(trainer: L.Trainer) -> bool:
    """Whether the present micro-batch is the last of an optimiser step."""
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress
    ready = progress.current.ready
    last = progress.is_last_batch or ready == trainer.num_training_batches
    return last or ready % trainer.accumulate_grad_batches == 0


def step_share(trainer: L.Trainer, batch_idx: int) -> float:
    """What one micro-batch contributes of a value that the whole step has once.

    The trainer divides by the micro-batches of a full step; the last step of an epoch may have
    fewer.
    """
    full = trainer.accumulate_grad_batches
    # A run that is resumed between two epochs goes on counting in the first batch of the next.
    index = batch_idx % trainer.num_training_batches
    return full / min(full, trainer.num_training_batches - (index - index % full))
