"""A callback that has a run stopped at a known step; named by recipes of the tests."""

from __future__ import annotations

import os
import signal
import time

import lightning as L

from unlearnkit.runs.interrupt import SaveOnSignal


class Stop(L.Callback):
    """Sends SIGTERM in the fourth step, and goes on once it has come.

    Args:
        to: ``launcher``, ``self`` (the first process), or ``both``, as SLURM does.
    """

    def __init__(self, to: str) -> None:
        self.to = to

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step != 3 or not trainer.is_global_zero:
            return
        (saver,) = (each for each in trainer.callbacks if isinstance(each, SaveOnSignal))
        if self.to != "self":
            os.kill(os.getppid(), signal.SIGTERM)
        if self.to != "launcher":
            os.kill(os.getpid(), signal.SIGTERM)
        while not saver._received:
            time.sleep(0.01)
        if self.to == "both":
            time.sleep(1.0)  # the launcher's copy of the signal comes now


class Killed(L.Callback):
    """Kills a process after so many steps, as a machine without memory does.

    Args:
        rank: Which.
        after: How many steps.
    """

    def __init__(self, rank: int = 1, after: int = 3) -> None:
        self.rank, self.after = rank, after

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step == self.after and trainer.global_rank == self.rank:
            os.kill(os.getpid(), signal.SIGKILL)
