"""Lets all processes of a run take part in its evaluations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning as L
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher

from unlearnkit.engine.generation.dealing import Ranks


class Together(L.Callback):
    """Runs what comes before the training once all processes are there.

    Lightning starts the others only in the fit, and torchrun's would wait in vain for the first
    to join them while it evaluates.

    Args:
        before: What to run with them, in front of the module's and the strategy's setup.
    """

    def __init__(self, before: Callable[[Ranks | None], None]) -> None:
        self.ranks: Ranks | None = None
        self._before = before

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Joins the processes, and runs it."""
        self.ranks = Ranks.joined()
        self._before(self.ranks)
        if self.ranks is not None:
            # The first may have drawn answers; Lightning's own barriers wait for half an hour.
            self.ranks.of_first(None)

    def folder(self, own: Path) -> Path:
        """The first process's run folder, once it has come here; a collective call."""
        return own if self.ranks is None else Path(self.ranks.of_first(str(own)))


def take_part(trainer: L.Trainer) -> bool:
    """Whether there are other processes, which go on when the fit is over.

    Those that are spawned from this one end with it, and take their results along.
    """
    spawned = isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)
    return trainer.world_size > 1 and not spawned
