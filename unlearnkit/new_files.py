"""Writes files under names that no process has taken."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from itertools import count
from pathlib import Path

from unlearnkit.errors import UserError
from unlearnkit.files import name_beside

_NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What disks without links answer, such as those of FAT, and some that are shared."""


def write_new(place: Path, text: str) -> Path:
    """Writes a new file: of that name, or with the first number that no process has taken.

    Returns:
        The file: ``name.json``, ``name-2.json`` and so on.

    Raises:
        UserError: If it cannot be written.
    """
    path, numbers = place, count(2)
    while True:
        try:
            write_exclusively(path, text)
        except FileExistsError:
            path = place.with_name(f"{place.stem}-{next(numbers)}{place.suffix}")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        else:
            return path


def write_exclusively(path: Path, text: str) -> None:
    """Writes a new text file whole or not at all; of several processes one does.

    Raises:
        FileExistsError: If there is a file of that name.
        OSError: If it cannot be written.
    """
    unfinished = name_beside(path)
    try:
        unfinished.write_text(text, encoding="utf-8")
        _take_name(unfinished, path)
    finally:
        with suppress(OSError):  # the folder itself may be what is wrong
            unfinished.unlink(missing_ok=True)


def folder_to_write(folder: Path) -> Path:
    """Makes a folder and tries it, before something long is done for what goes into it.

    Raises:
        UserError: If it cannot be made or written to.
    """
    attempt = name_beside(folder / "attempt")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        attempt.open("x").close()
        attempt.unlink()
    except OSError as error:
        raise UserError(
            f"cannot write to the folder {folder}: {error.strerror}",
            hint="Give another folder, make room, or change who may write there.",
        ) from error
    return folder


def _take_name(unfinished: Path, path: Path) -> None:
    """Gives a file its name, unless that is taken; `os.replace` would take it from another."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # There the name is taken first, so that a kill between the two lines leaves it empty.
        path.touch(exist_ok=False)
        os.replace(unfinished, path)
