"""What one process of torchrun refuses before it has a trainer, all refuse."""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import timedelta
from typing import Any

import pytest
from processes import PATIENCE, run_ranks
from torch.distributed import DistNetworkError, DistStoreError, PrefixStore

from unlearnkit.engine import launched
from unlearnkit.engine.launched import begun_by_all
from unlearnkit.errors import RecipeError, UserError


def _begin(refusing: str, kind: str) -> None:
    """One of two ranks, which one of them refuses."""
    rank = os.environ["RANK"] = os.environ["LOCAL_RANK"]

    def begin() -> str:
        if rank != refusing:
            return f"rank {rank} begins"
        raise RecipeError("no file", hint="copy it") if kind == "refusal" else KeyError("mine")

    try:
        print(begun_by_all(begin))
    except (UserError, KeyError) as error:
        print(type(error).__name__, error.args[0], getattr(error, "told", ""))


def _said(refusing: str, kind: str) -> list[str]:
    done = run_ranks(2, _begin, refusing, kind)
    assert all(each.returncode == 0 for each in done), [each.stderr for each in done]
    return [each.stdout.strip() for each in done]


def test_all_begin_where_none_refuses() -> None:
    assert _said("none", "") == ["rank 0 begins", "rank 1 begins"]


def test_what_the_second_refuses_the_first_says() -> None:
    first, second = _said("1", "refusal")
    assert second == "RecipeError no file False"
    assert first.startswith("UserError process 1 on ")
    assert first.endswith(" refuses the run: no file False")


def test_the_others_end_at_a_fault_of_one() -> None:
    first, second = _said("0", "fault")
    assert first == "KeyError mine"
    assert second.endswith(" refuses the run: KeyError: 'mine' True")


def _begin_late() -> None:
    """One of two ranks; the second one is slow to read what the first has said."""
    rank = os.environ["RANK"] = os.environ["LOCAL_RANK"]
    get = PrefixStore.get

    def slowly(store: PrefixStore, key: str) -> bytes:
        time.sleep(0.5)
        return get(store, key)

    if rank == "1":
        PrefixStore.get = slowly  # pyright: ignore
    print(begun_by_all(lambda: f"rank {rank} begins"))
    time.sleep(2.0 * (rank == "0"))  # what comes after takes longer


def test_the_first_goes_on_while_the_second_still_reads() -> None:
    done = run_ranks(2, _begin_late)
    said = [each.stdout.strip() for each in done]
    assert said == ["rank 0 begins", "rank 1 begins"], done[1].stderr


def _with_one_too_few(patience: str, late: str) -> None:
    """One of two ranks of a run of four; none of the others ever begins."""
    rank = os.environ["RANK"] = os.environ["LOCAL_RANK"]
    os.environ["WORLD_SIZE"] = "4"
    wait = launched._wait_for_all

    def patiently(store: PrefixStore, *of: int) -> None:
        """Patience begins once both have left their verdicts, however late one is."""
        store.wait(["0", "1"], timedelta(seconds=PATIENCE))
        launched._SILENCE, launched._BEGINNING = (
            timedelta(seconds=1),
            timedelta(seconds=float(patience)),
        )
        wait(store, *of)

    launched._wait_for_all = patiently
    time.sleep(2.0 * (rank == late))
    logging.lastResort = logging.StreamHandler(sys.stdout)
    try:
        begun_by_all(lambda: "begins")
    except UserError as error:
        print(error)
    if rank == "1":
        launched._KEPT[-1].set("said", "")
    else:  # it has the store
        launched._KEPT[-1].wait(["said"], timedelta(seconds=PATIENCE))


@pytest.mark.parametrize("late", ["0", "1"])
def test_who_does_not_begin_is_named(late) -> None:
    first, second = run_ranks(2, _with_one_too_few, "3", late)
    gave_up = "within 0:00:03 there was nothing of processes 2, 3 of 4\nLook at what the launcher"
    assert first.stdout.startswith("waiting for processes 2, 3 of 4, which"), first
    assert first.stdout.count("waiting for") == 1
    assert gave_up in first.stdout
    assert second.stdout.startswith(gave_up), second


class _Store:
    """One whose patience ends, and of which something is known in the next moment."""

    def __init__(self, known: bool | Exception) -> None:
        self.known = known

    def wait(self, *_: Any) -> None:
        raise DistStoreError("wait timeout")

    def check(self, _: list[str]) -> bool:
        if isinstance(self.known, Exception):
            raise self.known
        return self.known


def test_what_comes_when_patience_ends_counts(caplog) -> None:
    launched._wait_for_all(_Store(True), 0, 2)  # pyright: ignore
    assert not caplog.text
    with pytest.raises(UserError, match="who has the store of this run, process 0 or its launcher"):
        launched._wait_for_all(_Store(DistNetworkError("closed")), 1, 2)  # pyright: ignore
    with pytest.raises(UserError, match="there was nothing of processes 0, 1 of 2"):
        launched._wait_for_all(_Store(False), 1, 2)  # pyright: ignore


def _alone() -> None:
    os.environ["RANK"], os.environ["WORLD_SIZE"] = "1", "2"
    launched._BEGINNING = timedelta(seconds=1)
    try:
        begun_by_all(lambda: "begins")
    except UserError as error:
        print(error)


def test_a_first_process_that_is_not_there_is_named() -> None:
    (done,) = run_ranks(1, _alone)
    assert done.stdout.startswith("process 0 was not found at 127.0.0.1, port"), done
