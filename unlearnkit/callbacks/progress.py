"""Shows how far training has come, as a bar or in lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from rich.console import Console
from rich.text import Text

from unlearnkit.terminal import TextConsole

LINES = 10
"""Lines of a run whose steps are known."""


class EpochBar(RichProgressBar):
    """Lightning's bar, which makes -2 of the last epoch of a run that has none."""

    def _get_train_description(self, current_epoch: int) -> str:
        text = super()._get_train_description(current_epoch)
        return text.replace("/-2", "") if self.trainer.max_epochs == -1 else text


class StepLines(ProgressBar):
    """Prints step, loss and time left after each tenth of the steps, for a file of what was said.

    Of a run without a last step it does after steps 1, 2, 4 and so on.

    Args:
        console: Where they are printed; by default the standard error, as the suites' lines.
        clock: Gives seconds.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._console, self._clock = console, clock
        self._first, self._last, self._began = 0, 0, 0.0
        self._enabled = True

    def disable(self) -> None:
        """Prints nothing, as on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Prints again."""
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the time."""
        self._first = self._last = trainer.global_step
        self._began = self._clock()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Prints a line where one is due; the loss is read from the device then alone."""
        before, step = self._last, trainer.global_step
        self._last = step
        steps = trainer.estimated_stepping_batches
        if not self._enabled or step == before or not _is_due(before, step, steps):
            return
        words = f"step {step}"
        if isinstance(steps, int):
            words += f" of {steps}"
        loss = self.get_metrics(trainer, pl_module).get("train/loss")
        if isinstance(loss, float):
            words += f", loss {loss:.4g}"
        if isinstance(steps, int) and step < steps:
            took = self._clock() - self._began
            left = round(took * (steps - step) / (step - self._first))
            words += f", {left // 60}:{left % 60:02} left"
        (self._console or TextConsole(stderr=True)).print(Text(words), soft_wrap=True)


def _is_due(before: int, step: int, steps: float) -> bool:
    if isinstance(steps, int):
        return step * LINES // steps > before * LINES // steps
    return step.bit_length() > before.bit_length()


def use_epoch_bar(trainer: L.Trainer) -> None:
    """Puts `EpochBar`, or `StepLines` where there is no terminal, in place of the trainer's bar."""
    callbacks: list[L.Callback] = trainer.callbacks  # pyright: ignore
    console = TextConsole()
    for index, bar in enumerate(callbacks):
        if type(bar) is RichProgressBar:
            refresh_rate = int(bar.refresh_rate)
            shown = EpochBar(refresh_rate, bar._leave, bar.theme, bar._console_kwargs)
            watched = console.is_terminal or console.is_jupyter
            callbacks[index] = shown if watched else StepLines()
