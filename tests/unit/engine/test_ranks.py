"""What the first process finds, all have; what it refuses, all refuse."""

from __future__ import annotations

import os

import torch
from processes import run_ranks

from unlearnkit.engine.ranks import connected, found_by_first
from unlearnkit.errors import RecipeError


def test_a_process_alone_finds_by_itself() -> None:
    assert not connected()
    assert found_by_first(lambda: 3) == 3


def _meet() -> None:
    """One of two ranks."""
    rank = int(os.environ["LOCAL_RANK"])
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)

    def look() -> str:
        print("looked")
        return f"of rank {rank}"

    def refuse() -> None:
        raise RecipeError(f"refused by rank {rank}", hint="do this")

    print(found_by_first(look))
    try:
        found_by_first(refuse)
    except RecipeError as error:
        print(error.message, error.hint)


def test_the_first_of_two_finds_for_both_and_refuses_for_both() -> None:
    first, second = run_ranks(2, _meet)
    said = ["of rank 0", "refused by rank 0 do this"]
    assert first.stdout.splitlines() == ["looked", *said], first.stderr
    assert second.stdout.splitlines() == said, second.stderr
