"""Measures a recipe of the book over seeds, beside its goals.

    python -m benchmarks.copyright [--recipe copyright_deep --first 5] [--json FILE] [--quick]

Each seed is one ``unlearnkit fit --recipe copyright`` in a process of its own; the figures are
those of its ``summary.json``, and of ``attacks/relearn.json`` where the recipe attacks: exact
memorisation of the passages that the attacker did not see. ``--quick`` runs one seed.
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

FIGURES = {
    "copyright": (
        "forget/rougeL_recall",
        "normal/rougeL_recall",
        "heldout/rougeL_recall",
        "normal/kl_to_reference",
        "forget/distinct_2",
    ),
    "copyright_deep": (
        "forget/exact_memorization",
        "normal/rougeL_recall",
        "heldout/rougeL_recall",
        "neighbour/rougeL_recall",
        "relearned",
    ),
}


class Goal(NamedTuple):
    """Something that must hold on every seed."""

    text: str
    holds: Callable[[dict[str, Any]], bool]


def _figure(run: dict[str, Any], when: str, name: str) -> float:
    return run["suites"]["copyright"][when][name]


GOALS = {
    "copyright": (
        Goal(
            "forget ROUGE-L recall before >= 0.95",
            lambda run: _figure(run, "before", "forget/rougeL_recall") >= 0.95,
        ),
        Goal(
            "forget ROUGE-L recall after <= gold + 0.05",
            lambda run: (
                _figure(run, "after", "forget/rougeL_recall")
                <= _figure(run, "gold", "forget/rougeL_recall") + 0.05
            ),
        ),
        Goal(
            "protected ROUGE-L recall after >= 0.95 x before",
            lambda run: (
                _figure(run, "after", "normal/rougeL_recall")
                >= 0.95 * _figure(run, "before", "normal/rougeL_recall")
            ),
        ),
        Goal(
            "held-out ROUGE-L recall after >= 0.80 x before",
            lambda run: (
                _figure(run, "after", "heldout/rougeL_recall")
                >= 0.80 * _figure(run, "before", "heldout/rougeL_recall")
            ),
        ),
        Goal(
            "retain KL < 0.1 nats",
            lambda run: _figure(run, "after", "normal/kl_to_reference") < 0.1,
        ),
        Goal(
            "distinct-2 after >= 0.5", lambda run: _figure(run, "after", "forget/distinct_2") >= 0.5
        ),
        Goal("under 90 s wall", lambda run: run["seconds"] < 90),
        Goal("at most 2 GiB peak memory", lambda run: run["peak_memory_mb"] <= 2048),
    ),
    "copyright_deep": (
        Goal(
            "exact memorisation after <= gold + 0.10",
            lambda run: (
                _figure(run, "after", "forget/exact_memorization")
                <= _figure(run, "gold", "forget/exact_memorization") + 0.10
            ),
        ),
        Goal(
            "unseen passages after 20 steps of relearning <= 0.25",
            lambda run: _figure(run, "after", "relearned") <= 0.25,
        ),
        Goal(
            "neighbours' ROUGE-L recall after >= 0.75",
            lambda run: _figure(run, "after", "neighbour/rougeL_recall") >= 0.75,
        ),
        Goal(
            "held-out ROUGE-L recall after >= 0.90",
            lambda run: _figure(run, "after", "heldout/rougeL_recall") >= 0.90,
        ),
        Goal(
            "protected ROUGE-L recall after is 1.00",
            lambda run: round(_figure(run, "after", "normal/rougeL_recall"), 2) >= 1,
        ),
        Goal("under 90 s wall", lambda run: run["seconds"] < 90),
    ),
}


def run_seed(seed: int, folder: Path, recipe: str, overrides: list[str]) -> dict[str, Any]:
    """One fit in a process of its own; its summary, and what came back to an attacker."""
    command = [sys.executable, "-m", "unlearnkit", "fit", "--recipe", recipe]
    command += ["--seed_everything", str(seed), "--run_dir", str(folder / str(seed)), *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    (summary,) = (folder / str(seed)).rglob("summary.json")
    found = json.loads(summary.read_text())
    attacked = summary.parent / "attacks" / "relearn.json"
    if attacked.is_file():
        curves = json.loads(attacked.read_text())["curves"]
        for when, model in (("after", "unlearned"), ("gold", "gold")):
            last = curves[model][-1]["others/exact_memorization"]
            found["suites"]["copyright"][when]["relearned"] = last
    return found


def show(runs: list[dict[str, Any]], recipe: str) -> None:
    """A line per seed, mean and spread, then the goals."""
    names, goals = FIGURES[recipe], GOALS[recipe]
    print(f"{'seed':>6}" + "".join(f"{name:>27}" for name in names) + f"{'seconds':>9}{'MiB':>7}")
    for run in runs:
        cells = "".join(f"{_figure(run, 'after', name):>27.3f}" for name in names)
        print(f"{run['seed']:>6}{cells}{run['seconds']:>9.1f}{run['peak_memory_mb']:>7.0f}")
    for label, reduce in (("mean", statistics.fmean), ("sd", statistics.pstdev)):
        cells = (reduce(_figure(run, "after", name) for run in runs) for name in names)
        print(f"{label:>6}" + "".join(f"{cell:>27.3f}" for cell in cells))
    for when in ("before", "gold"):
        cells = (runs[0]["suites"]["copyright"][when].get(name) for name in names)
        shown = ("-" if cell is None else f"{cell:.3f}" for cell in cells)
        print(f"{when:>6}" + "".join(f"{cell:>27}" for cell in shown))
    for goal in goals:
        held = sum(goal.holds(run) for run in runs)
        print(f"{'met' if held == len(runs) else 'MISSED':>6}  {goal.text}: {held} of {len(runs)}")


def main() -> None:
    """Runs the seeds and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copyright", description=__doc__)
    parser.add_argument("--recipe", choices=FIGURES, default="copyright")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--json", type=new_file)
    options, overrides = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        seeds = range(options.first, options.first + (1 if options.quick else options.seeds))
        runs = [run_seed(seed, Path(folder), options.recipe, overrides) for seed in seeds]
    show(runs, options.recipe)
    if options.json:
        options.json.write_text(json.dumps({"runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
