"""The command; see the package."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import benchmarks.fair as package
from benchmarks.fair import wordings
from benchmarks.fair.depth import CELLS, ROWS, Attacker
from benchmarks.fair.measuring import Measurer, one_thread
from benchmarks.fair.methods import METHODS
from benchmarks.fair.rows import write_rows
from benchmarks.fair.running import KEY, Bench
from benchmarks.stored import Results
from unlearnkit.cli.tuning import quiet

RESULTS = Path(__file__).parents[1] / "results" / "fair.jsonl"
ROUND = 3
"""Trials of a method before the next has its turn, so that all have nearly as many at any stop."""


def main(argv: list[str] | None = None) -> None:
    """Runs what is not there yet."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fair",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3, help="0 searches alone")
    parser.add_argument("--wordings", choices=METHODS, help="this method on 0, 1, 2, 4 wordings")
    parser.add_argument("--depth", action="store_true", help="attacks what was found, no search")
    parser.add_argument("--quick", action="store_true", help="two steps and two rows of each kind")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    if options.wordings:
        options.methods = [options.wordings]
    if options.quick and options.results == RESULTS:
        parser.error("--quick says nothing of a method: give it a --results of its own")
    quiet()
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder))
        measurer = Measurer(Path(folder), *((2, 2) if options.quick else ()))
        bench = Bench(Results(options.results, KEY), measurer, 2 if options.quick else None)
        bench.measure_stages()
        if options.depth:
            attack(bench, options.methods, options.seeds, quick=options.quick)
            return
        found = {}
        for trials in [*range(ROUND, options.trials, ROUND), options.trials]:
            for name in options.methods:
                found[name] = bench.search(name, trials)
                kept = "" if found[name].feasible else "  breaks a bound"
                print(f"{name}: {trials} trials, nearest {found[name].distance:.3f}{kept}",
                      flush=True)  # fmt: skip
        if options.wordings:
            best = found[options.wordings]
            wordings.run(bench, options.wordings, best, range(options.seeds))
            return
        for seed in range(options.seeds):
            for name in options.methods:
                line = bench.report(name, found[name], options.trials, seed)
                print(name, seed, show(line), flush=True)


def attack(bench: Bench, methods: list[str], seeds: int, *, quick: bool) -> None:
    """Attacks the model before unlearning and each method's, a seed of all before the next."""
    attacker = Attacker(bench, *(("noise", 2, 2) if quick else (CELLS, 100, ROWS)))
    for name, seed in [("before", 0), *((name, s) for s in range(seeds) for name in methods)]:
        line = attacker.run(name, seed)
        if line is not None:
            print(f"{name} {seed}: comes back {line['comes back']:.3f}", flush=True)


def show(line: dict) -> str:
    """A result in a line."""
    figures = line["figures"]
    if figures is None:
        return "diverged"
    words = " ".join(f"{key.split('/')[0]} {figures[key]:.3f}" for key in (
        "forget/ks_distance", "utility/model_utility", "neighbour/rougeL_recall"))  # fmt: skip
    return f"{words} relearned {figures['relearned']:.3f}  {line['seconds']} s"


if __name__ == "__main__":
    main()
