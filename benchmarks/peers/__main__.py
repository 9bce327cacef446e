"""The command; see the package."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import benchmarks.peers as package
from benchmarks import new_file
from benchmarks.peers import KEEP, MODELS, SIDES
from benchmarks.peers.checkout import PEERS, NoCheckout, recognise

COLUMNS = (
    ("loss", "loss"),
    ("model", "model"),
    ("cpu_ratio", "CPU ours/theirs"),
    ("flops_ratio", "FLOPs ours/theirs"),
    ("memory_ratio", "memory ours/theirs"),
    ("loss_gap", "loss gap"),
    ("forget_nll", "forget NLL ours, theirs"),
    ("forget_nll_ratio", "ratio"),
    ("retain_nll", "retain NLL ours, theirs"),
    ("retain_nll_ratio", "ratio"),
)


def line(row: dict[str, Any]) -> str:
    """A row of the table, in Markdown."""
    return "| " + " | ".join(_cell(key, row[key]) for key, _ in COLUMNS) + " |"


def heading() -> str:
    """The two lines above the rows."""
    titles = [title for _, title in COLUMNS]
    return f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(f"{each:.3f}" for each in value)
    return f"{value:+.1e}" if key == "loss_gap" else f"{value:.2f}"


def main(argv: list[str] | None = None) -> None:
    """Measures and prints a table; exits with 2 where there is nothing to compare with."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkout", type=Path, nargs="?")
    parser.add_argument("--losses", nargs="+", metavar="NAME", help="by default all")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["tiny"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--batch", type=int, default=4, help="forget rows of a step")
    parser.add_argument("--keep", choices=KEEP, default=KEEP[0], help="who keeps freed memory")
    parser.add_argument("--quick", action="store_true", help="one round of the first loss")
    parser.add_argument("--json", type=new_file)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    known = " or ".join(peer.title for peer in PEERS)
    if options.checkout is None:
        parser.error(
            f"give the folder of a checkout of {known}; none of it comes with this package"
        )
    if min(options.steps, options.rounds, options.batch) < 1:
        parser.error("--steps, --rounds and --batch: expected at least 1")
    try:
        peer = recognise(options.checkout)
        # Late, since these import torch, and a refusal needs none of it.
        from benchmarks.peers.measure import Setting, compare, losses_of, run_side

        names = losses_of(options.checkout)
        for name in options.losses or ():
            if name not in names:
                parser.error(
                    f"--losses: {peer.title} is compared by {', '.join(names)}, not {name}"
                )
        drawn = (options.steps, options.seed, options.lr, options.batch, options.keep)
        settings = [
            Setting(options.checkout, loss, model, *drawn)
            for model in options.models
            for loss in options.losses or names
        ]
        if options.side:
            warnings.simplefilter("ignore")
            print(json.dumps(run_side(settings[0], options.side)))
            return
        rounds = options.rounds
        if options.quick:
            rounds, settings = 1, settings[:1]
        size = f"{options.steps} steps of {options.batch} rows, {rounds} rounds"
        print(f"{peer.title}, {size}\n\n{heading()}")
        rows = []
        for setting in settings:
            rows.append(compare(setting, rounds))
            print(line(rows[-1]), flush=True)
    except NoCheckout as error:
        parser.error(str(error))
    if options.json:
        options.json.write_text(json.dumps({"peer": peer.title, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
