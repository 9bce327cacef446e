"""Suites of a run on two processes find what they find on one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest
from processes import PATIENCE, free_port
from rounding import near
from stub import save_stub

RECIPE = """\
seed_everything: 7
model:
  base: stub
  optimizer: {name: SGD, lr: 0.1}
  objectives:
    forget: {name: npo}
    retain: {name: retain_kl}
data:
  max_length: 64
  streams:
    forget: {name: qa, path: forget.jsonl}
    retain: {name: qa, path: retain.jsonl}
trainer:
  max_steps: 4
  max_epochs: -1
  accelerator: cpu
  enable_progress_bar: false
  callbacks: [{name: evaluate_every, steps: 2}]
evaluate: [{name: copyright, heldout: retain.jsonl, neighbour: retain.jsonl}]
"""
COUNTS = ("leak_rate", "rougeL_recall", "distinct_2", "exact_memorization", "extraction_strength")


@pytest.fixture
def fit(tmp_path):
    """Runs the recipe; the suite's figures before, after and on the way."""
    save_stub({"random_init": 1}, tmp_path / "stub")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    for name, pairs in (("forget", ["a cd", "b ee", "c da"]), ("retain", ["c ab", "d ba", "e cb"])):
        rows = ({"prompt": p, "response": r} for p, r in map(str.split, pairs))
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    def run(name, *words):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "unlearnkit", "fit", "--recipe", "recipe.yaml"),
                *("--run_dir", name, *words),
            ],
            cwd=tmp_path, timeout=PATIENCE,
            capture_output=True, text=True,
            env={**os.environ, "MASTER_PORT": str(free_port())},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (summary,) = (tmp_path / name).glob("*/*/summary.json")
        environment = (summary.parent / "environment.json").read_text()
        assert f'"processes": {words.count("ddp") + 1}' in environment
        with (summary.parent / "metrics.csv").open() as file:
            lines = [
                {key: float(value) for key, value in line.items() if value and "val/" in key}
                for line in csv.DictReader(file)
            ]
        return json.loads(summary.read_text())["suites"]["copyright"], list(filter(None, lines))

    return run


@pytest.mark.slow
@pytest.mark.ranks
def test_figures_on_two_processes_are_those_on_one(fit) -> None:
    one, one_way = fit("one", "--data.batch_size", "2")
    two, two_way = fit(
        "two", "--data.batch_size", "1", "--trainer.devices", "2", "--trainer.strategy", "ddp"
    )
    assert two["before"] == one["before"]
    assert two["after"].keys() == one["after"].keys()
    for key, value in one["after"].items():
        if key.endswith(COUNTS):
            assert two["after"][key] == value
        else:
            assert two["after"][key] == near(value, size=4.0)
    assert len(one_way) == len(two_way) == 2
    for ours, theirs in zip(one_way, two_way, strict=True):
        assert theirs == near(ours, size=4.0)
    assert one["after"]["forget/nll"] != one["before"]["forget/nll"]
