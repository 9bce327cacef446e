"""Measures the data path over rows, ranks and length of text.

    python -m benchmarks.data [--quick] [--json FILE] [--sizes 1000 10000 100000 1000000]
    python -m benchmarks.data --megabytes 200

CPU seconds on one thread, each measurement in a process of its own whose peak memory is that of
all of it, libraries included. Rows are some 250 bytes of question and answer from the embedded
book, in tokens of the embedded model.

* ``read+check``: a file of JSON lines, or of Parquet, through the stream ``qa``.
* ``tokenise``: the same rows, with the folder of kept tokens empty (cold) or full (warm).
* ``chat``: the same rows as conversations, rendered by the chat template and tokenised, likewise.
* ``pool``, ``fingerprint``: a mismatch stream of five answers to each row is made and digested.
* ``step``: a micro-batch of four rows of three streams, at ranks x accumulation.
* ``text``: one text, cut into pieces of 512 tokens.

``x`` is the cost per row (or byte) beside that at the smallest size: 1 is linear.

``--megabytes`` writes JSON lines of that size as the forget set of a recipe, and measures the
commands: ``validate`` with nothing kept, and ``fit`` for a step with the tokens that it has kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import new_file

SIZES = (1_000, 10_000, 100_000, 1_000_000)
TEXTS = (200_000, 800_000, 3_300_000)
STEPS = ((1, 1), (8, 4), (16, 8))
Found = dict[str, float]


def _words() -> list[str]:
    from unlearnkit.data.rows.reader import read_rows

    return " ".join(row.fields["text"] for row in read_rows("tiny/book.jsonl").rows).split()


def _row(number: int, draw: random.Random, words: list[str]) -> dict[str, str]:
    asked = f"Question {number}: {' '.join(draw.choices(words, k=10))}?"
    return {"prompt": asked, "response": f"{' '.join(draw.choices(words, k=25))}."}


def write_rows(folder: Path, count: int) -> None:
    """The same rows as JSON lines and as Parquet."""
    import pyarrow
    from pyarrow import parquet

    draw, words = random.Random(0), _words()
    schema = pyarrow.schema([("prompt", pyarrow.string()), ("response", pyarrow.string())])
    jsonl, table = folder / f"{count}.jsonl", folder / f"{count}.parquet"
    with jsonl.open("w", encoding="utf-8") as file, parquet.ParquetWriter(table, schema) as writer:
        for first in range(0, count, 10_000):
            numbers = range(first, min(first + 10_000, count))
            rows = [_row(number, draw, words) for number in numbers]
            file.writelines(json.dumps(row) + "\n" for row in rows)
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))


@contextmanager
def _clock(found: Found, key: str) -> Iterator[None]:
    start = time.process_time()
    yield
    found[key] = time.process_time() - start


def _codec() -> Any:
    from unlearnkit.data.tokens.codec import Codec
    from unlearnkit.models.base import load_tokenizer

    return Codec(load_tokenizer("tiny"), 512)


def read(file: str) -> Found:
    """Rows of a file, read and checked."""
    from unlearnkit.data import QAStream

    found: Found = {}
    QAStream("tiny/normal.jsonl").check()  # what is imported once is no cost of a row
    import pyarrow.parquet  # noqa: F401

    stream = QAStream(file)
    with _clock(found, "seconds"):
        stream.check()
    return found


def tokenise(file: str) -> Found:
    """Checked rows, as token ids."""
    from unlearnkit.data import QAStream

    found: Found = {}
    stream, codec = QAStream(file), _codec()
    stream.check()
    codec.response("a")
    with _clock(found, "seconds"):
        stream.encode("forget", codec, {}, 0)
    return found


def chat(file: str) -> Found:
    """Checked rows, rendered as conversations and as token ids."""
    from unlearnkit.data import ChatStream

    found: Found = {}
    codec = _codec()
    stream = ChatStream(file, prompt_field="prompt", response_field="response")
    stream.check()
    codec.turns()
    with _clock(found, "seconds"):
        stream.encode("forget", codec, {}, 0)
    return found


def draws(file: str) -> Found:
    """A pool of answers, its fingerprint, and the micro-batches of three streams."""
    from unlearnkit.data import MismatchStream, QAStream
    from unlearnkit.data.encoded import data_fingerprint
    from unlearnkit.data.plan import StepPlan, StreamPlan
    from unlearnkit.data.sampler import StepDataset

    found: Found = {}
    codec = _codec()
    rows = {name: QAStream(file).encode(name, codec, {}, 0) for name in ("forget", "retain")}
    with _clock(found, "pool"):
        rows["mismatch"] = MismatchStream().encode("mismatch", codec, rows, 0)
    with _clock(found, "fingerprint"):
        data_fingerprint(rows["mismatch"])
    sizes = {name: StreamPlan(len(each), 4, each.follows) for name, each in rows.items()}
    for world, accumulate in STEPS:
        plan = StepPlan(sizes, world=world, accumulate=accumulate)
        parts = [StepDataset(plan, name, each, rank=0) for name, each in rows.items()]
        steps = min(64, plan.steps_per_epoch)
        with _clock(found, f"step {world} x {accumulate}"):
            for step in range(steps):
                for part in parts:
                    part[step]
        found[f"step {world} x {accumulate}"] /= steps
    return found


def text(file: str) -> Found:
    """One text, read, tokenised and cut."""
    from unlearnkit.data import TextStream

    found: Found = {}
    codec = _codec()
    codec.response("a")
    with _clock(found, "seconds"):
        TextStream(file).encode("forget", codec, {}, 0)
    return found


RECIPE = """\
model: {{objectives: {{forget: {{name: npo}}, retain: {{name: retain_kl}}}}}}
data:
  streams: {{forget: {{name: qa, path: {path}}}, retain: {{name: qa, path: tiny/normal.jsonl}}}}
