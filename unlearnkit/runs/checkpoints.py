"""Writes whole checkpoints, and finds the newest."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from unlearnkit.engine.ranks import found_by_first
from unlearnkit.engine.shards.folder import is_folder_of_shards, plain_part
from unlearnkit.engine.shards.loading import whole_checkpoint
from unlearnkit.engine.training.archive import refuse_damaged
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.files import whole_file

INTERVAL = timedelta(minutes=15)
"""How often a run saves by default; shorter runs write no checkpoint unless stopped."""


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint under another name and renames it, so that a kill leaves the last one.

    Lightning's own writer renames too, but from the system's temporary folder, which may lie on
    another disk. Reading runs no code: pickled objects are refused.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Saves to a local file; remote addresses are left to Lightning.

        Raises:
            UserError: If the disk is full or cannot be written to.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        said = "cannot write the checkpoint"
        with whole_file(Path(path), said=said, flush=True) as unfinished:
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                torch.save(checkpoint, file)

    def load_checkpoint(
        self,
        path: Any,
        map_location: Any = lambda storage, _: storage,
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Loads tensors and plain values.

        Raises:
            RecipeError: If the file is damaged or holds other objects.
        """
        if is_folder_of_shards(path):
            return whole_checkpoint(Path(path))
        path = found_by_first(lambda: _whole(path))
        with _refused_if_damaged(path):
            return super().load_checkpoint(path, map_location, weights_only=True)


def read_checkpoint(path: str | Path, mmap: bool = False) -> dict[str, Any]:
    """Reads a local checkpoint; with ``mmap`` weights are read only where they are used.

    Of a folder of shards all but these.

    Raises:
        RecipeError: If the file is damaged or holds other objects.
    """
    if is_folder_of_shards(path):
        return plain_part(Path(path))
    with _refused_if_damaged(path):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


@contextmanager
def _refused_if_damaged(path: Any) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise RecipeError(
            f"--ckpt_path: {path} is no longer there; the run that wrote it may have removed it",
            hint="Give the command again for the newest one, or the path of another.",
        ) from error
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise RecipeError(
            f"--ckpt_path: {path} is damaged, or holds objects whose loading could run code",
            hint="Give a checkpoint that unlearnkit or Lightning wrote.",
        ) from error


def _whole(path: Any) -> Any:
    """The path; the first process's is taken by all, which on a shared disk may see other files."""
    with _refused_if_damaged(path):
        refuse_damaged(path)
    return path


def newest_checkpoint(folder: Path) -> Path:
    """The newest Lightning checkpoint anywhere below a folder.

    A run that still trains may remove some meanwhile; those are none.

    Raises:
        UserError: If there is none.
    """
    found = sorted(_checkpoints(folder))
    if not found:
        raise UserError(
            f"no checkpoint to resume from below {folder}",
            hint="Give the path of one with --ckpt_path, or start afresh without it.",
        )
    return found[-1][1]


def _checkpoints(below: Path) -> Iterator[tuple[int, Path]]:
    """Times and paths of the checkpoints below a folder; some are folders."""
    for folder, folders, files in os.walk(below):
        for name in [*folders, *files]:
            path = Path(folder, name)
            if name.endswith(".ckpt"):
                with suppress(FileNotFoundError):
                    yield path.stat().st_mtime_ns, path
        folders[:] = [name for name in folders if not name.endswith(".ckpt")]


def point_checkpoints_at(trainer: L.Trainer, folder: Path) -> None:
    """Has checkpoints written whole, and below a folder unless they have one of their own.

    The checkpoint callback that Lightning adds by itself saves after each epoch. Epochs of a small
    forget set may last seconds, and saving a large model longer; so it is made to save by the
    clock, every `INTERVAL`.
    """
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = WholeFiles()
    callbacks: list[Any] = trainer.callbacks  # pyright: ignore
    for index, callback in enumerate(callbacks):
        if not isinstance(callback, ModelCheckpoint):
            continue
        if type(callback) is ModelCheckpoint and callback.state_key == ModelCheckpoint().state_key:
            callback = callbacks[index] = ModelCheckpoint(train_time_interval=INTERVAL)
        if callback.dirpath is None:
            callback.dirpath = str(folder)
