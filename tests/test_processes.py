"""Processes of the tests are like new ones."""

from __future__ import annotations

import os
import sys

import pytest
from processes import LIBRARIES, run, run_code, run_ranks


def say(word: str) -> int:
    print(word, os.getcwd(), "unlearnkit" in sys.modules)
    print(*(name for name in LIBRARIES if name in sys.modules), file=sys.stderr)
    return 3


def tell_rank() -> None:
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    print(rank_zero_only.rank, os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"])


def fail() -> None:
    raise RuntimeError("an error of its own")


def test_a_process_has_the_libraries_and_nothing_of_us(tmp_path) -> None:
    done = run(say, "word", cwd=tmp_path)
    assert done == (3, f"word {tmp_path} False\n", " ".join(LIBRARIES) + "\n")


def test_ranks_know_their_number() -> None:
    assert [done.stdout for done in run_ranks(2, tell_rank)] == ["0 0 2\n", "1 1 2\n"]


def test_an_error_is_told() -> None:
    done = run(fail)
    assert done.returncode == 1
    assert "RuntimeError: an error of its own" in done.stderr


def test_code_does_not_reach_the_package() -> None:
    assert run_code("import sys; print(sys.argv[1])", "a b") == "a b\n"
    with pytest.raises(AssertionError, match="import of unlearnkit halted"):
        run_code("import unlearnkit")
