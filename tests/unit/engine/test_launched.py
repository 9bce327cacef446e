"""What one process of torchrun refuses before it has a trainer, all refuse."""

from __future__ import annotations

import os
import time

from processes import run_ranks
from torch.distributed import PrefixStore

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
