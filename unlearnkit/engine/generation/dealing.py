"""Deals batches of an evaluation to the processes of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from zlib import crc32

import torch
import torch.distributed as dist
from torch import nn

from unlearnkit.engine.generation.lockstep import Lockstep, is_apart

Result = TypeVar("Result")

LONGEST_WAIT = timedelta(days=2)
"""How long a process waits for another's batches. One that has died is noticed at once."""


@dataclass(frozen=True)
class Ranks:
    """The processes that share an evaluation.

    Args:
        group: Their process group, of the backend gloo.
    """

    group: dist.ProcessGroup

    @classmethod
    def joined(cls, timeout: timedelta | None = LONGEST_WAIT) -> Ranks | None:
        """All processes of this run, in a group of their own; None of a single process.

        A collective call: every process of the run has to make it, before the long work begins.

        Args:
            timeout: How long a process waits for another; the backend's own if None.
        """
        if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
            return None
        group = dist.new_group(backend="gloo", timeout=timeout)
        assert isinstance(group, dist.ProcessGroup)
        return cls(group)

    @property
    def rank(self) -> int:
        """This process's number."""
        return self.group.rank()

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.group.size()

    def gathered(self, value: Any) -> list[Any]:
        """What each process gives, in the order of the processes."""
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self.group)
        return found

    def gathered_by_first(self, value: Any) -> list[Any]:
        """What each process gives, on the first; nothing on the others."""
        found: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(value, found, dst=0, group=self.group)
        return found or []

    def most(self, number: int) -> int:
        """The largest number that a process gives."""
        largest = torch.tensor(number)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.group)
        return int(largest)

    def of_first(self, value: Any) -> Any:
        """What the first process gives; the others wait for it."""
        sent = [value]
        dist.broadcast_object_list(sent, src=0, group=self.group)
        return sent[0]


_ranks: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


@contextmanager
def dealt(ranks: Ranks | None) -> Iterator[None]:
    """Has the processes share the batches of each call of `generate` and `score` in the block.

    Every process runs the same block, with the same models and rows, and has all results.

    Args:
        ranks: The processes; None for this one alone.
    """
    token = _ranks.set(ranks)
    try:
        yield
    finally:
        _ranks.reset(token)


def shares(costs: Sequence[float], count: int) -> list[list[int]]:
    """Numbers of the batches of each process: the dearest first, to who has least.

    Example:
        >>> shares([5, 4, 3, 1], 2)
        [[0, 3], [1, 2]]
    """
    found: list[list[int]] = [[] for _ in range(count)]
    had = [0.0] * count
    for batch in sorted(range(len(costs)), key=lambda i: -costs[i]):
        least = had.index(min(had))
        found[least].append(batch)
        had[least] += costs[batch]
    return [sorted(each) for each in found]


def over_batches(
    models: Sequence[nn.Module],
    costs: Sequence[float],
    plan: object,
    run: Callable[[int], Result],
    counted: Callable[[int], None] = lambda batch: None,
) -> list[Result]:
    """Results of all batches, of which this process runs its share.

    Batches stay whole, so that a row's result does not depend on the number of processes.

    Args:
        models: What the batches run through.
        costs: Work of each batch, in any unit.
        plan: What the batches hold, as plain values that must be the same on all processes.
        run: Runs a batch, given its number.
        counted: Called with the number of each batch that this process is done with.

    Raises:
        RuntimeError: If another process failed, or has other rows.
    """
    ranks = _ranks.get()
    if ranks is None:
        found = []
        for batch in range(len(costs)):
            found.append(run(batch))
            counted(batch)
        return found
    own: dict[int, Result] = {}
    failed: Exception | None = None
    apart = [each for each in models if is_apart(each)]
    try:
        with Lockstep(apart, ranks.group) if apart else nullcontext():
            for batch in shares(costs, ranks.size)[ranks.rank]:
                own[batch] = run(batch)
                counted(batch)
    except Exception as error:
        if apart:
            raise  # The others wait inside a pass of the model, and learn it from the connection.
        failed = error
    said = None if failed is None else f"{type(failed).__name__}: {failed}"
    every = ranks.gathered((crc32(repr(plan).encode()), said, own))
    if failed is not None:
        raise failed
    for rank, (_, error, _) in enumerate(every):
        if error is not None:
            raise RuntimeError(f"process {rank} failed: {error}")
    if len({digest for digest, _, _ in every}) > 1:
        raise RuntimeError(
            "the processes have other rows to evaluate: a suite must choose the same rows on all, "
            "for instance by a seed, and by no order of a set"
        )
    joined = {batch: found for _, _, part in every for batch, found in part.items()}
    return [joined[batch] for batch in range(len(costs))]
