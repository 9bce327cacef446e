"""Lookups of the first process of a run, told to the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch.distributed as dist

from unlearnkit.errors import UserError

T = TypeVar("T")


def connected() -> bool:
    """Whether the processes of this run can talk to each other."""
    return dist.is_available() and dist.is_initialized()


def found_by_first(find: Callable[[], T]) -> T:
    """What the first process finds; the others wait for it and do not look themselves.

    A collective call once the processes are connected. Before that each process finds by itself.

    Args:
        find: Called on the first process alone; what it returns has to be picklable.

    Raises:
        UserError: On all processes, if ``find`` raises one.
    """
    if not connected():
        return find()
    held: list[tuple[T | None, UserError | None]] = [(None, None)]
    if dist.get_rank() == 0:
        try:
            held[0] = (find(), None)
        except UserError as error:
            held[0] = (None, error)
    dist.broadcast_object_list(held, src=0)
    found, refused = held[0]
    if refused is not None:
        raise refused
    return found  # pyright: ignore[reportReturnType]
