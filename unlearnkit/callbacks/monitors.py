"""Checks that what callbacks monitor will be logged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint

from unlearnkit.errors import RecipeError
from unlearnkit.registry import did_you_mean

_COUNTS = ("epoch", "step")
"""What `ModelCheckpoint` knows by itself."""
_OURS = ("lightning", "unlearnkit", "pytorch_lightning")


def check_monitors(
    trainer: L.Trainer, module: L.LightningModule, objectives: Iterable[str], streams: Iterable[str]
) -> None:
    """Refuses monitors of metrics that a run does not log.

    Values of suites are checked by `check_addresses`. A module or a callback of the user's own
    may log anything.

    Args:
        trainer: With its callbacks.
        module: What is trained.
        objectives: Keys of the objectives.
        streams: Names of the streams, metrics of which are ``train/<stream>_<metric>``.

    Raises:
        RecipeError: With the names that are logged.
    """
    callbacks: list[Any] = trainer.callbacks  # pyright: ignore
    own = [module, *callbacks]
    if any(type(each).__module__.partition(".")[0] not in _OURS for each in own):
        return
    if any(isinstance(each, LearningRateMonitor) for each in callbacks):
        return
    known = ["train/loss", *(f"train/{key}" for key in objectives)]
    begins = tuple(f"train/{name}_" for name in streams)
    for each in callbacks:
        monitor = getattr(each, "monitor", None)
        if not isinstance(each, EarlyStopping | ModelCheckpoint) or not isinstance(monitor, str):
            continue
        counted = _COUNTS if isinstance(each, ModelCheckpoint) else ()
        # Values of suites are there under the names that `check_addresses` gave them.
        if monitor in (*known, *counted) or monitor.startswith(("val/", *begins)):
            continue
        raise RecipeError(
            f"{type(each).__name__}.monitor: '{monitor}' is not logged."
            f"{did_you_mean(monitor, known)}",
            hint=f"Logged: {', '.join(known)}, and with the callback evaluate_every "
            "val/<suite>/<stream>/<metric> and val/score.",
        )
