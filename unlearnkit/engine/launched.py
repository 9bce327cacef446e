"""Has all processes that torchrun started begin together, or none."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from torch.distributed import (
    DistError,
    DistNetworkError,
    DistStoreError,
    PrefixStore,  # pyright: ignore[reportPrivateImportUsage]
    TCPStore,  # pyright: ignore[reportPrivateImportUsage]
)
from torch.distributed.constants import default_pg_timeout

from unlearnkit.engine.ranks import Refusal, raise_refusals
from unlearnkit.errors import UserError

T = TypeVar("T")
_KEPT: list[Any] = []
"""The store, which the first process serves to the others where the launcher does not."""
_READING = timedelta(seconds=30)
"""How long a process that ends leaves the others to read why."""
_BEGINNING, _SILENCE = default_pg_timeout, timedelta(seconds=15)
"""How long all wait for the slowest, and after how long the first process says for whom."""

logger = logging.getLogger(__name__)


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
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = PrefixStore(f"begun {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", _store(rank))
    store.set(str(rank), json.dumps(refused and _told(refused)))
    _wait_for_all(store, rank, world)
    every: list[Refusal | None] = [_read(store, each) for each in range(world)]
    store.set(f"{rank} has read", "")
    with suppress(DistError):  # a process may have been killed, and the store with it
        store.wait([f"{each} has read" for each in range(world)], _READING)
        store.set(f"{rank} goes", "")
        if rank == 0:  # it may have the store, and torch prints a trace where a wait is cut off
            store.wait([f"{each} goes" for each in range(world)], _READING)
    if refused is None or isinstance(refused, UserError):
        raise_refusals(refused, every, rank)


def _store(rank: int) -> TCPStore:
    """The launcher's store, or else that of the first process, which later groups share.

    It is had before all have come, so that it can be said who has not.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    serves = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True)
    options: dict[str, Any] = {"wait_for_workers": False, "multi_tenant": True}
    try:
        store = TCPStore(host, port, None, serves, _BEGINNING, **options)
    except DistError as error:
        raise UserError(
            f"process 0 was not found at {host}, port {port}, within {_BEGINNING}: {error}",
            hint="Look at what the launcher of its node says.",
        ) from error
    _KEPT.append(store)
    return store


def _wait_for_all(store: PrefixStore, rank: int, world: int) -> None:
    """Waits until every process has left its verdict; the first says for whom it waits long.

    Raises:
        UserError: With those that have left none; or if the store is gone.
    """
    every = [str(each) for each in range(world)]
    for patience in (_SILENCE, _BEGINNING):
        try:
            missing = _missing(store, every, patience)
        except DistNetworkError as error:
            raise UserError(
                "who has the store of this run, process 0 or its launcher, ended before all "
                "processes had begun",
                hint="Look at what it says.",
            ) from error
        if not missing:
            return
        who = f"{'process' if len(missing) == 1 else 'processes'} {', '.join(missing)} of {world}"
        if patience is _SILENCE and rank == 0:
            logger.warning(
                "waiting for %s, which the launcher of another node may not have started yet, "
                "for at most %s", who, _BEGINNING,
            )  # fmt: skip
    raise UserError(
        f"within {_BEGINNING} there was nothing of {who}",
        hint="Look at what the launcher of their node says, then start all nodes again.",
    )


def _missing(store: PrefixStore, every: list[str], patience: timedelta) -> list[str]:
    try:
        store.wait(every, patience)
    except DistStoreError:
        return [each for each in every if not store.check([each])]
    return []


def _told(refused: Exception) -> Refusal:
    if isinstance(refused, UserError):
        return refused.message, refused.title, refused.hint, platform.node()
    return f"{type(refused).__name__}: {refused}", "fault", None, platform.node()


def _read(store: PrefixStore, rank: int) -> Refusal | None:
    found = json.loads(store.get(str(rank)))
    return found and tuple(found)
