"""What one process of torchrun refuses before it has a trainer, all refuse."""

from __future__ import annotations

import os

from processes import run_ranks

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
