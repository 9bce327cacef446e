"""Plan of the rows of each training step, without state."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

Order = np.ndarray[tuple[int], np.dtype[Any]]
"""Row numbers, ``[n]``."""


class Draw(NamedTuple):
    """One row drawn from a stream.

    ``occurrence`` counts the stream's draws from the start of training, over all ranks, so a
    stream can make its n-th draw differ from the others and still repeat it after a restart.
    """

    row: int
    occurrence: int


class Draws(NamedTuple):
    """Successive draws of a stream."""

    rows: Order
    """The row of each draw."""
    first: int
    """Occurrence of the first draw; that of the others follows."""


class StreamPlan(NamedTuple):
    """What the plan knows of a stream."""

    rows: int
    batch_size: int
    follows: str | None = None


def derived_seed(*parts: object) -> int:
    """A seed below 2^63 from any parts, equal on every machine.

    Example:
        >>> derived_seed(1, "retain", 0) == derived_seed(1, "retain", 0)
        True
        >>> derived_seed(1, "retain", 0) == derived_seed(1, "retain", 1)
        False
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def permutation(seed: int, rows: int) -> Order:
    """A random order of ``rows`` rows, ``[rows]``; it is not to be written to.

    The last few orders are kept, fewer of long ones: what is kept stays below some dozen MiB for
    each million rows, however many passes are drawn.

    Example:
        >>> sorted(permutation(3, 5).tolist())
        [0, 1, 2, 3, 4]
    """
    return (_short_order if rows <= _SHORT else _long_order)(seed, rows)


def _order(seed: int, rows: int) -> Order:
    drawn = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    return drawn.numpy().astype(np.int32 if rows < 2**31 else np.int64)


_SHORT = 2**14
# A step draws from a pass of each stream, or two where it reaches over a pass's end.
_long_order = lru_cache(maxsize=8)(_order)
_short_order = lru_cache(maxsize=64)(_order)


@dataclass(frozen=True)
class StepPlan:
    """Rows of every micro-batch as f(seed, stream, step, rank, world).

    An epoch is one pass over the anchor stream; its last micro-batch may be short, and is dealt
    out evenly to the ranks. The other streams continue without replacement, pass after pass,
    however the epochs fall. A stream that follows another (random answers to the forget prompts)
    takes that stream's draws.

    Args:
        streams: Sizes by stream name.
        anchor: The stream whose pass is an epoch.
        seed: Seed of all orders.
        world: Number of processes.
        accumulate: Micro-batches per optimiser step, on each process.
        shuffle: Draw in a random order, another one each pass; else in file order.
        limit: Most micro-batches per epoch; the rest of the anchor's pass is left out.

    Example:
        >>> plan = StepPlan({"forget": StreamPlan(3, 1), "retain": StreamPlan(50, 1)}, seed=0)
        >>> plan.steps_per_epoch
        3
        >>> len({plan.draws("retain", step, rank=0)[0].row for step in range(50)})
        50
    """

    streams: Mapping[str, StreamPlan]
    anchor: str = "forget"
    seed: int = 0
    world: int = 1
    accumulate: int = 1
    shuffle: bool = True
    limit: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Micro-batches per epoch on each process."""
        anchor = self.streams[self.anchor]
        steps = -(-anchor.rows // (anchor.batch_size * self.world))
        return steps if self.limit is None else min(steps, self.limit)

    @property
    def updates_per_epoch(self) -> int:
        """Optimiser steps per epoch; the last is of fewer micro-batches where they do not divide.

        A window never reaches into the next epoch, also where it is longer than an epoch.
        """
        return -(-self.steps_per_epoch // self.accumulate)

    def updates(self, max_epochs: int | None, max_steps: int) -> int | None:
        """Optimiser steps of a fit with these bounds of Lightning's Trainer; None if unbounded.

        Example:
            >>> StepPlan({"forget": StreamPlan(10, 2)}, accumulate=2).updates(3, -1)
            9
        """
        bounds = [max_steps] if max_steps >= 0 else []
        if max_epochs is not None and max_epochs >= 0:
            bounds.append(max_epochs * self.updates_per_epoch)
        return min(bounds) if bounds else None

    def draws(self, stream: str, step: int, rank: int) -> list[Draw]:
        """Rows of one stream in micro-batch ``step`` (counted over all epochs) of a rank."""
        stream = self._drawn_from(stream)
        occurrences = self._occurrences(stream, range(step, step + 1))[rank :: self.world]
        rows = self._rows(stream, occurrences)
        return [Draw(int(row), n) for row, n in zip(rows, occurrences, strict=True)]

    def draws_of_window(self, stream: str, step: int) -> Draws:
        """Rows of one stream in the optimiser step that ``step`` belongs to, of all ranks."""
        stream = self._drawn_from(stream)
        occurrences = self._occurrences(stream, self.window(step))
        return Draws(self._rows(stream, occurrences), occurrences.start)

    def window(self, step: int) -> range:
        """The micro-batches of the optimiser step that ``step`` belongs to.

        The last window of an epoch is short when the epoch's length is no multiple of it.
        """
        epoch, index = divmod(step, self.steps_per_epoch)
        start = epoch * self.steps_per_epoch
        first = index - index % self.accumulate
        return range(start + first, start + min(first + self.accumulate, self.steps_per_epoch))

    def rows_per_update(self, stream: str) -> int:
        """Rows of one stream in an optimiser step, over all processes; a short last one has fewer.

        Example:
            >>> plan = StepPlan({"forget": StreamPlan(3, 8), "retain": StreamPlan(50, 8)})
            >>> plan.rows_per_update("forget"), plan.rows_per_update("retain")
            (3, 8)
        """
        return len(self._occurrences(self._drawn_from(stream), self.window(0)))

    def _drawn_from(self, stream: str) -> str:
        while (followed := self.streams[stream].follows) is not None:
            stream = followed
        return stream

    def _occurrences(self, stream: str, steps: range) -> range:
        """The stream's draws in successive micro-batches of one epoch, over all ranks."""
        plan = self.streams[stream]
        together = plan.batch_size * self.world
        if stream != self.anchor:
            return range(steps.start * together, steps.stop * together)
        epoch, index = divmod(steps.start, self.steps_per_epoch)
        first = epoch * plan.rows + index * together
        return range(first, min(first + len(steps) * together, (epoch + 1) * plan.rows))

    def _rows(self, stream: str, occurrences: range) -> Order:
        """The row of each draw."""
        rows = self.streams[stream].rows
        turns, places = np.divmod(np.asarray(occurrences, dtype=np.int64), rows)
        if not self.shuffle:
            return places
        found = np.empty_like(places)
        borders = [0, *(np.flatnonzero(np.diff(turns)) + 1), len(turns)]
        for start, stop in pairwise(borders):
            if start < stop:
                order = permutation(derived_seed(self.seed, stream, int(turns[start])), rows)
                found[start:stop] = order[places[start:stop]]
        return found
