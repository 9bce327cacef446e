"""Sharded checkpoints are read by any number of processes, and by strategies that do not shard."""

from __future__ import annotations

import json

import pytest
from processes import start
from resumed import RUNS, main
from rounding import near
from rows import UNEQUAL

pytestmark = [pytest.mark.slow, pytest.mark.ranks]


def test_a_sharded_checkpoint_goes_on_as_one_two_or_four_processes(tmp_path, written) -> None:
    """An adapter of two ranks on four processes leaves two of them without a slice."""
    done = start(main, str(tmp_path), str(written(**UNEQUAL))).wait()
    assert done.returncode == 0, done.stderr
    found = {name: json.loads((tmp_path / name / "rank0.json").read_text()) for name in RUNS}
    through = found["sharded"]
    assert any(weight != 0 for key in through["weights"] if "lora_B" in key
               for weight in through["weights"][key])  # fmt: skip
    assert found["whole"]["weights"] == found["from-whole"]["weights"] == through["weights"]
    for name in ("one", "four", "replicas", "copies"):
        assert len(found[name]["figures"]) == 3
        assert found[name]["weights"].keys() == through["weights"].keys()
        for key, weight in through["weights"].items():
            assert found[name]["weights"][key] == near(weight, size=4.0), (name, key)
