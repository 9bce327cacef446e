"""Refuses to resume a checkpoint of other settings or data."""

from __future__ import annotations

import logging
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import lightning as L
import torch.distributed

from unlearnkit.engine.nodes import on_every_node
from unlearnkit.engine.ranks import found_by_first
from unlearnkit.engine.shards.folder import identity_of, is_folder_of_shards
from unlearnkit.engine.training.archive import refuse_damaged
from unlearnkit.engine.training.changed import TakeNewSettings
from unlearnkit.errors import RecipeError
from unlearnkit.files import digest_of
from unlearnkit.runs.checkpoints import newest_checkpoint, read_checkpoint
from unlearnkit.runs.resume.changes import LENGTH, Change, Resolve, compare
from unlearnkit.runs.resume.record import MadeWith

CHECKPOINT_OF_RUN = "UNLEARNKIT_CHECKPOINT"
"""Tells the processes that Lightning starts for the other ranks where the run resumes."""

logger = logging.getLogger(__name__)
_OF_OPTIMIZER = ("model.optimizer", "model.schedule", "model.warmup", *LENGTH)
_MOST_SHOWN = 12
_HEAD = 2**16


def checkpoint_of(given: str | None, runs: Path) -> str | None:
    """The checkpoint to resume from: ``last`` is the newest of the recipe's runs.

    The other processes take the one that the first found, and nodes that do not see the file get a
    copy of it.

    Raises:
        UserError: If there is none, it is damaged, or a node cannot write its copy.
    """
    found = found_by_first(lambda: _found(given, runs))
    # Of a folder of shards each node may have a part that no other has.
    if found and not _is_remote(found) and found_by_first(lambda: Path(found).is_file()):
        on_every_node(Path(found))
    # Before the model is loaded and measured. Of shards the processes read a part each, later.
    if found and CHECKPOINT_OF_RUN not in os.environ:
        found_by_first(lambda: refuse_damaged(found))
    return found


def _found(given: str | None, runs: Path) -> str | None:
    if given == "last":
        return os.environ.get(CHECKPOINT_OF_RUN) or str(newest_checkpoint(runs))
    if given and not _is_remote(given) and not Path(given).exists():
        raise RecipeError(f"--ckpt_path: there is no file {given}")
    return given


def _is_remote(path: str) -> bool:
    return "://" in path


class SameCheckpoint(L.Callback):
    """Refuses ranks that found different checkpoints, as on disks that are not shared.

    Args:
        path: The checkpoint that this rank resumes from.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Compares the step and the size of all ranks' checkpoints; paths may differ.

        Raises:
            RecipeError: On every rank, with what each found.
        """
        if trainer.world_size < 2 or not torch.distributed.is_initialized():
            return
        found: list[tuple[str, str]] = [("", "")] * trainer.world_size
        torch.distributed.all_gather_object(found, (self.path, _identity(self.path)))
        if len({identity for _, identity in found}) > 1:
            lines = "\n".join(f"rank {rank}: {path}" for rank, (path, _) in enumerate(found))
            raise RecipeError(
                f"--ckpt_path: the ranks found different checkpoints:\n{lines}",
                hint="Give the path of one that all ranks see.",
            )


def _identity(path: str) -> str:
    """What copies of one checkpoint have in common: the checksums that its archive lists."""
    place = Path(path)
    if is_folder_of_shards(path):
        return identity_of(place)
    if not place.is_file():
        return path
    size = place.stat().st_size
    try:
        with zipfile.ZipFile(place) as archive:
            parts = [(part.filename, part.CRC) for part in archive.infolist()]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, EOFError):
        # Lightning's reader says what is wrong with it.
        with place.open("rb") as file:
            return f"{size} {digest_of(file.read(_HEAD))}"
    return f"{size} {digest_of(repr(parts).encode())}"


def resumed(
    path: str, now: MadeWith, resolve: Resolve, accept: bool, trainer: L.Trainer
) -> MadeWith:
    """The record of a run that continues from a checkpoint.

    Args:
        path: The checkpoint.
        now: What the run is given.
        resolve: Makes a recipe of an earlier version comparable.
        accept: Take what has changed, and write it down.
        trainer: Gets a callback where the optimizer has changed.

    Raises:
        RecipeError: With each change that would make other weights, and is not accepted.
    """
    elsewhere = _is_remote(path) or (Path(path).is_dir() and not is_folder_of_shards(path))
    checkpoint = {} if elsewhere else read_checkpoint(path, mmap=True)
    step = checkpoint.get("global_step")
    then = MadeWith.in_checkpoint(checkpoint)
    if then is None:
        logger.warning(
            "%s does not say what it was made with: it is not known whether recipe, data, model "
            "and versions are the same. Its weights, optimizer and place in the data are taken.",
            path,
        )
        return replace(now, resumed=[{"from": path, "step": step, "changes": None}])
    found = compare(then, now, resolve)
    if found.refused and not accept:
        raise RecipeError(
            f"{path} was made with other settings, data or code:\n{_listed(found.refused)}",
            hint="Give what it was made with (recipe.yaml in its run folder), or take the changes "
            "with --resume_with_changes, which writes them down.",
        )
    if found.refused:
        logger.warning("goes on with changes:\n%s", _listed(found.refused))
        _take(found.refused, trainer)
    if found.versions:
        logger.warning(
            "%s was made with other versions of what is installed. Where they compute otherwise, "
            "the run does not end with the weights of one that was never stopped:\n%s",
            path, _listed(found.versions),
        )  # fmt: skip
    if found.parts:
        logger.warning(
            "%s was made with other own code, such as that of a callback:\n%s",
            path, _listed(found.parts),
        )  # fmt: skip
    changes = [*found.refused, *found.free, *found.versions, *found.parts]
    entry = {"from": path, "step": step, "changes": [each._asdict() for each in changes]}
    return replace(now, resumed=[*then.resumed, entry])


def _take(changes: list[Change], trainer: L.Trainer) -> None:
    keys = [each.key for each in changes]
    if any(key.startswith(_OF_OPTIMIZER) for key in keys):
        other = any(each in _CLASS_OF_OPTIMIZER for each in keys)
        trainer.callbacks.append(TakeNewSettings(other))  # pyright: ignore


_CLASS_OF_OPTIMIZER = ("model.optimizer", "model.optimizer.name", "model.optimizer.class_path")


def _listed(changes: list[Change]) -> str:
    lines = [f"  {each}" for each in changes[:_MOST_SHOWN]]
    more = len(changes) - _MOST_SHOWN
    return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])])
