"""The progress bar of a run that is bounded by steps."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar


class EpochBar(RichProgressBar):
    """Lightning's bar, which makes -2 of the last epoch of a run that has none."""

    def _get_train_description(self, current_epoch: int) -> str:
        text = super()._get_train_description(current_epoch)
        return text.replace("/-2", "") if self.trainer.max_epochs == -1 else text


def use_epoch_bar(trainer: L.Trainer) -> None:
    """Puts `EpochBar` in place of the bar that the trainer made, with its settings."""
    callbacks: list[L.Callback] = trainer.callbacks  # pyright: ignore
    for index, bar in enumerate(callbacks):
        if type(bar) is RichProgressBar:
            refresh_rate = int(bar.refresh_rate)
            callbacks[index] = EpochBar(refresh_rate, bar._leave, bar.theme, bar._console_kwargs)
