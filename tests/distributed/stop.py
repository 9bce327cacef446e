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
        os.kill(os.getppid() if self.to == "launcher" else os.getpid(), signal.SIGTERM)
        while not saver._received:
            time.sleep(0.01)
        if self.to == "both":
            again, handler = [], signal.getsignal(signal.SIGTERM)
            signal.signal(signal.SIGTERM, lambda *of: again.append(handler(*of)))  # pyright: ignore
            os.kill(os.getppid(), signal.SIGTERM)
            while not again:  # the launcher's copy of the signal
                time.sleep(0.01)
            signal.signal(signal.SIGTERM, handler)


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
