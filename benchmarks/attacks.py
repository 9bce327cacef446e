"""Attacks one edit of each kind on the tiny TOFU.

Relearning, weights of 4 bits, and many samples to a prompt:

    python -m benchmarks.attacks [--system NAME ...] [--results FILE]

Each model is made by the commands of benchmarks.systems and attacked in a process of its own. Each
has a line in benchmarks/results/attacks.jsonl at once; what is there, of the same commands and
code, is not made again. The table of docs/edits.md is made of them by python docs/generate.py.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.stored import Results
from benchmarks.systems.running import code_digest, filled, measured
from benchmarks.systems.systems import GOLD, SUITE, SYSTEMS, Command

RESULTS = Path(__file__).parent / "results" / "attacks.jsonl"
KEY = ("system",)
SEED = 0
MODELS = ("before", "o3", "erase", "whp", "uld", "lunar", "negate")
ATTACKS: dict[str, Command] = {
    "relearn": ("--rows", "5", "--steps", "20", "--every", "20", "--lr", "3e-4"),
    "quantize": ("--bits", "4"),
    "sample": ("--samples", "20", "--leak_bleu", "60"),
}
RELEARNED = "others/exact_memorization"
SAMPLED = "forget/leak_rate"
COARSE = "forget/exact_memorization"


def run(name: str, results: Results, *more: str) -> bool:
    """Makes and attacks a model, and stores what came of it, unless that is there.

    Args:
        name: The system.
        results: Where its line is kept.
        *more: Further words of every attack.
    """
    system = SYSTEMS[name]
    known = repr((system.commands, ATTACKS, SUITE, SEED, more, code_digest()))
    digest = hashlib.sha256(known.encode()).hexdigest()[:16]
    found = results.get(name)
    if found is not None and found.get("digest") == digest:
        return False
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for command in system.commands:
            measured(tuple(filled(word, here, SEED) for word in command), here)
        model = filled(system.model, here, SEED)
        attacks: dict[str, Any] = {}
        for kind, options in ATTACKS.items():
            words = ("attack", model, kind, *options, "--gold", GOLD, "--out", f"{kind}.json")
            cost = measured((*words, "--suite", SUITE, *more), here)
            result = json.loads((here / f"{kind}.json").read_text("utf-8"))
            attacks[kind] = {
                "options": options,
                "curves": result["curves"],
                "changed": result["changed"],
                "seconds": cost.seconds,
            }
    results.put({"system": name, "digest": digest, "attacks": attacks})
    return True


def table(results: Results | None = None) -> str:
    """A row a model; beside each figure, in brackets, the gold model's under the same attack."""
    head = (
        "Model", "The attacker trains", "Others known, before", "after 20 steps", "Known in 4 bits",
        "Leak in 1 sample", "in 20",
    )  # fmt: skip
    lines = [head, ("---", "---", *["---:"] * (len(head) - 2))]
    found = {each["system"]: each["attacks"] for each in (results or Results(RESULTS, KEY)).all()}
    for name in MODELS:
        if attacks := found.get(name):
            relearn, sample = attacks["relearn"], attacks["sample"]
            lines.append(
                (
                    SYSTEMS[name].title.partition(",")[0],
                    relearn["changed"]["unlearned"],
                    _cell(relearn, 0, RELEARNED),
                    _cell(relearn, -1, RELEARNED),
                    _cell(attacks["quantize"], -1, COARSE),
                    _cell(sample, 0, SAMPLED),
                    _cell(sample, -1, SAMPLED),
                )
            )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(attack: dict[str, Any], point: int, metric: str) -> str:
    unlearned, gold = (attack["curves"][each][point][metric] for each in ("unlearned", "gold"))
    return f"{unlearned:.2f} ({gold:.2f})"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what is not there yet, and prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.attacks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--system", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    results = Results(options.results, KEY)
    for name in options.system:
        print(name, "" if run(name, results) else "(was there)", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
