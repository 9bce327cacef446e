"""An evaluation that two processes share finds, byte for byte, what one process finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dealt import differing, found, main
from processes import run_ranks
from rows import UNEQUAL


@pytest.fixture(scope="module")
def folder(written) -> Path:
    return written(**UNEQUAL)


@pytest.fixture(scope="module")
def one(folder) -> str:
    return json.dumps(found(folder))


def _ranks(tmp_path, function, *words: str) -> list:
    for done in run_ranks(2, function, str(tmp_path), *words):
        assert done.returncode == 0, done.stderr
    return [json.loads((tmp_path / f"rank{n}.json").read_text()) for n in (0, 1)]


def test_two_processes_find_what_one_finds(one, folder, tmp_path) -> None:
    both = _ranks(tmp_path, main, str(folder), "replicas")
    assert [json.dumps(rank["found"]) for rank in both] == [one, one]
    first, second = (rank["passes"] for rank in both)
    assert 0.4 < second / first < 1  # rows that differ less than a batch are one process's


def test_sharded_models_find_what_whole_ones_find(one, folder, tmp_path) -> None:
    both = _ranks(tmp_path, main, str(folder), "sharded")
    expected = json.loads(one)
    del expected["norms"]
    assert [rank["found"] for rank in both] == [expected, expected]
    assert both[0]["passes"] == both[1]["passes"]


def test_other_rows_and_a_failing_process_are_told_on_both(tmp_path) -> None:
    first, second = _ranks(tmp_path, differing)
    assert "the processes have other rows to evaluate" in first[0]
    assert first[0] == second[0]
    assert first[1].startswith("RuntimeError: process 1 failed: TypeError:")
    assert second[1].startswith("TypeError:")
