"""Tells a user's own code from that of installed packages."""

from __future__ import annotations

import sysconfig
import traceback
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


@cache
def _installed() -> tuple[Path, ...]:
    found = sysconfig.get_paths()
    places = (found[key] for key in ("stdlib", "platstdlib", "purelib", "platlib"))
    return (_PACKAGE, *(Path(each).resolve() for each in places))


def is_own_file(file: str | Path) -> bool:
    """Whether a file of code is there, and belongs to no installed package.

    Example:
        >>> is_own_file(traceback.__file__), is_own_file(__file__), is_own_file("<string>")
        (False, False, False)
    """
    path = Path(file).resolve()
    return path.is_file() and not any(path.is_relative_to(each) for each in _installed())


def own_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Where a user's code failed; None if the fault is this package's.

    What fails in another library belongs to whoever called it.

    Args:
        error: An error that was raised.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_own_file(frame.filename):
            return frame
        if Path(frame.filename).resolve().is_relative_to(_PACKAGE):
            return None
    return None
