"""Tells which processes of this machine run."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
"""Tells machines that share a disk apart: a process's number says nothing on another one."""


def runs(process: int) -> bool:
    """Whether a process of this machine runs.

    One that has ended and that its parent has not yet collected does not.

    Args:
        process: Its number.

    Example:
        >>> runs(os.getpid())
        True
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return _state(process) not in ("Z", "X")


def _state(process: int) -> str:
    """The letter by which Linux names a process's state; empty elsewhere."""
    try:
        stat = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return ""
    # The name before it may hold blanks and parentheses.
    return stat.rpartition(b")")[2].split()[0].decode()
