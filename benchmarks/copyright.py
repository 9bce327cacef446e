"""Measures the default recipe over seeds, beside its goals.

    python -m benchmarks.copyright [--seeds 5] [--json FILE] [--quick]

Each seed is one ``unlearnkit fit --recipe copyright`` in a process of its own; the figures are
those of its ``summary.json``. ``--quick`` runs seed 0 alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import new_file

FIGURES = (
    "forget/rougeL_recall",
    "normal/rougeL_recall",
    "heldout/rougeL_recall",
    "normal/kl_to_reference",
    "forget/distinct_2",
)


class Goal(NamedTuple):
    """Something that must hold on every seed."""

    text: str
    holds: Callable[[dict[str, Any]], bool]


def _figure(run: dict[str, Any], when: str, name: str) -> float:
    return run["suites"]["copyright"][when][name]


GOALS = (
    Goal(
        "forget ROUGE-L recall before >= 0.95",
        lambda run: _figure(run, "before", FIGURES[0]) >= 0.95,
    ),
    Goal(
        "forget ROUGE-L recall after <= gold + 0.05",
        lambda run: _figure(run, "after", FIGURES[0]) <= _figure(run, "gold", FIGURES[0]) + 0.05,
    ),
    Goal(
        "protected ROUGE-L recall after >= 0.95 x before",
        lambda run: _figure(run, "after", FIGURES[1]) >= 0.95 * _figure(run, "before", FIGURES[1]),
    ),
    Goal(
        "held-out ROUGE-L recall after >= 0.80 x before",
        lambda run: _figure(run, "after", FIGURES[2]) >= 0.80 * _figure(run, "before", FIGURES[2]),
    ),
    Goal("retain KL < 0.1 nats", lambda run: _figure(run, "after", FIGURES[3]) < 0.1),
    Goal("distinct-2 after >= 0.5", lambda run: _figure(run, "after", FIGURES[4]) >= 0.5),
    Goal("under 90 s wall", lambda run: run["seconds"] < 90),
    Goal("at most 2 GiB peak memory", lambda run: run["peak_memory_mb"] <= 2048),
)


def run_seed(seed: int, folder: Path, overrides: list[str]) -> dict[str, Any]:
    """One fit in a process of its own; its summary."""
    command = [sys.executable, "-m", "unlearnkit", "fit", "--recipe", "copyright"]
    command += ["--seed_everything", str(seed), "--run_dir", str(folder / str(seed)), *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    (summary,) = (folder / str(seed)).rglob("summary.json")
    return json.loads(summary.read_text())


def show(runs: list[dict[str, Any]]) -> None:
    """A line per seed, mean and spread, then the goals."""
    print(f"{'seed':>6}" + "".join(f"{name:>25}" for name in FIGURES) + f"{'seconds':>9}{'MiB':>7}")
    for run in runs:
        cells = "".join(f"{_figure(run, 'after', name):>25.3f}" for name in FIGURES)
        print(f"{run['seed']:>6}{cells}{run['seconds']:>9.1f}{run['peak_memory_mb']:>7.0f}")
    for label, reduce in (("mean", statistics.fmean), ("sd", statistics.pstdev)):
        cells = (reduce(_figure(run, "after", name) for run in runs) for name in FIGURES)
        print(f"{label:>6}" + "".join(f"{cell:>25.3f}" for cell in cells))
    for when in ("before", "gold"):
        cells = (runs[0]["suites"]["copyright"][when].get(name) for name in FIGURES)
        shown = ("-" if cell is None else f"{cell:.3f}" for cell in cells)
        print(f"{when:>6}" + "".join(f"{cell:>25}" for cell in shown))
    for goal in GOALS:
        held = sum(goal.holds(run) for run in runs)
        print(f"{'met' if held == len(runs) else 'MISSED':>6}  {goal.text}: {held} of {len(runs)}")


def main() -> None:
    """Runs the seeds and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copyright", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="seed 0 alone")
    parser.add_argument("--json", type=new_file)
    options, overrides = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        seeds = range(1 if options.quick else options.seeds)
        runs = [run_seed(seed, Path(folder), overrides) for seed in seeds]
    show(runs)
    if options.json:
        options.json.write_text(json.dumps({"runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
