"""Measures how time and operations of a step grow with its rows.

    python -m benchmarks.growth [--quick] [--json FILE] [--models SRV] [--batches 4 32 128]

The workload of `benchmarks.step` with more prompts a step: each has a response and five random
answers, and as many retain rows go with them. Models have two of their decoder blocks, so that 32
prompts fit a small machine. ``equal`` is a second workload: prompts of 96 tokens and answers of 64,
all of one length, in which finetuning has no padding. Plain finetuning of the same sequences holds
whole logits; it runs in as many parts as keep those within 1 GiB. Our steps of more than 32 rows,
in both layouts, run in parts of at most 4096 tokens (``max_tokens_per_micro_batch``).

Variants alternate within a round; each figure is the median of the rounds, a ratio one of the same
round. ``growth`` is the time a forget row over that of the smallest batch; ``a token`` the same a
token of the packed step, since rows are drawn anew for each batch. Operations are counted on shapes
alone. One thread; freed memory is kept, as `fit` on a CPU has it (``--give_back``: it is not).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks import new_file
from benchmarks.flops import count_flops
from benchmarks.variants import Streams, finetune, ours
from benchmarks.workload import RANDOM_ANSWERS, SHAPES, bound, draw, inputs, random_llama
from unlearnkit.engine.training.heap import keep_freed_memory

BLOCKS = 2
LOGITS = 2**30
"""Most bytes of the logits of a part of finetuning."""
WHOLE = 32
"""Most forget rows that our steps take at once."""
PART = 4096
"""Tokens of a part of larger steps."""
VARIANTS = ("packed", "rows", "finetune")


def streams_of(model: str, workload: str, batch: int) -> Streams:
    """The rows of a step."""
    sizes = {} if workload == "ragged" else {"prompts": (96, 96), "responses": (64, 64)}
    return draw(SHAPES[model].vocabulary, 0, batch, **sizes)


def make(variant: str, model: str, workload: str, batch: int) -> Callable[[], object]:
    """A step of one of `VARIANTS`; each call runs it forward and backward."""
    streams = streams_of(model, workload, batch)
    if variant == "finetune":
        step = finetune(model, streams, parts=finetune_parts(model, workload, batch))
        return step.run
    parts = PART if batch > WHOLE else None
    return ours(model, streams, layout=variant, max_tokens_per_micro_batch=parts).run


def finetune_parts(model: str, workload: str, batch: int) -> int:
    """Parts of the sequences that keep logits within `LOGITS`."""
    longest = 160 if workload == "equal" else 224
    logits = batch * (2 + RANDOM_ANSWERS) * longest * SHAPES[model].vocabulary * 4
    return -(-logits // LOGITS)


def operations(model: str, workload: str, batch: int) -> dict[str, float]:
    """Operations of the packed step over its bound, and over plain finetuning."""
    streams = streams_of(model, workload, batch)
    step = ours(model, streams, layout="packed")
    plain = finetune(model, streams)
    with FakeTensorMode(allow_non_fake_inputs=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of data pointers that tell tensors apart
        flops, finetuning = count_flops(step.run), count_flops(plain.run)
    return {
        "flops_over_bound": flops / bound(random_llama(model), streams, live=True),
        "flops_over_finetune": flops / finetuning,
    }


def cell(model: str, workload: str, batch: int, rounds: int) -> dict[str, Any]:
    """CPU seconds of each variant, and their ratios."""
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    steps = {variant: make(variant, model, workload, batch) for variant in VARIANTS}
    for _ in range(rounds):
        for variant, run in steps.items():
            start = time.process_time()
            run()
            seconds[variant].append(time.process_time() - start)
    row: dict[str, Any] = {"model": model, "workload": workload, "batch": batch}
    row["tokens"] = inputs(streams_of(model, workload, batch))
    row |= {f"{name}_seconds": statistics.median(found) for name, found in seconds.items()}
    for name, other in (("packed", "rows"), ("packed", "finetune"), ("rows", "finetune")):
        pairs = zip(seconds[name], seconds[other], strict=True)
        row[f"{name}_over_{other}"] = statistics.median(a / b for a, b in pairs)
    return row | operations(model, workload, batch)


def measure(models: str, batches: list[int], rounds: int) -> list[dict[str, Any]]:
    """All cells; each is printed as it is found."""
    print(f"{'model':6}{'workload':10}{'rows':>5}{'ms a row':>10}{'growth':>8}{'a token':>9}"
          f"{'packed/rows':>13}{'packed/finetune':>17}{'rows/finetune':>15}"
          f"{'FLOPs/bound':>13}{'FLOPs/finetune':>16}")  # fmt: skip
    found: list[dict[str, Any]] = []
    for model in models:
        SHAPES[model] = SHAPES[model]._replace(layers=BLOCKS)
        for workload in ("ragged", "equal"):
            first: dict[str, Any] | None = None
            for batch in batches:
                row = cell(model, workload, batch, rounds)
                first = first or row
                for name, size in (("growth", "batch"), ("growth_a_token", "tokens")):
                    row[name] = (row["packed_seconds"] / row[size]) / (
                        first["packed_seconds"] / first[size]
                    )
                print(f"{model:6}{workload:10}{batch:5}{1000 * row['packed_seconds'] / batch:10.1f}"
                      f"{row['growth']:8.2f}{row['growth_a_token']:9.2f}"
                      f"{row['packed_over_rows']:13.2f}{row['packed_over_finetune']:17.2f}"
                      f"{row['rows_over_finetune']:15.2f}{row['flops_over_bound']:13.3f}"
                      f"{row['flops_over_finetune']:16.2f}", flush=True)  # fmt: skip
                found.append(row)
    return found


def main() -> None:
    """Measures, prints a table, and writes JSON on request."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="model R, 2 and 8 rows, one round")
    parser.add_argument("--models", default="SRV")
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 32, 128])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=new_file)
    parser.add_argument("--give_back", action="store_true", help="as the C library does by itself")
    options = parser.parse_args()
    if not options.give_back:
        keep_freed_memory(torch.device("cpu"))
    chosen = ("R", [2, 8], 1) if options.quick else (
        options.models, options.batches, options.rounds
    )  # fmt: skip
    rows = measure(*chosen)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
