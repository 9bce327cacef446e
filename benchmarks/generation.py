"""Measures greedy generation in batches against one prompt at a time.

    OMP_NUM_THREADS=2 python -m benchmarks.generation [--base FOLDER tiny smollm2] [--repeats 3]

The model in tools/tiny/tofu/stored answers its questions and ends by itself; the others go on with
beginnings of English sentences. Both ways are warmed up and then run in turn, as often as
``--repeats`` says; a figure is the median. CPU time is that of all threads: on a machine that does
other things too it says more than the time on the wall (with OMP_WAIT_POLICY=passive, so that
threads that wait for each other do not count). Texts and ids are compared prompt by prompt, and the
command fails where one differs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import new_file
from unlearnkit import tiny
from unlearnkit.engine.generation.generate import Generation, generate
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import SuiteContext

BATCH_SIZE = SuiteContext().batch_size
FOLDER = Path(tiny.__file__).parent
STORED = Path(__file__).parents[1] / "tools" / "tiny" / "tofu" / "stored"
TOFU = str(STORED / "model")
Times = dict[str, list[float]]


def prompts(base: str, tokenizer: Any, count: int) -> list[list[int]]:
    """Token ids of the first prompts for a model."""
    asks = base == TOFU
    file = STORED / "full.jsonl" if asks else FOLDER / "normal.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    texts = [f"Question: {row['question']}\nAnswer:" if asks else row["prompt"] for row in rows]
    return [tokenizer(text).input_ids for text in texts[:count]]


def measure(base: str, count: int, max_new_tokens: int, batch_size: int, repeats: int) -> dict:
    """Times of both ways by kind, and in how many prompts they agree."""
    tokenizer, model = load_tokenizer(base), load_model(base)
    asked = prompts(base, tokenizer, count)
    ways = {"batched": batch_size, "one by one": 1}
    times: dict[str, Times] = {way: {"wall": [], "cpu": []} for way in ways}
    said: dict[str, list[Generation]] = {}

    def run(way: str, some: list[list[int]]) -> list[Generation]:
        return generate(model, tokenizer, some, max_new_tokens=max_new_tokens, batch_size=ways[way])

    for way in ways:
        run(way, asked[:2])
    for _ in range(repeats):
        for way in ways:
            wall, cpu = time.perf_counter(), time.process_time()
            said[way] = run(way, asked)
            times[way]["cpu"].append(time.process_time() - cpu)
            times[way]["wall"].append(time.perf_counter() - wall)
    median = {
        way: {kind: statistics.median(each) for kind, each in kinds.items()}
        for way, kinds in times.items()
    }
    pairs = list(zip(*said.values(), strict=True))
    return {
        "base": base,
        "prompts": len(asked),
        "tokens": sum(len(each.ids) for each in said["one by one"]),
        "threads": torch.get_num_threads(),
        "batch_size": batch_size,
        "equal": sum(one == other for one, other in pairs),
        "seconds": median,
        "ratio": {
            kind: median["one by one"][kind] / median["batched"][kind] for kind in ("wall", "cpu")
        },
    }


def main() -> None:
    """Prints a line for each model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation")
    parser.add_argument("--base", nargs="+", default=[TOFU, "tiny", "smollm2"])
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--max_new_tokens", type=int, default=40)
    parser.add_argument("--batch_size", type=int, default=BATCH_SIZE)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=new_file, help="New file of the figures.")
    options = parser.parse_args()
    found = [
        measure(base, options.prompts, options.max_new_tokens, options.batch_size, options.repeats)
        for base in options.base
    ]
    table = Table("model", "equal texts", "tokens")
    for heading in ("one by one", "batched", "ratio"):
        table.add_column(f"{heading}, wall", justify="right")
        table.add_column("CPU", justify="right")
    for each in found:
        seconds = [
            f"{each['seconds'][way][kind]:.2f} s"
            for way in ("one by one", "batched")
            for kind in ("wall", "cpu")
        ]
        ratios = [f"{each['ratio'][kind]:.1f}" for kind in ("wall", "cpu")]
        equal = f"{each['equal']} of {each['prompts']}"
        table.add_row(each["base"], equal, str(each["tokens"]), *seconds, *ratios)
    Console(width=120).print(table)
    if options.json:
        with options.json.open("x", encoding="utf-8") as file:
            json.dump(found, file, indent=2)
    if any(each["equal"] < each["prompts"] for each in found):
        raise SystemExit("texts differ")


if __name__ == "__main__":
    main()
