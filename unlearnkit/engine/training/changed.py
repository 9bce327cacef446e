"""Has a resumed run train by new settings of its optimizer."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


class TakeNewSettings(L.Callback):
    """Puts the run's own learning rate and schedule in place of the checkpoint's.

    A checkpoint brings the settings of its optimizer along with the moments, so that a new
    learning rate would be read and never used.

    Args:
        other_optimizer: The optimizer is of another class: its moments begin afresh.
    """

    def __init__(self, other_optimizer: bool) -> None:
        self.other_optimizer = other_optimizer

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leaves out the state of an optimizer of another class."""
        if self.other_optimizer:
            checkpoint["optimizer_states"] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Sets what the optimizer would have had without the checkpoint, at this step."""
        make: Any = pl_module.make_optimizer
        fresh = make([nn.Parameter(torch.zeros(1))]).param_groups[0]
        values = {key: value for key, value in fresh.items() if key != "params"}
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group.update(values)
        for config in trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            if not isinstance(scheduler, LambdaLR):
                continue
            scheduler.last_epoch = trainer.global_step
            scheduler.base_lrs = [values["lr"] for _ in scheduler.base_lrs]
            for group, part in zip(
                scheduler.optimizer.param_groups, scheduler.lr_lambdas, strict=True
            ):
                group["initial_lr"] = values["lr"]
                group["lr"] = values["lr"] * part(trainer.global_step)
            scheduler._last_lr = [g["lr"] for g in scheduler.optimizer.param_groups]
