"""Measures operations, time and memory of a step beside plain finetuning.

    python -m benchmarks.step [--quick] [--json FILE] [--models SRV] [--rounds 3]

Random Llamas: S (hidden 384, 6 layers, vocabulary 32000), R (384, 12 layers, grouped queries,
vocabulary 4096), V (256, 4 layers, vocabulary 128256). Four forget prompts of 64 to 128 tokens,
each with its response and five random answers of 32 to 96 tokens, and four retain rows. One thread.
``finetune`` is the plain Hugging Face model on the same sequences in one padded batch,
``straightforward`` the same loss as ours with a padded pass per stream; both hold whole logits.
Time is process CPU time of forward and backward, paired and shuffled within a round. Memory is the
peak above what is resident before the step, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks import new_file
from benchmarks.flops import count_flops
from benchmarks.variants import (
    GRADDIFF_KL,
    LORA,
    METHOD,
    NPO,
    Step,
    Streams,
    finetune,
    ours,
    straightforward,
)
from benchmarks.workload import BATCH, SHAPES, bound, draw, random_llama

SEEDS = (0, 1, 2)
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "rows": {"layout": "rows"},
    "cached": {"reference": "cached"},
    "micro": {"max_tokens_per_micro_batch": 400},
    "lora": {"lora": LORA},
    "npo": {"names": NPO},
    "graddiff_kl": {"names": GRADDIFF_KL},
}


def make(variant: str, model: str, seed: int, batch: int = BATCH) -> Step:
    """A step by the name of its variant."""
    streams = draw(SHAPES[model].vocabulary, seed, batch)
    if variant == "straightforward":
        return straightforward(model, streams)
    if variant.startswith("finetune"):
        return finetune(model, _part(streams, variant), lora=variant == "finetune_lora")
    return ours(model, streams, **VARIANTS[variant])


EQUAL = ("default", "rows", "cached", "micro")
"""Variants whose loss and gradient are those of the straightforward step."""


def opponent(variant: str) -> str:
    """The plain finetuning that a variant is compared with: the same sequences and weights."""
    return f"finetune_{variant}" if variant in ("lora", "npo", "graddiff_kl") else "finetune"


def exact_row(model: str, variant: str, seed: int, compared: int = BATCH) -> dict[str, Any]:
    """Operations and equality: the same on every machine.

    Args:
        model: A key of `SHAPES`.
        variant: A key of `VARIANTS`, or ``finetune...`` or ``straightforward``.
        seed: Of the data.
        compared: Prompts of the step whose loss and gradient are compared.
    """
    step, run = make(variant, model, seed), counted(model, variant, seed)
    live = variant not in ("npo", "cached") and not variant.startswith("finetune")
    row: dict[str, Any] = {"model": model, "variant": variant, "seed": seed, "flops": run.flops}
    row["flops_over_bound"] = run.flops / bound(random_llama(model), step.streams, live)
    row["flops_over_finetune"] = run.flops / counted(model, opponent(variant), seed).flops
    if variant in EQUAL:
        run = counted(model, variant, seed, compared)
        plain = counted(model, "straightforward", seed, compared)
        assert run.gradient is not None
        assert plain.gradient is not None
        row["loss_gap"] = abs(run.loss - plain.loss) / max(1.0, abs(plain.loss))
        row["grad_gap"] = float((run.gradient - plain.gradient).norm() / plain.gradient.norm())
    return row


class Counted(NamedTuple):
    """What one forward and backward pass did."""

    flops: int
    loss: float
    gradient: Tensor | None


@lru_cache(maxsize=6)  # of one model and seed: the opponents, and what is compared with them
def counted(model: str, variant: str, seed: int, batch: int = BATCH) -> Counted:
    """A step's operations and loss, and its gradient where that is compared."""
    if variant.startswith("finetune") and variant != "finetune_lora":  # PEFT moves real weights
        return Counted(finetune_flops(model, variant, seed, batch), math.nan, None)
    step = make(variant, model, seed, batch)
    losses: list[Tensor] = []
    flops = count_flops(lambda: losses.append(step.run()))
    compared = variant in (*EQUAL, "straightforward")
    return Counted(flops, float(losses[0]), step.gradient() if compared else None)


def finetune_flops(model: str, variant: str, seed: int, batch: int = BATCH) -> int:
    """Operations of plain finetuning, from shapes alone: nothing else of it is compared."""
    streams = draw(SHAPES[model].vocabulary, seed, batch)
    with FakeTensorMode(allow_non_fake_inputs=True):
        return count_flops(finetune(model, _part(streams, variant)).run)


