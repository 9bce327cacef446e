"""Measures a step packed and in rows, over sizes and models.

    python -m benchmarks.layouts [--quick] [--json FILE] [--models MRSV] [--rounds 5] [--limit 120]
                                 [--answers 1 2 5] [--blocks 2]

Models M (1 million parameters) and R, S, V of `benchmarks.step` with two of their decoder blocks.
A step has `batch` prompts with as many answers each as a cell says: ascent on the first, the
mismatch loss on the others. Lengths are equal, or ragged: drawn from half of what is said to all of
it. No step has more than 32768 tokens in rows. The layouts alternate within a round; times are
process CPU time on one thread, ratios those of a round, and their median is shown. ``FLOPs`` are
the operations packed over those in rows, counted on shapes: where the processor is busy throughout,
no exact step has a smaller ratio of times, since the head reads the same response tokens in both.
The last column is the layout that `layout: auto` takes over the faster one. A cell one round of
which takes longer than the limit is named and left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from typing import Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks import new_file
from benchmarks.flops import count_flops
from benchmarks.variants import Step, ours
from benchmarks.workload import SHAPES, Shape, random_llama, rows_of
from unlearnkit.data.example import Example
from unlearnkit.data.pack import Layout
from unlearnkit.data.packer import Packer
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.layout import layouts_of

BLOCKS = 2
TOKENS = 32768
LAYOUTS: tuple[Layout, ...] = ("packed", "rows")


class Cell(NamedTuple):
    """One step: prompts, their lengths in tokens, and answers to each."""

    model: str
    batch: int
    prompt: int
    answer: int
    answers: int
    ragged: bool = False

    @property
    def tokens(self) -> int:
        """Most tokens of the step in rows."""
        return self.batch * self.answers * (self.prompt + self.answer)


CELLS = (
    Cell("M", 1, 8, 8, 1),
    Cell("M", 1, 512, 256, 5),
    Cell("M", 4, 64, 64, 1, ragged=True),
    Cell("M", 4, 512, 256, 1),
    Cell("M", 4, 512, 256, 1, ragged=True),
    Cell("M", 4, 512, 256, 5),
    Cell("M", 16, 8, 8, 1),
    Cell("M", 16, 8, 8, 5),
    Cell("M", 16, 64, 64, 1),
    Cell("M", 16, 64, 64, 2, ragged=True),
    Cell("M", 32, 512, 256, 1),
    Cell("M", 64, 8, 8, 1, ragged=True),
    Cell("M", 64, 32, 96, 1, ragged=True),
    Cell("M", 64, 64, 64, 1),
    Cell("M", 256, 8, 8, 1),
    Cell("M", 256, 8, 8, 1, ragged=True),
    Cell("M", 256, 8, 8, 2),
    Cell("M", 256, 8, 8, 5),
    Cell("M", 256, 8, 8, 5, ragged=True),
    Cell("M", 256, 32, 32, 1, ragged=True),
    Cell("R", 1, 8, 8, 1),
    Cell("R", 1, 64, 64, 5),
    Cell("R", 4, 8, 8, 5),
    Cell("R", 4, 64, 64, 1),
    Cell("R", 4, 512, 256, 1),
    Cell("R", 16, 64, 64, 1, ragged=True),
    Cell("R", 16, 64, 64, 5),
    Cell("R", 64, 8, 8, 1),
    Cell("R", 64, 8, 8, 5, ragged=True),
    Cell("R", 64, 64, 64, 1),
    Cell("R", 256, 8, 8, 1),
    Cell("R", 256, 8, 8, 1, ragged=True),
    Cell("S", 4, 8, 8, 1),
    Cell("S", 4, 64, 64, 5),
    Cell("S", 16, 64, 64, 1),
    Cell("S", 64, 8, 8, 1, ragged=True),
    Cell("S", 256, 64, 64, 1),
    Cell("V", 1, 64, 64, 5),
    Cell("V", 16, 8, 8, 1),
    Cell("V", 64, 64, 64, 2, ragged=True),
)
QUICK = (
    Cell("M", 16, 8, 8, 1),
    Cell("M", 64, 8, 8, 5, ragged=True),
    Cell("M", 64, 64, 64, 1),
    Cell("M", 4, 512, 256, 5),
)


def streams(cell: Cell) -> dict[str, StreamBatch]:
    """The rows of a cell's step."""
    generator = torch.Generator().manual_seed(0)

    def ids(longest: int) -> tuple[int, ...]:
        least = longest // 2 if cell.ragged else longest
        length = int(torch.randint(least, longest + 1, (1,), generator=generator))
        return tuple(torch.randint(SHAPES["M"].vocabulary, (length,), generator=generator).tolist())

    forget = [Example(ids(cell.prompt), ids(cell.answer), row, "f") for row in range(cell.batch)]
    found = {"forget": rows_of(forget)}
    if cell.answers > 1:
        others = range(cell.answers - 1)
        found["mismatch"] = rows_of(
            [Example(e.prompt_ids, ids(cell.answer), e.row, "m") for e in forget for _ in others]
        )
    return found


