"""Measures an evaluation of the small tiny TOFU, beside another checkout's.

    OMP_NUM_THREADS=1 python -m benchmarks.evaluation [--against FOLDER] [--rounds 5] [--quick]
                                                        [--json FILE]

``evaluate`` is what ``unlearnkit evaluate`` does of one model, with the model at the start and the
gold model beside; ``run`` is what a training run does: before, after and gold, with the intervals
of its report. With ``--against`` both checkouts run in turn, each in a process of its own; a figure
is the median of the rounds, a ratio one of the same round. The first round warms up and is not
counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

KINDS = ("evaluate", "run")
STORED = Path(__file__).parents[1] / "tools" / "tiny" / "tofu" / "stored"
MODEL, GOLD = str(STORED / "model"), str(STORED / "gold")
Ask = Callable[[str], dict[str, Any]]


def once(kind: str) -> dict[str, Any]:
    """Seconds of one evaluation on the wall and of the CPU, and the values that it found."""
    from unlearnkit.suites.tofu import Tofu

    suite = Tofu(data=str(STORED), neighbour="neighbour_perturbed", max_new_tokens=40)
    wall, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        values = (_evaluate if kind == "evaluate" else _run)(suite, Path(folder))
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "values": values,
    }


def _evaluate(suite: Any, folder: Path) -> dict[str, Any]:
    from unlearnkit.runs.evaluate import evaluate

    (found,) = evaluate(MODEL, [suite], folder, reference=MODEL, gold=GOLD)
    return found.evaluation.values


def _run(suite: Any, folder: Path) -> dict[str, Any]:
    from unlearnkit.data.datamodule import UnlearningDataModule
    from unlearnkit.data.streams import QAStream
    from unlearnkit.models.load import load_model
    from unlearnkit.runs.measure import Stages

    rows = QAStream(
        str(STORED / "forget10.jsonl"), prompt_field="question", response_field="answer"
    )
    data = UnlearningDataModule({"forget": rows}, tokenizer=MODEL)
    data.check()
    stages = Stages([suite], data, 0, GOLD, load_model)
    stages.before(partial(load_model, MODEL))
    stages.after(partial(load_model, MODEL), partial(load_model, MODEL))
    stages.write_for_report(folder)
    return stages.metrics[suite.name]["after"]


@contextmanager
def worker(checkout: Path) -> Iterator[Ask]:
    """A process that measures a checkout, each time it is asked for a kind."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, __file__, "--worker"],
        env=environment, cwd=checkout, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    send, answers = process.stdin, process.stdout

    def ask(kind: str) -> dict[str, Any]:
        send.write(f"{kind}\n")
        send.flush()
        return json.loads(answers.readline())

    try:
        yield ask
    finally:
        send.close()
        process.wait()


def serve() -> None:
    """Answers kinds that come on standard input, a line each."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    for line in sys.stdin:
        print(json.dumps(once(line.strip())), flush=True)


def measure(asks: dict[str, Ask], rounds: int, kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    """Median seconds of each kind and checkout, and their ratios to the last checkout's.

    Args:
        asks: What measures each checkout, by its name.
        rounds: How often; one more warms up.
        kinds: Of `KINDS`.
    """
    found: dict[str, Any] = {}
    for kind in kinds:
        every = [{name: ask(kind) for name, ask in asks.items()} for _ in range(rounds + 1)][1:]
        *_, other = asks
        found[kind] = {
            name: {
                unit: {
                    "seconds": statistics.median(each[name][unit] for each in every),
                    f"over_{other}": statistics.median(
                        each[name][unit] / each[other][unit] for each in every
                    ),
                }
                for unit in ("wall", "cpu")
            }
            for name in asks
        }
        found[kind] |= _compared(every[-1])
    return found


def _compared(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The largest difference of a value between checkouts, and the values that not all have.

    An earlier checkout lacks what has been measured since.
    """
    first, *others = (each["values"] for each in found.values())
    common = set(first).intersection(*others)
    gaps = [abs(first[key] - other[key]) for other in others for key in common]
    alone = set(first).union(*others) - common
    return {"largest_difference": max(gaps, default=0.0), "not_compared": sorted(alone)}


def main() -> None:
    """Measures, prints a table, and writes JSON on request."""
    # Not of the package: a worker runs this file where another checkout is what is imported.
    from benchmarks import new_file

    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=__doc__)
    parser.add_argument("--against", type=Path, help="folder of another checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of one model")
    parser.add_argument("--json", type=new_file)
    options = parser.parse_args()
    folders = {"this": Path(__file__).parents[1]}
    if options.against:
        folders["other"] = options.against.resolve()
    with ExitStack() as stack:
        asks = {name: stack.enter_context(worker(folder)) for name, folder in folders.items()}
        found = measure(asks, 1, KINDS[:1]) if options.quick else measure(asks, options.rounds)
    for kind, by_name in found.items():
        gap, alone = by_name.pop("largest_difference"), by_name.pop("not_compared")
        for name, by_unit in by_name.items():
            parts = ("{} {:.2f} s ({:.2f})".format(u, *v.values()) for u, v in by_unit.items())
            print(f"{kind:10}{name:8}{'   '.join(parts)}")
        print(f"{kind:10}largest difference of a value: {gap:.1e}")
        if alone:
            print(f"{kind:10}values of one checkout only: {', '.join(alone)}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--worker"] else main()
