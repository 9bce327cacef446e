"""Runs functions on several ranks, forked from this process, so that nothing is imported again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from processes import PATIENCE, free_port


def forked(count: int, function: Callable[..., Any], *arguments: Any) -> list[int | None]:
    """Runs a function on each of so many ranks; gives the codes that they end with."""
    port = free_port()
    fork = multiprocessing.get_context("fork")
    places = [(rank, count, port) for rank in range(count)]
    ranks = [fork.Process(target=_begin, args=(place, function, arguments)) for place in places]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(PATIENCE)
    return [rank.exitcode for rank in ranks]


def _begin(place: tuple[int, int, int], function: Callable[..., Any], arguments: tuple) -> None:
    rank, count, port = place
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count),
        "NODE_RANK": "0", "LOCAL_RANK": str(rank),
    }  # fmt: skip
    rank_zero_only.rank = rank
    function(*arguments)
