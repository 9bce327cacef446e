"""Whatever a collective call ends with where another process is killed, it is known as that."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from processes import PATIENCE, free_port

from unlearnkit.errors import UserError
from unlearnkit.runs.processes import lost

FORK = multiprocessing.get_context("fork")


def _join(rank: int, port: int) -> None:
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, 2, rank == 0, timedelta(seconds=PATIENCE))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)


def _calls(name: str) -> None:
    held = torch.ones(8)
    if name == "send":
        dist.broadcast(held, src=0)
        dist.broadcast_object_list([held], src=0)
    elif name == "receive":
        dist.broadcast(held, src=1)
    elif name == "barrier":
        dist.monitored_barrier(timeout=timedelta(seconds=PATIENCE))
    elif name == "store":
        dist.distributed_c10d._get_default_store().wait(["never"], timedelta(seconds=1))
    elif name == "new group":
        dist.new_group([0, 1], timeout=timedelta(seconds=1))
    elif name == "backward":
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4))
        while True:
            model(torch.ones(2, 4)).sum().backward()
    else:
        dist.all_reduce(held)


def _other(port: int, name: str) -> None:
    _join(1, port)
    lost.note_others()
    if name == "backward":
        _calls(name)
    while True:
        time.sleep(1)


def _survivor(port: int, name: str, other: int, said) -> None:
    _join(0, port)
    lost.note_others()
    try:
        if name == "backward":
            # It is killed amid the steps, from a thread of this process.
            FORK.Process(target=_kill_soon, args=(other,)).start()
        else:
            os.kill(other, signal.SIGKILL)
        for _ in range(1000):
            _calls(name)
    except Exception as error:
        said.send((lost.lost_a_process(error), f"{type(error).__name__}: {error}"))
    else:
        said.send((False, "nothing"))
    os._exit(0)


def _kill_soon(other: int) -> None:
    time.sleep(0.3)
    os.kill(other, signal.SIGKILL)


@pytest.mark.parametrize(
    "name", ["send", "receive", "reduce", "barrier", "store", "new group", "backward"]
)
def test_an_error_at_a_call_with_a_killed_process_is_known_as_that(name) -> None:
    port = free_port()
    read, said = FORK.Pipe(duplex=False)
    other = FORK.Process(target=_other, args=(port, name))
    other.start()
    survivor = FORK.Process(target=_survivor, args=(port, name, other.pid, said))
    survivor.start()
    try:
        assert read.poll(PATIENCE), "it says nothing"
        found, words = read.recv()
    finally:
        for each in (survivor, other):
            each.kill()
            each.join()
    assert found, words


@pytest.fixture
def with_others(monkeypatch):
    """As if this were a process of two; says of the other one whether it runs."""
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr(lost, "_PATIENCE_SECONDS", 0.0)

    def of(number: int) -> None:
        monkeypatch.setattr(lost, "_others", [(1, lost.platform.node(), number)])

    return of


def _dead() -> int:
    made = FORK.Process(target=int)
    made.start()
    made.join()
    assert made.pid is not None
    return made.pid


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def _from_a_collective() -> Exception:
    """An error without the words of a transport, raised inside of PyTorch's own functions."""
    try:
        torch.autograd.backward([torch.ones(1)])
    except RuntimeError as caught:
        return caught
    raise AssertionError


@pytest.mark.parametrize("said", [
    "[/x/gloo/transport/tcp/pair.cc:9] Socket closed [127.0.0.1]:4242",
    "Gloo connectFullMesh failed with [/x/gloo/transport/tcp/pair.cc:152] timed out connecting",
    "[/x/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation",
])  # fmt: skip
def test_what_gloo_says_of_a_connection_is_enough(said, with_others) -> None:
    with_others(os.getpid())
    assert lost.lost_a_process(_raised(RuntimeError(said)))


def test_an_error_while_another_is_handled_hides_nothing(with_others) -> None:
    with_others(os.getpid())
    first = RuntimeError("[/x/gloo/transport/tcp/pair.cc:9] Socket closed [127.0.0.1]:4242")
    second = ValueError("at teardown")
    second.__context__ = first
    assert lost.lost_a_process(second)


def test_a_fault_stays_one_whether_or_not_a_process_is_gone(with_others) -> None:
    with_others(_dead())
    assert not lost.lost_a_process(_raised(RuntimeError("shape of another size; timed out")))
    assert not lost.lost_a_process(_raised(ValueError("connection closed by peer")))
    mismatch = "[enforce fail at /x/gloo/transport/tcp/pair.cc:446] op.preamble.length <= op.nbytes"
    with_others(os.getpid())
    assert not lost.lost_a_process(_raised(RuntimeError(mismatch)))
    told = UserError("bad rows")
    told.__cause__ = RuntimeError("[/x/gloo/transport/tcp/pair.cc:9] Socket closed")
    assert not lost.lost_a_process(told)


def test_an_unknown_error_of_a_collective_counts_where_a_process_is_gone(with_others) -> None:
    with_others(_dead())
    assert lost.lost_a_process(_from_a_collective())
    with_others(os.getpid())
    assert not lost.lost_a_process(_from_a_collective())


def test_of_those_that_are_left_on_a_machine_the_first_says_it(monkeypatch) -> None:
    here, dead = lost.platform.node(), _dead()
    monkeypatch.setattr(lost, "_LEAVING_SECONDS", 0.1)
    monkeypatch.setattr(lost, "_own_rank", [2])
    for others, told in (
        ([(0, here, os.getpid()), (1, here, dead)], True),
        ([(0, here, dead), (1, here, os.getpid())], True),
        ([(0, here, dead), (1, here, dead), (3, here, os.getpid())], False),
        ([(0, "another machine", os.getpid()), (1, here, dead)], False),
    ):
        monkeypatch.setattr(lost, "_others", others)
        assert lost.told_by_another() is told, others


def test_before_they_know_each_other_the_process_that_started_it_is_known(monkeypatch) -> None:
    monkeypatch.setattr(lost, "_others", [])
    monkeypatch.setattr(lost, "_LEAVING_SECONDS", 0.1)
    monkeypatch.delenv(lost.FIRST_OF_RUN, raising=False)
    assert lost.told_by_another() is None
    for number, told in ((_dead(), False), (os.getppid(), True), (os.getpid(), None)):
        monkeypatch.setenv(lost.FIRST_OF_RUN, str(number))
        assert lost.told_by_another() is told