trainer: {{max_steps: 1, accelerator: cpu}}
evaluate: []
"""


def commands(megabytes: float) -> list[dict[str, Any]]:
    """CPU seconds and peak memory of commands whose forget set is a large file."""
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, 1000)
        rows = round(1000 * megabytes * 1e6 / (folder / "1000.jsonl").stat().st_size)
        write_rows(folder, rows)
        (folder / "recipe.yaml").write_text(RECIPE.format(path=f"{rows}.jsonl"))
        environment = {
            **os.environ,
            "UNLEARNKIT_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        environment |= {"TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": os.pathsep.join(sys.path)}
        for verb in ("validate", "fit"):
            command = [sys.executable, "-m", "unlearnkit", verb, "--recipe", "recipe.yaml"]
            began = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.DEVNULL
            )
            _, status, used = os.wait4(began.pid, 0)
            began.returncode = os.waitstatus_to_exitcode(status)
            if began.returncode:
                raise SystemExit(f"{verb} ended with {began.returncode}")
            seconds, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
            lines.append({"what": verb, "size": rows, "seconds": seconds, "peak_mb": peak})
            print(f"{verb:20}{rows:>10} rows{seconds:>10.1f} s{peak:>10.0f} MiB", flush=True)
    return lines


MEASURES: dict[str, Callable[[str], Found]] = {
    "read": read, "tokenise": tokenise, "chat": chat, "draws": draws,
    "text": text,
}  # fmt: skip


def _environment(cache: Path | str) -> dict[str, str]:
    own = {
        "UNLEARNKIT_CACHE": str(cache),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(sys.path)}


def apart(measure: str, file: Path, cache: Path | None = None) -> Found:
    """A measurement in a process of its own, with its peak memory in MiB."""
    command = [sys.executable, "-m", "benchmarks.data", "--one", measure, str(file)]
    environment = _environment(cache or "")
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def measure(sizes: tuple[int, ...], texts: tuple[int, ...]) -> list[dict[str, Any]]:
    """All lines of the table, shown as they are found."""
    lines: list[dict[str, Any]] = []
    first: dict[str, float] = {}

    def show(what: str, size: int, seconds: float, peak: float, per: int) -> None:
        ratio = seconds / per / first.setdefault(what, seconds / per)
        lines.append({"what": what, "size": size, "seconds": seconds, "x": ratio, "peak_mb": peak})
        print(f"{what:20}{size:>10}{seconds:>12.4f}{ratio:>8.2f}{peak:>10.0f}", flush=True)

    print(f"{'':20}{'size':>10}{'seconds':>12}{'x':>8}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            write_rows(folder, size)
            rows, cache = folder / f"{size}.jsonl", folder / f"cache{size}"
            for kind in ("jsonl", "parquet"):
                found = apart("read", rows.with_suffix(f".{kind}"))
                show(f"read+check {kind}", size, found["seconds"], found["peak_mb"], size)
            for what in ("tokenise", "chat"):
                for state in ("cold", "warm"):
                    found = apart(what, rows, cache)
                    show(f"{what} {state}", size, found["seconds"], found["peak_mb"], size)
            found = apart("draws", rows, cache)
            peak = found.pop("peak_mb")
            for what, seconds in found.items():
                # A step is to cost the same however many rows there are to draw from.
                show(what, size, seconds, peak, 1 if what.startswith("step") else size)
        words = _words()
        for size in texts:
            file = folder / f"{size}.txt"
            draw = random.Random(0)
            file.write_text(" ".join(draw.choices(words, k=size))[:size], encoding="utf-8")
            found = apart("text", file)
            show("text", size, found["seconds"], found["peak_mb"], size)
    return lines


def main() -> None:
    """Measures, prints a table, and writes JSON on request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1000 rows, and the shortest text")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--megabytes", type=float, help="measure the commands on so large a file")
    parser.add_argument("--json", type=new_file)
    parser.add_argument("--one", nargs=2, metavar=("MEASURE", "FILE"))
    options = parser.parse_args()
    if options.one:
        name, file = options.one
        found = MEASURES[name](file)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**found, "peak_mb": peak}))
        return
    if options.megabytes:
        lines = commands(options.megabytes)
    else:
        sizes = SIZES[:1] if options.quick else tuple(options.sizes)
        lines = measure(sizes, TEXTS[:1] if options.quick else TEXTS)
    if options.json:
        options.json.write_text(json.dumps({"rows": lines}, indent=2) + "\n")


if __name__ == "__main__":
    main()