def steps(cell: Cell) -> dict[str, Step]:
    """The cell's step in each of `LAYOUTS`."""
    names = {"forget": "gradient_ascent", "mismatch": "random_mismatch"}
    rows = streams(cell)
    names = {name: names[name] for name in rows}
    return {layout: ours(cell.model, rows, names, layout=layout) for layout in LAYOUTS}


def chosen_by_auto(cell: Cell) -> Layout:
    """The layout that ``layout: auto`` takes for the cell's step."""
    found = layouts_of(random_llama(cell.model), "auto").steps
    (batch,) = Packer(found, frozenset(("forget", "mismatch")))(streams(cell))
    return "rows" if batch.attention is None else "packed"


def operations(cell: Cell) -> float:
    """Operations packed over those in rows."""
    found = steps(cell)
    with FakeTensorMode(allow_non_fake_inputs=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of data pointers that tell tensors apart
        packed, rows = (count_flops(found[layout].run) for layout in LAYOUTS)
    return packed / rows


def measured(cell: Cell, rounds: int, limit: float) -> dict[str, Any]:
    """CPU seconds of each layout and ratios; ``skipped`` if a round takes longer than the limit."""
    torch.manual_seed(0)
    row: dict[str, Any] = {**cell._asdict(), "tokens": cell.tokens}
    found = steps(cell)
    seconds: dict[str, list[float]] = {layout: [] for layout in LAYOUTS}
    for number in range(rounds + 1):  # the first is to warm up
        begin = time.process_time()
        for layout, step in found.items():
            start = time.process_time()
            step.run()
            if number:
                seconds[layout].append(time.process_time() - start)
            if time.process_time() - begin > limit:
                return row | {"skipped": True}
    row |= {f"{layout}_seconds": statistics.median(each) for layout, each in seconds.items()}
    row["packed_over_rows"] = statistics.median(
        packed / rows for packed, rows in zip(seconds["packed"], seconds["rows"], strict=True)
    )
    chosen = chosen_by_auto(cell)
    ratio = row["packed_over_rows"] if chosen == "packed" else 1 / row["packed_over_rows"]
    row |= {"auto": chosen, "auto_over_better": max(1.0, ratio)}
    return row | {"flops_packed_over_rows": operations(cell)}


def measure(cells: tuple[Cell, ...], rounds: int, limit: float) -> list[dict[str, Any]]:
    """All cells; each is printed as it is found."""
    print(f"{'model':6}{'batch':>6}{'prompt':>7}{'answer':>7}{'answers':>8}{'lengths':>8}"
          f"{'packed ms':>10}{'rows ms':>9}{'packed/rows':>12}{'FLOPs':>7}"
          f"{'auto':>8}{'auto/better':>12}")  # fmt: skip
    found: list[dict[str, Any]] = []
    for cell in cells:
        assert cell.tokens <= TOKENS
        row = measured(cell, rounds, limit)
        found.append(row)
        lengths = "ragged" if cell.ragged else "equal"
        line = (f"{cell.model:6}{cell.batch:6}{cell.prompt:7}{cell.answer:7}{cell.answers:8}"
                f"{lengths:>8}")  # fmt: skip
        if "skipped" in row:
            print(f"{line}  not run: a round takes more than {limit:.0f} s", flush=True)
            continue
        print(f"{line}{1000 * row['packed_seconds']:10.1f}{1000 * row['rows_seconds']:9.1f}"
              f"{row['packed_over_rows']:12.2f}{row['flops_packed_over_rows']:7.2f}"
              f"{row['auto']:>8}{row['auto_over_better']:12.2f}", flush=True)  # fmt: skip
    return found


def main() -> None:
    """Measures, prints a table, and writes JSON on request."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layouts", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four cells of model M")
    parser.add_argument("--models", default="MRSV")
    parser.add_argument("--answers", type=int, nargs="+", default=[1, 2, 5], help="of a cell")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="decoder blocks of R, S, V")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=120.0, help="CPU seconds of a round")
    parser.add_argument("--json", type=new_file)
    options = parser.parse_args()
    SHAPES["M"] = Shape(128, 3, 4, 2, 1024)
    for name in "RSV":
        SHAPES[name] = SHAPES[name]._replace(layers=options.blocks)
    cells = QUICK if options.quick else CELLS
    chosen = tuple(
        cell for cell in cells
        if cell.model in options.models and cell.answers in options.answers
    )  # fmt: skip
    rows = measure(chosen, options.rounds, options.limit)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
