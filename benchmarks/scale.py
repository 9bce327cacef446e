"""Measures the host's work of a micro-batch on one of many ranks.

    python -m benchmarks.scale [--rows 1000000] [--ranks 64] [--accumulate 8] [--json FILE]

Simulated: this process is one rank of a plan for all of them. Forget rows, a tenth as many retain
rows and five random answers to each forget prompt, of 20 and 30 tokens on average, are made in
memory; then micro-batches of four rows of each stream are drawn, counted over the whole step,
packed, and laid into one block. CPU seconds on one thread, and the peak memory of the process,
libraries included.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from typing import Any

from benchmarks import new_file

STEPS = 64
"""Micro-batches that are timed, after those of one whole step."""


def made_rows(name: str, count: int, seed: int) -> Any:
    """Rows whose responses differ, in tokens of no model."""
    from unlearnkit.data.encoded import EncodedRows
    from unlearnkit.errors import Place

    found, draw = EncodedRows(name, f"{name}.jsonl"), random.Random(seed)
    words = draw.choices(range(10, 200), k=4000)
    for row in range(count):
        at = draw.randrange(3900)
        prompt = words[at : at + draw.randrange(10, 30)]
        spelled = [row % 199, row // 199 % 199, row // 199**2]
        found.append([(prompt, spelled + words[at : at + draw.randrange(7, 47)])], Place(row), "")
    return found


def measure(rows: int, ranks: int, accumulate: int) -> dict[str, float]:
    """Milliseconds of a micro-batch, and peak memory in MiB."""
    from unlearnkit.data.packer import Packer
    from unlearnkit.data.plan import StepPlan, StreamPlan
    from unlearnkit.data.sampler import StepDataset, StepRows
    from unlearnkit.data.streams.mismatch import MismatchData
    from unlearnkit.data.tokens.codec import Codec
    from unlearnkit.models.base import load_tokenizer

    codec = Codec(load_tokenizer("tiny"), 512)
    streams = {
        "forget": made_rows("forget", rows, 0),
        "retain": made_rows("retain", max(8, rows // 10), 1),
    }
    streams["mismatch"] = MismatchData("mismatch", *streams.values(), 5, codec, 0)
    sizes = {name: StreamPlan(len(each), 4, each.follows) for name, each in streams.items()}
    plan = StepPlan(sizes, world=ranks, accumulate=accumulate)
    rank = ranks // 2
    data = StepRows({n: StepDataset(plan, n, each, rank) for n, each in streams.items()})
    packer = Packer("packed", frozenset(streams), frozenset({"retain"}))

    def seconds(steps: range) -> float:
        start = time.process_time()
        for step in steps:
            packer.collate(data[step])
        return time.process_time() - start

    first = seconds(range(accumulate))
    steps = range(accumulate, min(accumulate + STEPS, plan.steps_per_epoch))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "first_step_ms": 1000 * first,
        "micro_batch_ms": 1000 * seconds(steps) / max(1, len(steps)),
        "peak_mb": peak,
    }


def main() -> None:
    """Measures, prints a line, and writes JSON on request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--accumulate", type=int, default=8)
    parser.add_argument("--json", type=new_file, help="write the figures to this new file")
    given = parser.parse_args()
    found = measure(given.rows, given.ranks, given.accumulate)
    what = f"{given.rows} rows, {given.ranks} ranks x {given.accumulate}"
    times = f"{found['micro_batch_ms']:.1f} ms a micro-batch"
    first = f"{found['first_step_ms']:.0f} ms the first step"
    print(f"{what}: {times}, {first}, {found['peak_mb']:.0f} MiB")
    if given.json:
        line = {"rows": given.rows, "ranks": given.ranks, "accumulate": given.accumulate, **found}
        given.json.write_text(json.dumps(line) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
