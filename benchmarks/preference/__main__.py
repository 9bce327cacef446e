"""The command; see the package."""

from __future__ import annotations

import argparse
import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import benchmarks.preference as package
from benchmarks import new_file

METHODS = ("llmu", "dpo", "grpo")
COLUMNS = ("method", "lr", "seed", "reached", "kept", "step", "wall", "cpu", "flops")
FIGURES = ("trained", "unseen", "normal", "heldout")


def main(argv: list[str] | None = None) -> None:
    """Runs every method with every learning rate, and prints what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.preference",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-4, 3e-4, 1e-3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--target", type=float, default=0.05, help="rude rate to be reached")
    parser.add_argument("--every", type=int, default=1, help="steps between two looks")
    parser.add_argument("--max-steps", type=int, default=60)
    parser.add_argument("--json", type=new_file)
    options = parser.parse_args(argv)
    if {"dpo", "grpo"} & set(options.methods) and find_spec("trl") is None:
        parser.error("DPO and GRPO are TRL's: pip install trl -c constraints.txt")
    if not 1 <= options.every <= options.max_steps:
        parser.error("--every: expected at least 1 and at most --max-steps")
    found = _measure(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from benchmarks.preference.measure import Goal, flops_of_a_step, looker, ratios, run
    from benchmarks.preference.methods import taught
    from unlearnkit.cli.quiet import quieten

    quieten()
    torch.set_num_threads(1)
    goal = Goal(options.target, options.every, options.max_steps)
    runs: list[dict[str, Any]] = []
    starts: list[dict[str, Any]] = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            task = taught(seed, Path(folder))
            before = looker(task)(task.model)
            starts.append({"seed": seed, **before})
            print(f"taught, seed {seed}: {before}\n\n{heading()}", flush=True)
            for method in options.methods:
                step = flops_of_a_step(task, method, options.rates[0])
                for lr in options.rates:
                    found = run(task, method, lr, goal, before)
                    runs.append({**found, "flops": step * found["step"]})
                    print(line(runs[-1]), flush=True)
    shares = ratios(runs)
    for share in shares:
        costs = ", ".join(f"{k} {share[k]:.3f}" for k in ("wall", "cpu", "flops", "step"))
        print(f"llmu over {share['method']}, seed {share['seed']}: {costs}")
    return {"before": starts, "runs": runs, "ratios": shares}


def heading() -> str:
    """The two lines above the runs, in Markdown."""
    titles = (*COLUMNS, *FIGURES)
    return f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"


def line(run: dict[str, Any]) -> str:
    """One run, in Markdown; ``flops`` in units of 1e9."""
    cells = [_cell(name, run[name]) for name in (*COLUMNS, *FIGURES)]
    return f"| {' | '.join(cells)} |"


def _cell(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "flops":
        return f"{value / 1e9:.0f}"
    if name in ("lr", "seed", "method", "step"):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return f"{value:.2f}"


if __name__ == "__main__":
    main()
