"""A process that is killed while a sharded checkpoint is written leaves a whole one."""

from __future__ import annotations

import json

import pytest
from kills import MOMENTS, main
from processes import start
from rows import UNEQUAL

pytestmark = pytest.mark.slow

SHORT = ("1 writes its shards", "0 writes the list", "0 has renamed the checkpoint before")


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(SHORT, marks=pytest.mark.ranks, id="short"),
        pytest.param(tuple(each for each in MOMENTS if each not in SHORT), id="rest"),
    ],
)
def test_a_kill_while_shards_are_written_leaves_a_checkpoint_to_go_on_from(
    tmp_path, written, moments
) -> None:
    done = start(main, str(tmp_path), str(written(**UNEQUAL)), *moments).wait(timeout=1200)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "weights.json").read_text())
    assert found.keys() == {"whole", *moments}
    assert found["whole"]
    for moment in moments:
        assert found[moment] == found["whole"], moment
