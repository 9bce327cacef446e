"""Measures how time and operations of a step grow with its rows.

    python -m benchmarks.growth [--quick] [--json FILE] [--models RSV] [--batches 4 32 128]
                                [--workloads ragged equal] [--variants packed rows finetune]

The workload of `benchmarks.step` with more prompts a step: each has a response and five random
answers, and as many retain rows go with them. Models have two of their decoder blocks, so that 32
prompts fit a small machine. ``equal`` is a second workload: prompts of 96 tokens and answers of 64,
all of one length, in which finetuning has no padding. Plain finetuning of the same sequences holds
whole logits; it runs in as many parts as keep those within 1 GiB, with accumulated gradients, which
costs it nothing. Of more than 16 parts, 16 are timed, evenly spread, and stand for the others by
their positions, padding included. Our steps of more than 32 rows, in both layouts, run in parts of
at most 4096 tokens (``max_tokens_per_micro_batch``).

Variants alternate within a round, and with them the packed step of the smallest batch, of which the
median of three runs counts; each figure is the median of the rounds, a ratio one of the same round.
A part of finetuning warms up, since memory that is touched for the first time costs the more the
larger a part is. ``growth`` is the time a forget row over that of the smallest batch; ``a token``
the same a token of the packed step, since rows are drawn anew for each batch. Steps of more than 32
rows have one round. Operations are counted on shapes alone. One thread; freed memory is kept, as
`fit` on a CPU has it (``--give_back``: it is not), that of both ways: 32 rows of R take 11 GiB, and
the machine has to have it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks import new_file
from benchmarks.flops import count_flops
from benchmarks.variants import Streams, finetune, ours
from benchmarks.workload import (
    RANDOM_ANSWERS,
    SHAPES,
    bound,
    draw,
    inputs,
    random_llama,
    rows_of,
)
from unlearnkit.data.example import Example
from unlearnkit.engine.training.heap import keep_freed_memory

BLOCKS = 2
LOGITS = 2**30
"""Most bytes of the logits of a part of finetuning."""
WHOLE = 32
"""Most forget rows that our steps take at once."""
PART = 4096
"""Tokens of a part of larger steps."""
TIMED = 16
"""Most parts of finetuning that are timed."""
FIRST = 3
"""Runs of the smallest batch's step in a round of a larger one."""
WORKLOADS = ("ragged", "equal")
VARIANTS = ("packed", "rows", "finetune")


def streams_of(model: str, workload: str, batch: int) -> Streams:
    """The rows of a step."""
    sizes = {} if workload == "ragged" else {"prompts": (96, 96), "responses": (64, 64)}
    return draw(SHAPES[model].vocabulary, 0, batch, **sizes)


class Timed(NamedTuple):
    """What is run, and how many times its time stands for."""

    run: Callable[[], object]
    times: float = 1.0
    runs: int = 1
    """How often it is run, of which the median counts."""
    warm: Callable[[], object] | None = None
    """What touches the memory that a run takes."""

    def seconds(self) -> float:
        """CPU seconds, forward and backward."""
        return self.times * statistics.median(self._once() for _ in range(self.runs))

    def _once(self) -> float:
        start = time.process_time()
        self.run()
        return time.process_time() - start


def make(variant: str, model: str, workload: str, batch: int) -> Timed:
    """A step of one of `VARIANTS`; each call runs it forward and backward."""
    streams = streams_of(model, workload, batch)
    if variant == "finetune":
        return finetuning(model, streams, finetune_parts(model, workload, batch))
    parts = PART if batch > WHOLE else None
    return Timed(ours(model, streams, layout=variant, max_tokens_per_micro_batch=parts).run)


