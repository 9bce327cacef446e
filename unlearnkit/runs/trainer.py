"""Arguments of Lightning's trainer for a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.loggers import Logger

from unlearnkit.callbacks.collapse_stop import CollapseStop
from unlearnkit.callbacks.extraction_stop import ExtractionStop
from unlearnkit.callbacks.progress import use_epoch_bar
from unlearnkit.engine.training.fsdp2 import is_sharded
from unlearnkit.engine.training.heap import keep_freed_memory
from unlearnkit.engine.training.loggers import given_loggers, own_logger
from unlearnkit.hashed import hashed_for_children
from unlearnkit.runs.checkpoints import point_checkpoints_at
from unlearnkit.runs.interrupt import SaveOnSignal
from unlearnkit.runs.processes.lost import FIRST_OF_RUN, first_of_run
from unlearnkit.runs.processes.watch import NoteOthers
from unlearnkit.runs.resume.check import CHECKPOINT_OF_RUN

FOLDER_OF_RUN = "UNLEARNKIT_RUN_FOLDER"
"""Tells the processes that Lightning starts for the other ranks where the run writes."""


def point_at(trainer: L.Trainer, folder: Path) -> list[Logger]:
    """Sends logs and checkpoints to a run folder, and stops a run that diverges.

    On a CPU the process keeps the memory that it frees, unless the model is sharded.

    Returns:
        The loggers that the user chose, which log beside the run's own.
    """
    given = given_loggers(trainer)
    trainer.loggers = [own_logger(folder), *given]
    point_checkpoints_at(trainer, folder / "checkpoints")
    use_epoch_bar(trainer)
    if not is_sharded(trainer):  # whose processes are to hold little
        keep_freed_memory(trainer.strategy.root_device)
    trainer.callbacks.append(SaveOnSignal(folder / "checkpoints"))  # pyright: ignore
    trainer.callbacks.append(NoteOthers())  # pyright: ignore
    if not any(isinstance(c, CollapseStop) for c in trainer.callbacks):  # pyright: ignore
        # Without ceilings it only refuses steps that are not finite.
        trainer.callbacks.append(CollapseStop())  # pyright: ignore
    return given


def log_short_runs_too(trainer: L.Trainer, steps: int) -> None:
    """Logs about fifty steps or more, even of a short run."""
    trainer.log_every_n_steps = max(1, min(trainer.log_every_n_steps, steps // 50))  # pyright: ignore


def stopped_by(trainer: L.Trainer) -> str | None:
    """Why a callback ended the run early and at which step, if one did."""
    at = f"step {trainer.global_step}"
    for callback in trainer.callbacks:  # pyright: ignore
        if isinstance(callback, CollapseStop | ExtractionStop) and callback.reason:
            return callback.reason
        if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
            return f"{at}: EarlyStopping: {callback.stopping_reason_message}"
        left = callback.time_remaining() if isinstance(callback, Timer) else None
        if left is not None and left <= 0:
            return f"{at}: max_time is over"
    return None


@contextmanager
def known_to_other_ranks(folder: Path, checkpoint: str | None) -> Iterator[None]:
    """Tells the processes that Lightning starts where the run writes, and where it resumes.

    They are told the digests that are known too, and hash nothing again.
    """
    told = {FOLDER_OF_RUN: str(folder.absolute()), **hashed_for_children()}
    if checkpoint is not None:
        told[CHECKPOINT_OF_RUN] = checkpoint
    if first_of_run() is None:
        told[FIRST_OF_RUN] = str(os.getpid())
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
