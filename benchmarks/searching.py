"""Measures what a search finds, beside blind draws of a larger budget.

    python -m benchmarks.searching FOLDER [--trials 40] [--blind 120] [--workers 2]

``unlearnkit tune`` searches the recipe ``tiny_tofu_power/npo``, once by the default sampler and
once by ``random``, each trial judged on the choosing half of 40 rows a split. Both searches are
kept in the folder and go on where they were stopped. Every trial is a line of
``results/searching.jsonl``; the last lines printed are the nearest trials that keep all bounds,
after so many trials.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import benchmarks.searching as module
from benchmarks.stored import Results
from unlearnkit.cli.tuning import STUDY

RECIPE, ROWS = "tiny_tofu_power/npo", 40
KEY = ("sampler", "trial")
RESULTS = Path(__file__).parent / "results" / "searching.jsonl"
STOPS = (10, 20, 40, 80, 120)


def main(argv: list[str] | None = None) -> None:
    """Searches, stores and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.searching",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="of both searches")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--blind", type=int, default=120, help="trials drawn at random")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    results = Results(options.results, KEY)
    for sampler, trials in (("tpe", options.trials), ("random", options.blind)):
        words = ["--tune.sampler", sampler, "--tune.budget.trials", str(trials),
                 "--tune.budget.workers", str(options.workers)]  # fmt: skip
        search(options.folder / sampler, words)
        for line in trials_of(options.folder / sampler):
            results.put({"sampler": sampler, **line})
    for line in told(results.all()):
        print(line)


def search(folder: Path, words: list[str]) -> None:
    """Runs the search, or goes on with it, and says what it took."""
    begun = next(folder.rglob(STUDY), None)
    going_on = [] if begun is None else ["--study", str(begun.parent)]
    rows = ["--evaluate.0.limit", str(ROWS), "--run_dir", str(folder)]
    fixed = ["--tune.budget.minutes", "null", "--tune.seeds", "1"]
    wall, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "unlearnkit", "tune", "--recipe", RECIPE,
         *rows, *fixed, *words, *going_on],
        check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{folder.name}: {(time.monotonic() - wall) / 60:.1f} min, {spent / 60:.1f} min of CPU")


def trials_of(folder: Path) -> list[dict[str, Any]]:
    """The trials of a search that ended; one that was ended early has no distance."""
    import optuna

    file = next(folder.rglob(STUDY))
    storage = f"sqlite:///{file}"
    (name,) = optuna.study.get_all_study_names(storage)
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    made = optuna.load_study(study_name=name, storage=storage).get_trials(states=ended)
    return [
        {
            "trial": number,
            "settings": each.params,
            "distance": each.value if each.state.name == "COMPLETE" else None,
            "broken": max(each.user_attrs.get("violations", [1.0])),
            "seconds": None if each.duration is None else round(each.duration.total_seconds(), 1),
        }
        for number, each in enumerate(made)
    ]


def nearest(lines: list[dict[str, Any]], trials: int) -> float | None:
    """The least distance of the first trials that keep all bounds; None if none does."""
    ended = [each for each in lines[:trials] if each["distance"] is not None]
    kept = [each["distance"] for each in ended if each["broken"] <= 0]
    return min(kept, default=None)


def told(lines: list[dict[str, Any]]) -> list[str]:
    """A line for each sampler and number of trials."""
    found = []
    for sampler in sorted({each["sampler"] for each in lines}, reverse=True):
        own = [each for each in lines if each["sampler"] == sampler]
        for stop in (*(s for s in STOPS if s < len(own)), len(own)):
            value = nearest(own, stop)
            shown = "none keeps the bounds" if value is None else f"{value:.3f}"
            found.append(f"{sampler}, {stop} trials: {shown}")
    return found


if __name__ == "__main__":
    main()
