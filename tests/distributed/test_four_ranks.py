"""DDP, FSDP2 and HSDP on four CPU processes train as one process does, for 50 steps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from processes import run_ranks
from rows import UNEQUAL
from strategies import several

pytestmark = [pytest.mark.slow, pytest.mark.ranks]

STEPS = {"steps": 50, "rows": 4}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.01},
    "AdamW": {"lr": 1e-3},
}
SPREAD: dict[str, dict[str, Any]] = {
    "ddp": {"strategy": "ddp"},
    "fsdp2": {"strategy": "fsdp2"},
    "hsdp": {"hsdp": {"shard": 2, "replicate": 2}},
}
SHARES = {"ddp": 1.0, "fsdp2": 0.25, "hsdp": 0.5}
"""Of the weights, that a process holds."""
STREAMS = ("forget", "mismatch", "retain")


def _run(out, folder, ranks: int, runs: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """What each rank found of each run."""
    for name in runs:
        (out / name).mkdir(parents=True)
    for done in run_ranks(ranks, several, str(out), str(folder), json.dumps(runs)):
        assert done.returncode == 0, done.stderr
    return {
        name: [json.loads(path.read_text()) for path in sorted((out / name).glob("rank*.json"))]
        for name in runs
    }


def test_four_processes_train_as_one(tmp_path, written) -> None:
    folder = written(**UNEQUAL)
    alone = {name: {**STEPS, "optimizer": name, **given} for name, given in OPTIMIZERS.items()}
    runs = {
        f"{spread}-{name}": {**options, **given, "devices": 4}
        for spread, given in SPREAD.items()
        for name, options in alone.items()
    }
    one = _run(tmp_path / "one", folder, 1, alone)
    four = _run(tmp_path / "four", folder, 4, runs)
    for run, ranks in four.items():
        spread, optimizer = run.split("-")
        (whole,) = one[optimizer]
        assert len(ranks) == 4
        assert [rank["share"] for rank in ranks] == pytest.approx([SHARES[spread]] * 4, abs=0.02)
        for step, expected in enumerate(whole["figures"]):
            for key in STREAMS:
                mean = sum(rank["figures"][step][key] for rank in ranks) / 4
                assert mean == pytest.approx(expected[key], abs=1e-5), (run, step)
        assert ranks[0]["weights"].keys() == whole["weights"].keys()
        for key, weight in whole["weights"].items():
            # Where a gradient is near 0, AdamW makes much of its rounding: up to 1.2e-7 was seen.
            near = {"abs": 1e-6, "rel": 0.0 if optimizer == "SGD" else 1e-4}
            assert ranks[0]["weights"][key] == pytest.approx(weight, **near), (run, key)
