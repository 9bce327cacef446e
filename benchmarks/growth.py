"""Measures how the CPU time of a step grows with its rows.

    python -m benchmarks.growth [--quick] [--json FILE] [--models SRV] [--batches 4 16 32]

The workload of `benchmarks.step` with more prompts a step: each has a response and five random
answers, and as many retain rows go with them. Models have two of their decoder blocks, so that 32
prompts fit a small machine; finetuning is left out where its logits would not. ``equal`` is a
second workload: prompts of 96 tokens and answers of 64, all of one length, in which finetuning has
no padding. Variants alternate within a round; each figure is the median of the rounds, a ratio one
of the same round. One thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import torch

from benchmarks import new_file
from benchmarks.variants import Step, finetune, ours
from benchmarks.workload import RANDOM_ANSWERS, SHAPES, draw

BLOCKS = 2
LOGITS = 2**30
"""Finetuning holds whole logits; it is left out where they take more bytes than this."""
VARIANTS = ("packed", "rows", "finetune")


def make(variant: str, model: str, workload: str, batch: int) -> Step:
    """A step of one of `VARIANTS`."""
    sizes = {} if workload == "ragged" else {"prompts": (96, 96), "responses": (64, 64)}
    streams = draw(SHAPES[model].vocabulary, 0, batch, **sizes)
    return (
        finetune(model, streams) if variant == "finetune" else ours(model, streams, layout=variant)
    )


def cell(model: str, workload: str, batch: int, rounds: int) -> dict[str, Any]:
    """CPU seconds of each variant, and their ratios."""
    longest = 160 if workload == "equal" else 224
    logits = batch * (2 + RANDOM_ANSWERS) * longest * SHAPES[model].vocabulary * 4
    names = VARIANTS if logits <= LOGITS else VARIANTS[:2]
    steps = {variant: make(variant, model, workload, batch) for variant in names}
    seconds: dict[str, list[float]] = {variant: [] for variant in names}
    for _ in range(rounds):
        for variant, step in steps.items():
            start = time.process_time()
            step.run()
            seconds[variant].append(time.process_time() - start)
    row: dict[str, Any] = {"model": model, "workload": workload, "batch": batch}
    row |= {f"{name}_seconds": statistics.median(found) for name, found in seconds.items()}
    for name, other in (("packed", "rows"), ("packed", "finetune"), ("rows", "finetune")):
        if other not in seconds:
            continue
        pairs = zip(seconds[name], seconds[other], strict=True)
        row[f"{name}_over_{other}"] = statistics.median(a / b for a, b in pairs)
    return row


def measure(models: str, batches: list[int], rounds: int) -> list[dict[str, Any]]:
    """All cells; each is printed as it is found."""
    print(f"{'model':6}{'workload':10}{'rows':>5}{'ms a row':>10}{'growth':>8}"
          f"{'packed/rows':>13}{'packed/finetune':>17}{'rows/finetune':>15}")  # fmt: skip
    found: list[dict[str, Any]] = []
    for model in models:
        SHAPES[model] = SHAPES[model]._replace(layers=BLOCKS)
        for workload in ("ragged", "equal"):
            first = None
            for batch in batches:
                row = cell(model, workload, batch, rounds)
                each = row["packed_seconds"] / batch
                first = first or each
                row["growth"] = each / first
                print(f"{model:6}{workload:10}{batch:5}{1000 * each:10.1f}{row['growth']:8.2f}"
                      f"{row['packed_over_rows']:13.2f}{_cell(row, 'packed'):>17}"
                      f"{_cell(row, 'rows'):>15}", flush=True)  # fmt: skip
                found.append(row)
    return found


def _cell(row: dict[str, Any], name: str) -> str:
    found = row.get(f"{name}_over_finetune")
    return "-" if found is None else f"{found:.2f}"


def main() -> None:
    """Measures, prints a table, and writes JSON on request."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="model R, 2 and 8 rows, one round")
    parser.add_argument("--models", default="SRV")
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 16, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=new_file)
    options = parser.parse_args()
    chosen = ("R", [2, 8], 1) if options.quick else (
        options.models, options.batches, options.rounds
    )  # fmt: skip
    rows = measure(*chosen)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
