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

    One that has ended and that its parent has not yet collected does not, nor one that is being
    ended by the system, which on a busy machine takes a while.

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
    return not _ends(_stat(process))


_EXITING = 0x4
"""PF_EXITING of Linux: the process runs none of its own code any more."""


def _stat(process: int) -> bytes:
    """What Linux says of a process; empty elsewhere."""
    try:
        return Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return b""


def _ends(stat: bytes) -> bool:
    """Whether a process has ended, or is about to: its sockets are closed a while before."""
    # The name before it may hold blanks and parentheses.
    fields = stat.rpartition(b")")[2].split()
    return len(fields) > 6 and (fields[0] in (b"Z", b"X") or bool(int(fields[6]) & _EXITING))