def _part(streams: Streams, variant: str) -> Streams:
    names = {"finetune_npo": NPO, "finetune_graddiff_kl": GRADDIFF_KL}.get(variant, METHOD)
    return {name: streams[name] for name in names}


def time_ratios(model: str, variants: list[str], rounds: int) -> dict[str, list[float]]:
    """CPU time of each variant over its opponent's, round by round."""
    names = sorted({*variants, *(opponent(v) for v in variants)})
    ratios: dict[str, list[float]] = {variant: [] for variant in variants}
    for round_ in range(rounds):
        order = names[:]
        random.Random(round_).shuffle(order)
        seconds: dict[str, float] = {}
        for name in order:
            step = make(name, model, SEEDS[round_ % len(SEEDS)])
            start = time.process_time()
            step.run()
            seconds[name] = time.process_time() - start
        for variant in variants:
            ratios[variant].append(seconds[variant] / seconds[opponent(variant)])
    return ratios


def memory_mb(model: str, variant: str) -> float:
    """Peak above resident of one step, in MiB, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.step", "--memory-of", model, variant]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def _print_memory(model: str, variant: str) -> None:
    step = make(variant, model, SEEDS[0])
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step.run()
    print((_status("VmHWM") - before) / 1024)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def measure(models: str, rounds: int, quick: bool) -> list[dict[str, Any]]:
    """All rows, averaged over the data seeds; each model's are shown as they are found."""
    variants = ["default", "finetune"] if quick else [*VARIANTS, "finetune", "straightforward"]
    seeds, compared = (SEEDS[:1], 1) if quick else (SEEDS, BATCH)
    rows: list[dict[str, Any]] = []
    for number, model in enumerate(models):
        found: dict[str, dict[str, Any]] = {}
        exact = {(s, v): exact_row(model, v, s, compared) for s in seeds for v in variants}
        for variant in variants:
            runs = [exact[seed, variant] for seed in seeds]
            row = {"model": model, "variant": variant}
            for key in ("flops", "flops_over_bound", "flops_over_finetune"):
                row[key] = statistics.fmean(run[key] for run in runs)
            for key in ("loss_gap", "grad_gap"):
                row[key] = max((run[key] for run in runs if key in run), default=None)
            found[variant] = row
        if not quick:
            _measure_time_and_memory(model, variants, rounds, found)
        show(list(found.values()), heading=number == 0)
        rows += found.values()
    return rows


def _measure_time_and_memory(
    model: str, variants: list[str], rounds: int, rows: dict[str, dict[str, Any]]
) -> None:
    for variant, ratios in time_ratios(model, variants, rounds).items():
        rows[variant]["cpu_over_finetune"] = statistics.median(ratios)
        rows[variant]["cpu_range"] = [min(ratios), max(ratios)]
    for variant in variants:
        rows[variant]["step_memory_mb"] = memory_mb(model, variant)
    plain = rows["straightforward"]["step_memory_mb"]
    for row in rows.values():
        row["memory_over_straightforward"] = row["step_memory_mb"] / plain


def show(rows: list[dict[str, Any]], heading: bool = True) -> None:
    """A table; a dash is what was not measured or has no meaning for the row."""
    columns = {
        "flops_over_bound": "FLOPs/bound",
        "flops_over_finetune": "FLOPs/finetune",
        "cpu_over_finetune": "CPU/finetune",
        "step_memory_mb": "memory MiB",
        "memory_over_straightforward": "memory/straight",
        "loss_gap": "loss gap",
        "grad_gap": "grad gap",
    }
    if heading:
        print(f"{'model':6}{'variant':17}" + "".join(f"{t:>17}" for t in columns.values()))
    for row in rows:
        cells = (_cell(key, row.get(key)) for key in columns)
        line = f"{row['model']:6}{row['variant']:17}" + "".join(f"{cell:>17}" for cell in cells)
        print(line, flush=True)


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    if key.endswith("gap"):
        return f"{value:.1e}"
    return f"{value:.0f}" if key == "step_memory_mb" else f"{value:.3f}"


def main() -> None:
    """Measures, prints a table, and writes JSON on request."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="operations of the default on one data seed, and equality on one of its prompts",
    )
    parser.add_argument("--models", default="SRV")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=new_file)
    parser.add_argument("--memory-of", nargs=2, metavar=("MODEL", "VARIANT"))
    options = parser.parse_args()
    if options.memory_of:
        _print_memory(*options.memory_of)
        return
    rows = measure(options.models, options.rounds, options.quick)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
