"""A process that is killed while a sharded checkpoint is written leaves a whole one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kills import MOMENTS, main
from processes import start
from rows import UNEQUAL

SHORT = ("1 writes its shards", "0 writes the list", "0 has renamed the checkpoint before")
REST = tuple(each for each in MOMENTS if each not in SHORT)
LEFT = {"1 writes its shards", "0 writes the list"}
"""Moments of `SHORT` at which a folder of shards has been begun and has no name yet."""
pytestmark = pytest.mark.slow
short = pytest.param(SHORT, marks=pytest.mark.ranks, id="short")


@pytest.fixture(scope="module")
def killed(request, tmp_path_factory, written) -> Path:
    """What runs that were killed at some moments, and went on, have written."""
    out = tmp_path_factory.mktemp("killed")
    done = start(main, str(out), str(written(**UNEQUAL)), *request.param).wait()
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("killed", [short, pytest.param(REST, id="rest")], indirect=True)
def test_a_kill_while_shards_are_written_leaves_a_checkpoint_to_go_on_from(killed) -> None:
    found = json.loads((killed / "weights.json").read_text())
    whole = found.pop("whole")
    assert whole
    assert set(found) in (set(SHORT), set(REST))
    for moment, weights in found.items():
        assert weights == whole, moment


@pytest.mark.parametrize("killed", [short], indirect=True)
def test_shards_that_a_kill_left_unfinished_are_removed_by_the_next_run(killed) -> None:
    left = json.loads((killed / "left.json").read_text())
    assert {moment for moment, names in left.items() if names["by the kill"]} >= LEFT
    assert not any(names["by the next run"] for names in left.values())
