"""Tells a watcher how far generation and scoring have come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Watcher: TypeAlias = Callable[[int, int], None]
"""Takes rows that are done, and all rows, of one call; no rows are done where a call begins."""
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Calls a watcher after each batch of rows that is generated or scored inside the block.

    Example:
        >>> seen = []
        >>> with watched(lambda done, rows: seen.append((done, rows))):
        ...     tell(0, 2)
        >>> tell(1, 2)
        >>> seen
        [(0, 2)]
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def tell(done: int, rows: int) -> None:
    """Tells the watcher, if there is one, how many rows of a call are done."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(done, rows)


def counting(sizes: Sequence[int]) -> Callable[[int], None]:
    """Tells the watcher that a call begins; gives what to call with each batch that is done.

    Args:
        sizes: Rows of each batch.
    """
    done, rows = 0, sum(sizes)
    tell(0, rows)

    def count(batch: int) -> None:
        nonlocal done
        tell(done := done + sizes[batch], rows)

    return count
