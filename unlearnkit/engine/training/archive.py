"""Checks the bytes of a checkpoint against its own checksums."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import Any

from unlearnkit.errors import RecipeError

_SETTLED_NS = 2 * 10**9
"""Age from which a file's time of change tells whether it was changed again."""
_whole: set[tuple[str, int, int, int]] = set()


def refuse_damaged(path: Any) -> None:
    """Refuses a local checkpoint whose bytes are not those that were written.

    Its file is an archive with a checksum of each tensor, which torch writes and does not check. A
    file that was found whole is not read again until it changes.

    Raises:
        RecipeError: With the part that is damaged.
    """
    if "://" in str(path) or not Path(path).is_file():
        return
    found = Path(path).stat()
    known = (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
    if known in _whole:
        return
    settled = time.time_ns() - found.st_mtime_ns > _SETTLED_NS
    hint = "Resume from an earlier checkpoint, one that unlearnkit or Lightning wrote."
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, EOFError) as error:
        raise RecipeError(
            f"--ckpt_path: {path} is damaged, or is no checkpoint: {error}", hint=hint
        ) from error
    if damaged is not None:
        raise RecipeError(
            f"--ckpt_path: {path} is damaged: the bytes of {damaged} are not those that were "
            "written",
            hint=hint,
        )
    if settled:
        _whole.add(known)
