"""Steps in parts and cached references of sharded models, on two processes against one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from processes import run_ranks
from rounding import near
from rows import MANY_PROMPTS
from safetensors.torch import load_file
from strategies import several

pytestmark = [pytest.mark.slow, pytest.mark.ranks]

FSDP2: dict[str, Any] = {"devices": 2, "strategy": "fsdp2"}
COPIES: dict[str, Any] = {"devices": 2, "hsdp": {"shard": 1, "replicate": 2}}
STEPS: dict[str, Any] = {"steps": 6, "rows": 4}

Runs = dict[str, dict[str, Any]]


def _run(out: Path, folder: Path, ranks: int, runs: Runs) -> dict[str, list[Any]]:
    """What each rank found of each run."""
    for name in runs:
        (out / name).mkdir(parents=True)
    for done in run_ranks(ranks, several, str(out), str(folder), json.dumps(runs)):
        assert done.returncode == 0, done.stderr
    return {
        name: [json.loads(path.read_text()) for path in sorted((out / name).glob("rank*.json"))]
        for name in runs
    }


def _hold_to_one_process(ranks: list[Any], whole: Any) -> None:
    assert len(ranks) == 2
    for step, figures in enumerate(whole["figures"]):
        for key in figures.keys() - {"total"}:
            mean = sum(rank["figures"][step][key] for rank in ranks) / 2
            assert mean == near(figures[key], size=4.0), (step, key)
    assert ranks[0]["weights"].keys() == whole["weights"].keys()
    for key, weight in whole["weights"].items():
        assert ranks[0]["weights"][key] == pytest.approx(weight, abs=1e-5), key


def test_sharded_parts_train_as_one_process_at_once(tmp_path, written) -> None:
    """The processes have different numbers of parts, and in one run the second has no row."""
    alone: Runs = {
        "full": {**STEPS},
        "lora": {**STEPS, "lora": True, "lr": 1.0},
        "accumulated": {**STEPS, "tie": True, "accumulate": 2, "clip": 0.5},
        "rows": {**STEPS, "layout": "rows"},
        "forget": {**STEPS, "rows": 2, "objectives": ["forget"]},
    }
    folder = written(**MANY_PROMPTS)
    one = _run(tmp_path / "one", folder, 1, alone)
    shared = {name: {**given, **FSDP2, "tokens": 6} for name, given in alone.items()}
    shared["copies"] = {**alone["full"], **COPIES, "tokens": 6}
    for name, ranks in _run(tmp_path / "two", folder, 2, shared).items():
        _hold_to_one_process(ranks, one[{"copies": "full"}.get(name, name)][0])
        if name != "forget":
            assert ranks[0]["parts"] != ranks[1]["parts"], name
            assert max(max(rank["parts"]) for rank in ranks) > 2


def test_a_process_without_any_row_takes_part_in_a_sharded_step(tmp_path, written) -> None:
    given = {**STEPS, "rows": 2, "objectives": ["forget"]}
    folder = written(**MANY_PROMPTS)
    one = _run(tmp_path / "one", folder, 1, {"forget": given})
    two = _run(tmp_path / "two", folder, 2, {"forget": {**given, **FSDP2}})
    assert [len(step["forget"]) for step in two["forget"][1]["rows"]][2] == 0
    _hold_to_one_process(two["forget"], one["forget"][0])


def test_sharded_parts_resume_bit_for_bit(tmp_path, written) -> None:
    path = str(tmp_path / "at.ckpt")
    given = {
        **STEPS, **FSDP2, "tokens": 6, "lora": True, "dropout": 0.3, "optimizer": "AdamW",
        "lr": 1e-2, "accumulate": 2,
    }  # fmt: skip
    runs = {
        "whole": {**given, "save": path, "after": 5},
        "resumed": {**given, "resume": path, "seed": 99},
    }
    found = _run(tmp_path / "two", written(**MANY_PROMPTS), 2, runs)
    for rank, again in zip(found["whole"], found["resumed"], strict=True):
        assert again["figures"] == rank["figures"][4:]
        assert again["weights"] == rank["weights"]


def test_values_of_a_sharded_model_are_worked_out_by_all_and_train_as_those_of_one(
    tmp_path, written
) -> None:
    """Rows are dealt three at a time, so that the second process has none in the last turn."""
    alone: Runs = {
        "full": {**STEPS},
        "lora": {**STEPS, "lora": True, "lr": 1.0},
        "tied": {**STEPS, "tie": True},
    }
    alone = {name: {**given, "reference": "cached"} for name, given in alone.items()}
    folder = written(**MANY_PROMPTS)
    one = _run(tmp_path / "one", folder, 1, alone)
    shared = {name: {**given, **FSDP2, "rows_at_once": 3} for name, given in alone.items()}
    shared["copies"] = {**alone["full"], **COPIES}
    shared["tied"]["tokens"] = 6
    for name, ranks in _run(tmp_path / "two", folder, 2, shared).items():
        like = {"copies": "full"}.get(name, name)
        _hold_to_one_process(ranks, one[like][0])
        assert ranks[0]["share"] == pytest.approx(1.0 if name == "copies" else 0.5, abs=0.02)
        whole, own = (
            load_file(tmp_path / each / "reference" / "retain.safetensors")
            for each in (f"one/{like}", f"two/{name}")
        )
        assert whole["borders"].equal(own["borders"])
        assert own["logps"] == near(whole["logps"])
        assert own["states"] == near(whole["states"], size=4.0)


def test_a_sharded_run_reads_its_values_again_and_resumes_bit_for_bit(tmp_path, written) -> None:
    path = str(tmp_path / "at.ckpt")
    given = {**STEPS, **FSDP2, "reference": "cached", "optimizer": "AdamW", "lr": 1e-2}
    runs = {
        "whole": {**given, "save": path, "after": 3},
        "resumed": {**given, "resume": path, "seed": 99},
    }
    found = _run(tmp_path / "two", written(**MANY_PROMPTS), 2, runs)
    for rank, again in zip(found["whole"], found["resumed"], strict=True):
        assert again["figures"] == rank["figures"][3:]
        assert again["weights"] == rank["weights"]
