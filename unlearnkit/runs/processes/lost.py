"""Tells an error that a lost process caused from a fault."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist

from unlearnkit.engine.ranks import connected
from unlearnkit.errors import UserError
from unlearnkit.processes import runs

_SAID = (
    "connection closed", "connection reset", "connection refused", "connection was likely closed",
    "broken pipe", "socket closed", "socket unexpectedly closed", "timed out", "read timeout",
    "write timeout", "connect timeout", "wait timeout", "connectfullmesh failed",
    "failed to pass monitoredbarrier", "remote process exited", "ncclremoteerror",
    "process group has been aborted", "communicator was aborted",
)  # fmt: skip
"""What gloo, NCCL and the store say where another process does not answer."""
_OF_GLOO, _OF_A_CHECK = "gloo/transport/", "enforce fail at"
_COLLECTIVE = tuple(
    str(Path(torch.__file__).parent / each) for each in ("distributed", "autograd", "nn/parallel")
)
_PATIENCE_SECONDS, _LEAVING_SECONDS = 2.0, 0.2
_others: list[tuple[int, str, int]] = []
_own_rank: list[int] = []
FIRST_OF_RUN = "UNLEARNKIT_FIRST"
"""Tells the processes that Lightning starts for the other ranks the number of the first."""


def note_others() -> None:
    """Tells the other processes of a run machine and number of this one; a collective call."""
    _others.clear()
    _own_rank.clear()
    if connected() and dist.get_world_size() > 1:
        found: list[tuple[int, str, int]] = [(0, "", 0)] * dist.get_world_size()
        own = (dist.get_rank(), platform.node(), os.getpid())
        dist.all_gather_object(found, own)
        _others.extend(each for each in found if each != own)
        _own_rank.append(own[0])


def first_of_run() -> int | None:
    """The number of the process that has started this one as another rank, if one has."""
    number = os.environ.get(FIRST_OF_RUN, "")
    return int(number) if number.isdigit() and int(number) != os.getpid() else None


def told_by_another() -> bool | None:
    """Whether a process of a lower rank is left on this machine, to say what became of the run.

    None where it is not known which there are.
    """
    lower = [n for rank, machine, n in _others if [rank] < _own_rank and machine == platform.node()]
    first = first_of_run()
    if not _others:
        if first is None:
            return None
        lower = [first]
    until = time.monotonic() + _LEAVING_SECONDS
    while any(runs(each) for each in lower):
        if time.monotonic() > until:
            return True
        time.sleep(0.05)
    return False


def lost_a_process(error: BaseException) -> bool:
    """Whether an error is due to another process of the run that is gone.

    It is where a library of communication says so, or where a collective call failed and a process
    of this machine has in fact ended. An error of this process's own code stays one.

    Args:
        error: What was raised; what it was raised from counts too.
    """
    # Before they are connected, processes wait for each other's addresses.
    if not (dist.is_available() and (connected() or "LOCAL_RANK" in os.environ)):
        return False
    chain = list(_chain(error))
    if any(isinstance(each, UserError) for each in chain):
        return False
    return any(_says_so(each) for each in chain) or (
        any(_in_a_collective(each) for each in chain) and _one_has_ended()
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from, or while handling which."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _says_so(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError):
        return False
    if isinstance(error, dist.DistNetworkError):
        return True
    said = str(error).lower()
    if _OF_GLOO in said and _OF_A_CHECK not in said:
        return True
    of_transport = isinstance(error, dist.DistError) or _in_a_collective(error)
    return of_transport and any(each in said for each in _SAID)


def _in_a_collective(error: BaseException) -> bool:
    """Whether it was raised by PyTorch's communication, or by a backward pass that has some."""
    if not isinstance(error, RuntimeError | OSError):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.startswith(_COLLECTIVE)


def _one_has_ended() -> bool:
    """Whether another process of this machine has; sockets close a little before their process."""
    here = [process for _, machine, process in _others if machine == platform.node()]
    until = time.monotonic() + _PATIENCE_SECONDS
    while here:
        if not all(runs(each) for each in here):
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return False
