"""Keeps SHA-256 digests of files, and tells them to other processes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

DIGESTS_OF_RUN = "UNLEARNKIT_DIGESTS"
"""Tells the processes that Lightning starts for the other ranks what the first has hashed."""
_SETTLED_NS = 2 * 10**9
"""Age from which a file's time of change tells whether it was changed again."""
_MOST_TOLD = 100_000
"""Characters of one variable of the environment; Linux takes 131,071 bytes."""


class _File(NamedTuple):
    """A file as it was when it was hashed; a copy on another disk has another number."""

    path: str
    number: int
    size: int
    changed: int


def file_digest(file: Path) -> bytes:
    """The SHA-256 of a file, kept until the file changes."""
    found = file.stat()
    known = _File(str(file.absolute()), found.st_ino, found.st_size, found.st_mtime_ns)
    if known in _known:
        return _known[known]
    # A file that has just been written may be written again within the clock's grain.
    settled = time.time_ns() - found.st_mtime_ns > _SETTLED_NS
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
    if settled:
        _known[known] = digest
    return digest


def hashed_so_far() -> str:
    """Digests that this process knows, for `take_hashed` in another one."""
    return json.dumps([[*file, digest.hex()] for file, digest in _known.items()])


def take_hashed(told: str) -> None:
    """Takes what another process of this run has hashed; a file that differs is read all the same.

    Args:
        told: What `hashed_so_far` gave there.
    """
    for *file, digest in json.loads(told):
        _known[_File(*file)] = bytes.fromhex(digest)


def hashed_for_children() -> dict[str, str]:
    """The variable of the environment that tells it; none if there is too much to tell."""
    told = hashed_so_far()
    return {DIGESTS_OF_RUN: told} if len(told) <= _MOST_TOLD else {}


_known: dict[_File, bytes] = {}
if DIGESTS_OF_RUN in os.environ:
    with suppress(ValueError, TypeError):  # cut or edited: files are read again
        take_hashed(os.environ[DIGESTS_OF_RUN])
