"""Loggers that the user chose, beside the run's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from unlearnkit.engine.training.metrics_csv import MetricsCsv
from unlearnkit.files import write_bytes

logger = logging.getLogger(__name__)


def given_loggers(trainer: L.Trainer) -> list[Logger]:
    """The loggers that the user chose; one that Lightning makes unasked is none of them."""
    return [each for each in trainer.loggers if not _is_default(each, trainer)]


def own_logger(folder: Path) -> CSVLogger:
    """The logger of ``metrics.csv``, which every run has."""
    return MetricsCsv(folder, name="", version="")


def send_metrics(
    loggers: list[Logger], stage: str, suites: Mapping[str, Mapping[str, Any]], step: int
) -> None:
    """Sends the values of a stage.

    Args:
        loggers: The user's.
        stage: ``before``, ``after`` or ``gold``.
        suites: Values as ``[suite][metric]``; those with nothing to measure are left out.
        step: Optimiser steps so far.
    """
    found = {
        f"{stage}/{suite}/{name}": value
        for suite, values in suites.items()
        for name, value in values.items()
        if value is not None
    }
    for each in loggers if found else ():
        _attempt(each, lambda each=each: each.log_metrics(found, step=step))


def send_facts(loggers: list[Logger], folder: Path, picture: bytes | None) -> None:
    """Sends where the run is, and its picture.

    Args:
        loggers: The user's.
        folder: The run folder.
        picture: Forgetting against utility, as PNG.
    """
    facts = {"run_folder": str(folder), "report": str(folder / "report.html")}
    for each in loggers:
        _attempt(each, lambda each=each: each.log_hyperparams(facts))
        if picture is not None:
            _attempt(each, lambda each=each: _send_picture(each, folder, picture))
        _attempt(each, each.save)


def _send_picture(each: Logger, folder: Path, picture: bytes) -> None:
    name = "forgetting against utility"
    if isinstance(each, TensorBoardLogger):
        from io import BytesIO

        import numpy

        Image = import_module("PIL.Image")  # of Pillow, which unlearnkit[tensorboard] installs
        pixels = numpy.asarray(Image.open(BytesIO(picture)).convert("RGB"))
        each.experiment.add_image(name, pixels, dataformats="HWC")
    elif isinstance(each, WandbLogger | MLFlowLogger):
        file = folder / "forgetting.png"
        write_bytes(file, picture)
        if isinstance(each, WandbLogger):
            each.log_image(name, [str(file)])
        else:
            each.experiment.log_artifact(each.run_id, str(file))


def _is_default(each: Logger, trainer: L.Trainer) -> bool:
    return (
        isinstance(each, CSVLogger | TensorBoardLogger)
        and each.name == "lightning_logs"
        and str(each.save_dir) == str(trainer.default_root_dir)
    )


def _attempt(each: Logger, send: Any) -> None:
    """Sends; a service that fails ends no run."""
    try:
        send()
    except Exception as error:  # any error of any service
        logger.warning("%s: %s: %s", type(each).__name__, type(error).__name__, error)