def finetuning(model: str, streams: Streams, parts: int, timed: int = TIMED) -> Timed:
    """Plain finetuning in parts, of which so many are run."""
    rows = [example for batch in streams.values() for example in batch.examples]
    each = -(-len(rows) // parts)
    every = [rows[start : start + each] for start in range(0, len(rows), each)]
    chosen = every
    if len(every) > timed:
        chosen = [every[number * len(every) // timed] for number in range(timed)]
    kept = [example for part in chosen for example in part]
    step = finetune(model, {"all": rows_of(kept)}, parts=len(chosen))
    times = sum(map(positions, every)) / sum(map(positions, chosen))
    # Made when it is run, so that its weights do not stay.
    return Timed(step.run, times, warm=lambda: finetune(model, {"all": rows_of(chosen[0])}).run())


def positions(rows: list[Example]) -> int:
    """Tokens and padding of a right-padded batch."""
    return len(rows) * max(len(row.prompt_ids) + len(row.response_ids) for row in rows)


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


def cell(
    model: str,
    workload: str,
    batch: int,
    rounds: int,
    first: int | None = None,
    variants: Sequence[str] = VARIANTS,
) -> dict[str, Any]:
    """CPU seconds of each variant, their ratios, and growth from a first batch.

    Args:
        model: A key of `SHAPES`.
        workload: Of `WORKLOADS`.
        batch: Forget rows.
        rounds: How often each is timed.
        first: Forget rows of the step that growth counts from; by default ``batch``.
        variants: Of `VARIANTS`; ``packed`` is among them.
    """
    steps = {variant: make(variant, model, workload, batch) for variant in variants}
    if first is not None and first != batch:
        step = make("packed", model, workload, first)
        steps["first"] = step._replace(runs=FIRST, warm=step.run)
    for step in steps.values():
        if step.warm is not None:
            step.warm()
    every = [{name: step.seconds() for name, step in steps.items()} for _ in range(rounds)]

    def ratio(name: str, other: str) -> float:
        return statistics.median(each[name] / each[other] for each in every)

    row: dict[str, Any] = {"model": model, "workload": workload, "batch": batch, "rounds": rounds}
    row["tokens"] = inputs(streams_of(model, workload, batch))
    for name in variants:
        row[f"{name}_seconds"] = statistics.median(each[name] for each in every)
    for name, other in (("packed", "rows"), ("packed", "finetune"), ("rows", "finetune")):
        if name in variants and other in variants:
            row[f"{name}_over_{other}"] = ratio(name, other)
    row["growth"] = row["growth_a_token"] = 1.0
    if "first" in steps:
        assert first is not None
        more = ratio("packed", "first")
        row["growth"] = more * first / batch
        row["growth_a_token"] = more * inputs(streams_of(model, workload, first)) / row["tokens"]
    return row | operations(model, workload, batch)


COLUMNS = {
    "growth": "growth",
    "growth_a_token": "a token",
    "packed_over_rows": "packed/rows",
    "packed_over_finetune": "packed/finetune",
    "rows_over_finetune": "rows/finetune",
    "flops_over_bound": "FLOPs/bound",
    "flops_over_finetune": "FLOPs/finetune",
}


def measure(
    models: str,
    batches: Sequence[int],
    rounds: int,
    workloads: Sequence[str] = WORKLOADS,
    variants: Sequence[str] = VARIANTS,
) -> list[dict[str, Any]]:
    """All cells; each is printed as it is found."""
    titles = "".join(f"{title:>{len(title) + 2}}" for title in COLUMNS.values())
    print(f"{'model':6}{'workload':9}{'rows':>5}{'rounds':>7}{'ms a row':>10}{titles}")
    found: list[dict[str, Any]] = []
    for model in models:
        SHAPES[model] = SHAPES[model]._replace(layers=BLOCKS)
        for workload in workloads:
            for batch in batches:
                often = rounds if batch <= WHOLE else 1
                row = cell(model, workload, batch, often, batches[0], variants)
                cells = "".join(
                    f"{_cell(key, row.get(key)):>{len(title) + 2}}"
                    for key, title in COLUMNS.items()
                )
                each = 1000 * row["packed_seconds"] / batch
                print(f"{model:6}{workload:9}{batch:5}{often:7}{each:10.1f}{cells}", flush=True)
                found.append(row)
    return found


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if key == "flops_over_bound" else f"{value:.2f}"


def main() -> None:
    """Measures, prints a table, and writes JSON on request."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="model R, 2 and 8 rows, one round")
    parser.add_argument("--models", default="RSV")
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 32, 128])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--rounds", type=int, default=3, help="of up to 32 rows")
    parser.add_argument("--json", type=new_file)
    parser.add_argument("--give_back", action="store_true", help="as the C library does by itself")
    options = parser.parse_args()
    if not options.give_back:
        keep_freed_memory(torch.device("cpu"))
    chosen = ("R", [2, 8], 1) if options.quick else (
        options.models, options.batches, options.rounds
    )  # fmt: skip
    if "packed" not in options.variants:
        parser.error("--variants: expected packed among them, which the others are compared with")
    rows = measure(*chosen, options.workloads, options.variants)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
