"""The messages of a failed run, and how to continue it."""

from __future__ import annotations

import errno
import logging
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from unlearnkit.callbacks.collapse_stop import TrainingDiverged
from unlearnkit.errors import Interrupted, UserError
from unlearnkit.redact import redacted
from unlearnkit.runs.checkpoints import newest_checkpoint
from unlearnkit.runs.processes.lost import lost_a_process, told_by_another

OF_THE_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
)
"""Error numbers of a disk that is full or cannot be written to."""
NOTHING_SAVED = "No checkpoint had been written yet."
START_AGAIN = f"{NOTHING_SAVED} Start it again with the same command."
logger = logging.getLogger(__name__)


@contextmanager
def told_with_checkpoint(folder: Path) -> Iterator[None]:
    """Adds to what ends a training where its last checkpoint is and what to do.

    Raises:
        Interrupted: If another process of the run is gone.
        TrainingDiverged: If a loss, a gradient or a weight is not finite.
        UserError: If the disk is full or the run folder cannot be written to any more.
    """
    try:
        yield
    except TrainingDiverged as error:
        hint = f"{_last(folder)} {_cure(error.step)}"
        raise TrainingDiverged(error.message, step=error.step, hint=hint) from error
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            what = f"cannot write to {error.filename or folder}: {error.strerror}"
            raise UserError(what, hint=_go_on(folder)) from error
        if lost_a_process(error):
            raise alone(folder) from error
        raise
    except UserError as error:
        if type(error) is UserError and error.hint is None:
            error.hint = _go_on(folder)
        raise


def alone(folder: Path | None) -> Interrupted:
    """What the process of a run says that has lost another one.

    Args:
        folder: The run folder, where it is known.
    """
    error = Interrupted(
        "another process of this run ended, and this one cannot go on alone",
        hint=START_AGAIN if folder is None else _way_on(folder),
        signum=signal.SIGTERM,
    )
    error.told = told_by_another()
    return error


@contextmanager
def told_if_alone(folder: Path | None = None) -> Iterator[None]:
    """Says it where another process of the run is gone before or after the training.

    Args:
        folder: The run folder, once there is one.

    Raises:
        Interrupted: If one is.
    """
    try:
        yield
    except Interrupted as error:
        if error.hint == START_AGAIN and folder is not None:
            error.hint = _way_on(folder)  # of the phases before
        raise
    except (OSError, RuntimeError) as error:
        if lost_a_process(error):
            raise alone(folder) from error
        raise


@contextmanager
def evaluated_later(folder: Path) -> Iterator[None]:
    """Says of an evaluation that fails after the training how it is continued.

    Raises:
        Interrupted: If another process of the run is gone.
        UserError: For whatever other error a suite ends with.
    """
    try:
        yield
    except Exception as error:
        if lost_a_process(error):
            raise alone(folder) from error
        own = f"{type(error).__name__}: {redacted(str(error))}"
        said = error.message if isinstance(error, UserError) else own
        raise UserError(
            f"the evaluation after the training failed: {said}",
            title="evaluation failed",
            hint=_evaluate(folder),
        ) from error


@contextmanager
def left_to_first(folder: Callable[[], Path]) -> Iterator[None]:
    """Lets a process other than the first end well where its part of an evaluation fails.

    The run is finished by then. The first process fails by it too, and says how it is continued.

    Args:
        folder: Gives the run folder, as far as this process knows it.

    Raises:
        Interrupted: If the first process is gone.
    """
    try:
        yield
    except Exception as error:
        if lost_a_process(error):
            raise alone(folder()) from error
        said = f"{type(error).__name__}: {redacted(str(error))}"
        logger.warning("this process could not evaluate: %s", said)


def _way_on(folder: Path) -> str:
    """How a run goes on that was ended from outside."""
    if (folder / "summary.json").is_file() and (folder / "model").is_dir():
        return _evaluate(folder)
    last = _last(folder)
    if last != NOTHING_SAVED:
        return f"{last} Continue with the same command and --ckpt_path last."
    if any(folder.glob("*/summary.json")):
        kept = f"The finished phases are kept in {folder}."
        return f"{kept} Continue with the same command and --ckpt_path last."
    return START_AGAIN


def _evaluate(folder: Path) -> str:
    return (
        f"The training is complete: model and summary.json are in {folder}. "
        f"`unlearnkit evaluate {folder}` measures what is missing."
    )


def refuse_little_room(folder: Path, policy: nn.Module) -> None:
    """Refuses to train what could not be saved.

    Raises:
        UserError: With the room that is there, and that the trained weights will take.
    """
    needed = sum(p.numel() * p.element_size() for p in policy.parameters() if p.requires_grad)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: what is trained takes {_size(needed)}, and {_size(free)} are free",
            hint="Make room, or give another folder with --run_dir.",
        )


def _last(folder: Path) -> str:
    try:
        return f"The last checkpoint before it is {newest_checkpoint(folder)}."
    except UserError:
        return NOTHING_SAVED


def _go_on(folder: Path) -> str:
    try:
        newest = newest_checkpoint(folder)
    except UserError:
        return f"{NOTHING_SAVED} Make room, or give another folder (--run_dir)."
    return f"Once it can be written to, continue from {newest} with --ckpt_path last."


def _cure(step: int) -> str:
    if step == 0:
        return (
            "No step had been taken, so look at the objectives' arguments, at the rows of the "
            "first batch, and at trainer.precision."
        )
    return (
        "Lower the learning rate or the weight of the forget term. To continue from a checkpoint "
        "with other settings, add --resume_with_changes."
    )


def _size(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
