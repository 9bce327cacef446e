"""On-disk cache of token ids, shared by the processes of a machine.

An entry is what one call of a tokenizer gave. Its name is a digest of all that went in (the
tokenizer's rules, the libraries' versions, the texts), its first bytes a digest of the entry
itself: a mismatch is recomputed and overwritten. An entry is written under a name
of its own and then moved into place, so that processes may write side by side.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np

from unlearnkit.files import at_home
from unlearnkit.models.fingerprint import tokenizer_fingerprint

logger = logging.getLogger(__name__)

VARIABLE = "UNLEARNKIT_CACHE"
MOST_BYTES = 2 * 2**30
"""Size of the folder above which the entries that were read longest ago are removed."""
LEAST_CHARACTERS = 2**14
"""Texts of fewer characters together are tokenised sooner than found."""

_FORMAT = b"unlearnkit tokens 1"
_DIGEST = 32
_LOOKED_AFTER = 2**28
_UNFINISHED = ".unfinished"
_ENTRY = re.compile(r"[0-9a-f]{64}|\w+\.unfinished")


def cache_folder() -> Path | None:
    """The folder that ``UNLEARNKIT_CACHE`` names; None if it is set to nothing.

    By default ``unlearnkit`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        return at_home(named) if named.strip() else None
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "unlearnkit"


class KeptTokens:
    """The entries of one tokenizer.

    Args:
        tokenizer: A Hugging Face tokenizer.
        folder: Where entries lie.

    Example:
        >>> from tempfile import mkdtemp
        >>> from unlearnkit.models.base import load_tokenizer
        >>> kept = KeptTokens(load_tokenizer("tiny"), Path(mkdtemp()))
        >>> kept.load(["a ferry"]) is None
        True
        >>> kept.store(["a ferry"], [[5, 6]])
        >>> kept.load(["a ferry"])
        [[5, 6]]
    """

    def __init__(self, tokenizer: Any, folder: Path) -> None:
        self._folder = folder
        self._identity = "\n".join(
            (
                tokenizer_fingerprint(tokenizer),
                f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}",
                f"special tokens split: {tokenizer.split_special_tokens}",
                *(f"{library} {version(library)}" for library in ("tokenizers", "transformers")),
            )
        )
        # The first entry that is written prunes the folder.
        self._written, self._writable = _LOOKED_AFTER, True

    @classmethod
    def of(cls, tokenizer: Any) -> KeptTokens | None:
        """The entries of a tokenizer; None where nothing is kept.

        Nothing is kept of a tokenizer whose rules cannot all be read: one in Python, or of a class
        that a model brought along.
        """
        folder = cache_folder()
        known = type(tokenizer).__module__.startswith("transformers.")
        if folder is None or not known or not hasattr(tokenizer, "backend_tokenizer"):
            return None
        return cls(tokenizer, folder / "tokens")

    def load(self, texts: Sequence[str]) -> list[list[int]] | None:
        """The token ids of each text, or None if they are not there or not as they were written."""
        path = self._path(texts)
        try:
            raw = path.read_bytes()
        except OSError:
            return None
        digest, content = raw[:_DIGEST], raw[_DIGEST:]
        if _digest(path.name.encode(), content) != digest:
            logger.warning("%s is damaged and is written anew", path)
            return None
        numbers = np.frombuffer(content, "<i4")
        borders, ids = np.cumsum(numbers[: len(texts)]), numbers[len(texts) :].tolist()
        with suppress(OSError):  # of a folder that may only be read
            os.utime(path)
        return [ids[start:stop] for start, stop in pairwise([0, *borders.tolist()])]

    def store(self, texts: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
        """Keeps the token ids of each text; where that fails, says so once and keeps no more."""
        if not self._writable:
            return
        path = self._path(texts)
        lengths = np.array([len(each) for each in ids], "<i4")
        content = lengths.tobytes() + b"".join(np.array(each, "<i4").tobytes() for each in ids)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=path.parent, suffix=_UNFINISHED, delete=False) as file:
                try:
                    file.write(_digest(path.name.encode(), content) + content)
                    file.flush()
                    os.replace(file.name, path)
                except BaseException:
                    os.unlink(file.name)
                    raise
        except OSError as error:
            self._writable = False
            logger.warning("tokens cannot be kept in %s: %s", self._folder, error.strerror or error)
            return
        self._written += len(content)
        if self._written > _LOOKED_AFTER:
            self._written = 0
            remove_oldest(self._folder, MOST_BYTES)

    def _path(self, texts: Sequence[str]) -> Path:
        parts = [_FORMAT, self._identity.encode(), str(len(texts)).encode()]
        key = _digest(*parts, *(text.encode("utf-8", "surrogatepass") for text in texts)).hex()
        return self._folder / key[:2] / key


def remove_oldest(folder: Path, most_bytes: int) -> None:
    """Removes the entries that were read longest ago until the others take at most so much.

    Files that are no entries are left alone, whoever put them there.
    """
    entries: list[tuple[float, int, str]] = []
    for entry in _entries(folder):
        with suppress(FileNotFoundError):  # another process prunes the folder too
            found = entry.stat()
            entries.append((found.st_mtime, found.st_size, entry.path))
    total = sum(size for _, size, _ in entries)
    yesterday = time.time() - 86400
    for changed, size, path in sorted(entries):
        left_behind = path.endswith(_UNFINISHED) and changed < yesterday
        if total > most_bytes or left_behind:
            with suppress(FileNotFoundError):
                os.unlink(path)
            total -= size


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as parts:
        for part in parts:
            if part.is_dir(follow_symlinks=False) and len(part.name) == 2:
                with os.scandir(part.path) as entries:
                    yield from (entry for entry in entries if _ENTRY.fullmatch(entry.name))


def _digest(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=_DIGEST)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
