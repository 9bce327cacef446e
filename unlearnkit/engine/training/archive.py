"""Checks the bytes of a checkpoint against its own checksums."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from unlearnkit.errors import RecipeError


def refuse_damaged(path: Any) -> None:
    """Refuses a local checkpoint whose bytes are not those that were written.

    Its file is an archive with a checksum of each tensor, which torch writes and does not check.

    Raises:
        RecipeError: With the part that is damaged.
    """
    if "://" in str(path) or not Path(path).is_file():
        return
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
