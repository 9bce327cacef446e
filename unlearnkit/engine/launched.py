"""Has all processes that torchrun started begin together, or none."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from torch.distributed import (
    DistError,
    DistStoreError,
    PrefixStore,  # pyright: ignore[reportPrivateImportUsage]
)
from torch.distributed.constants import default_pg_timeout
from torch.distributed.rendezvous import rendezvous

from unlearnkit.engine.ranks import Refusal, raise_refusals
from unlearnkit.errors import UserError

T = TypeVar("T")
_KEPT: list[Any] = []
"""The store, which the first process serves to the others where the launcher does not."""
_READING = timedelta(seconds=30)
"""How long a process that ends leaves the others to read why."""


def begun_by_all(begin: Callable[[], T]) -> T:
    """What ``begin`` gives here, once it has passed on every process that torchrun started.

    For what comes before there is a trainer, whose strategy says how the processes are connected:
    they meet in torchrun's own store, where each leaves its verdict. That takes no longer than the
    slowest process, for which all would wait later.

    Args:
        begin: Called on each process.

    Raises:
        UserError: On all processes, if it raises an error on any: a process's own, else that of
            the first that refused, with its number and machine.
    """
    try:
        found = begin()
    except Exception as error:
        with suppress(DistError):  # what is wrong here is said, whether or not others hear it
            _meet(error)
        raise
    _meet(None)
    return found


def _meet(refused: Exception | None) -> None:
    """Waits for the verdicts of all, and raises what this or another process refused."""
    store, rank, world = next(rendezvous("env://", timeout=default_pg_timeout))
    _KEPT.append(store)
    store = PrefixStore(f"begun {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    store.set(str(rank), json.dumps(refused and _told(refused)))
    every: list[Refusal | None] = [_read(store, each) for each in range(world)]
    store.set(f"{rank} has read", "")
    with suppress(DistError):  # who has the store may have ended, once it knew that all have read
        store.wait([f"{each} has read" for each in range(world)], _READING)
    if refused is None or isinstance(refused, UserError):
        raise_refusals(refused, every, rank)


def _told(refused: Exception) -> Refusal:
    if isinstance(refused, UserError):
        return refused.message, refused.title, refused.hint, platform.node()
    return f"{type(refused).__name__}: {refused}", "fault", None, platform.node()


def _read(store: Any, rank: int) -> Refusal | None:
    try:
        found = json.loads(store.get(str(rank)))
    except DistStoreError as error:
        raise UserError(
            f"process {rank} has not begun after {default_pg_timeout}",
            hint="Look at what the launcher of its node says.",
        ) from error
    return found and tuple(found)
