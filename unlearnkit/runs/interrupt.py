"""Signals in training: a checkpoint, then a message."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.distributed import is_torchelastic_launched

from unlearnkit.engine.training.fsdp2 import FSDP2Strategy
from unlearnkit.errors import Interrupted
from unlearnkit.runs.resume.slurm import requeue, requeue_signal

logger = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SaveOnSignal(L.Callback):
    """Saves and ends the fit after the micro-batch in which a signal came.

    Between two micro-batches the weights are whole; in the middle of an optimiser step they are
    not. All processes stop at the same micro-batch, whichever of them got the signal. A second
    signal ends the fit at once, without saving; but not under torchrun, which passes on a signal
    that its processes may have had from the terminal or from SLURM, and kills them when its
    ``--shutdown-timeout`` is over; nor under SLURM, which sends several before it kills.

    The signal by which SLURM asks for it puts the job back into the queue too. Lightning's own
    handler would save at once, amid a step, and below the working directory.

    Args:
        folder: Where the checkpoint goes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._received = 0
        self._requeue: int | None = None
        self._handlers: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the signals; Lightning's own handler of SIGTERM stops without saving."""
        self._received = 0
        self._requeue = requeue_signal(trainer)
        if threading.current_thread() is threading.main_thread():
            taken = {*SIGNALS, *([self._requeue] if self._requeue else [])}
            self._handlers = {each: signal.signal(each, self._note) for each in taken}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Saves and raises if a signal came to any process.

        Raises:
            Interrupted: With where the checkpoint is.
        """
        received = self._received
        if trainer.world_size > 1:
            own = torch.tensor(received, device=trainer.strategy.root_device)
            received = int(trainer.strategy.reduce(own, reduce_op="max"))
        if not received:
            return
        path = self.folder / "interrupted.ckpt"
        trainer.save_checkpoint(path)
        if isinstance(trainer.strategy, FSDP2Strategy):
            trainer.strategy.settle()
        then = ""
        if received == self._requeue and trainer.is_global_zero:
            then = f"; {requeue()}"
        raise Interrupted(
            f"{signal.Signals(received).name} at step {trainer.global_step}; saved {path}{then}",
            hint="Continue with the same command and --ckpt_path last.",
            signum=received,
        )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gives the signals back."""
        self._give_back()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Gives the signals back."""
        self._give_back()

    def _note(self, signum: int, _frame: object) -> None:
        if self._received:
            if is_torchelastic_launched() or self._requeue:
                return
            self._give_back()
            raise Interrupted("Stopped at once; nothing was saved.", signum=signum)
        self._received = signum
        logger.warning("stopping after this step, once a checkpoint is saved")

    def _give_back(self) -> None:
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        self._handlers = {}
