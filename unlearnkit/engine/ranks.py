"""Lookups of the first process of a run, told to the others."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch.distributed as dist

from unlearnkit.errors import UserError

T = TypeVar("T")
Refusal = tuple[str, str, str | None, str]
"""Message, title and hint of an error, and the machine that refused."""


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
        refused.told = dist.get_rank() > 0
        raise refused
    return found  # pyright: ignore[reportReturnType]


def checked_by_all(check: Callable[[], T]) -> T:
    """What a check gives here, once it has passed on every process.

    A collective call once the processes are connected, so that none waits for another that has
    refused its node's files. Before that each process checks by itself.

    Args:
        check: Called on each process.

    Raises:
        UserError: On all processes, if it raises one on any: a process's own, else that of the
            first that refused, with its number and machine.
    """
    if not connected():
        return check()
    found, refused = None, None
    try:
        found = check()
    except UserError as error:
        refused = error
    own = refused and (refused.message, refused.title, refused.hint, platform.node())
    every: list[Refusal | None] = [None] * dist.get_world_size()
    dist.all_gather_object(every, own)
    raise_refusals(refused, every, dist.get_rank())
    return found  # pyright: ignore[reportReturnType]


def raise_refusals(own: UserError | None, every: Sequence[Refusal | None], rank: int) -> None:
    """Raises what this process refused, else what the first that refused has told.

    Args:
        own: This process's error.
        every: What each process told.
        rank: Of this process.

    Raises:
        UserError: If any refused.
    """
    if own is not None:
        own.told = every[rank] in every[:rank]
        raise own
    for number, other in enumerate(every):
        if other is not None:
            message, title, hint, machine = other
            error = UserError(
                f"process {number} on {machine} refuses the run: {message}", title=title, hint=hint
            )
            error.told = rank > 0
            raise error
