"""Measures what a run costs beside its forward and backward passes.

    python -m benchmarks.overhead [--json FILE] [--quick]

* ``overhead``: share of a step's CPU time that is neither loss, backward pass nor optimiser, on the
  embedded model with the default recipe's batch: Lightning's loop, our loader, packing, logging.
* ``loader``: share of the wall time that the loop waits for the loader, by Lightning's profiler.
* ``first step``: wall time from the start of the process to the first optimiser step.
* ``scale``: CPU time per forget row and peak memory for forget sets of 50, 500 and 5000 rows, each
  in a process of its own, on a small random model.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import new_file

SIZES = (50, 500, 5000)
WORDS = ("ferry", "lamp", "weir", "mill", "pier", "bell", "frost", "crew", "oar", "net", "log")


def _trainer(**options: Any) -> Any:
    import lightning as L

    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    return L.Trainer(accelerator="cpu", enable_progress_bar=False, **quiet, **options)


def _module_and_data(folder: Path | None, base: Any) -> tuple[Any, Any]:
    import torch

    from unlearnkit import UnlearningDataModule, UnlearningModule
    from unlearnkit.data import MismatchStream, QAStream, TextStream
    from unlearnkit.objectives import GradientAscent, RandomMismatch, RetainKL

    module = UnlearningModule(
        {
            "forget": GradientAscent(weight=0.2),
            "mismatch": RandomMismatch(),
            "retain": RetainKL(weight=8.0),
        },
        base="tiny",
        optimizer=partial(torch.optim.AdamW, lr=1e-5),
        schedule="constant",
    )
    if base is not None:
        module.use_model(base)
    forget = QAStream(str(folder / "forget.jsonl")) if folder else None
    streams = {
        "forget": forget or TextStream("tiny/book.jsonl", prompt_tokens=32),
        "mismatch": MismatchStream(prompts="forget", answers="retain"),
        "retain": QAStream("tiny/normal.jsonl", batch_size=4 if folder else 16),
    }
    return module, UnlearningDataModule(streams, tokenizer="tiny")


def overhead(steps: int = 60) -> dict[str, float]:
    """Share of the loop's CPU time outside loss, backward pass and optimiser."""
    import lightning as L
    from lightning.pytorch.profilers import SimpleProfiler

    inside = [0.0]
    marks = {"start": 0.0, "loop": 0.0}

    class Clock(L.Callback):
        def on_train_batch_start(self, *arguments: Any) -> None:
            if arguments[-1] == 0 and not marks["loop"]:
                marks["loop"] = time.process_time()

    module, data = _module_and_data(None, None)
    step = module.optimizer_step

    def timed_step(*arguments: Any, **options: Any) -> None:
        # The closure runs inside: loss, backward pass, then the optimiser itself.
        start = time.process_time()
        step(*arguments, **options)
        inside[0] += time.process_time() - start

    module.optimizer_step = timed_step
    logged = module.log_dict
    spent = [0.0]

    def timed_log(*arguments: Any, **options: Any) -> None:
        start = time.process_time()
        logged(*arguments, **options)
        spent[0] += time.process_time() - start

    module.log_dict = timed_log
    trainer = _trainer(max_steps=steps, callbacks=[Clock()], profiler=SimpleProfiler())
    trainer.fit(module, datamodule=data)
    total = time.process_time() - marks["loop"]
    recorded = trainer.profiler.recorded_durations
    waited = sum(recorded["[_TrainingEpochLoop].train_dataloader_next"])
    return {
        "step_ms": 1000 * total / steps,
        "overhead": (total - inside[0] + spent[0]) / total,
        "loader": waited / sum(recorded["run_training_epoch"]),
    }


def first_step_seconds() -> float:
    """Wall time of a process that takes one step of the embedded model."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "benchmarks.overhead", "--one-step"], check=True)
    return time.monotonic() - start


def one_step() -> None:
    """One step of the embedded model, as a user's program takes it."""
    module, data = _module_and_data(None, None)
    _trainer(max_steps=1).fit(module, datamodule=data)


def scale(rows: int) -> dict[str, float]:
    """CPU time per row of one epoch, and peak memory, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.overhead", "--scale", str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _scale_here(rows: int) -> dict[str, float]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from unlearnkit.runs.facts import peak_memory_mb

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2048, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        lines = (
            {"prompt": f"Question {n}: {' '.join(draw.choices(WORDS, k=8))}?",
             "response": " " + " ".join(draw.choices(WORDS, k=8))}
            for n in range(rows)
        )  # fmt: skip
        Path(name, "forget.jsonl").write_text("\n".join(map(json.dumps, lines)))
        # One short epoch first, so that what is made once is not counted per row.
        module, data = _module_and_data(Path(name), LlamaForCausalLM(config))
        _trainer(max_steps=5).fit(module, datamodule=data)
        start = time.process_time()
        _trainer(max_epochs=1).fit(module, datamodule=data)
        seconds = time.process_time() - start
    return {"ms_per_row": 1000 * seconds / rows, "peak_mb": peak_memory_mb()}


def main() -> None:
    """Measures, prints, and writes JSON on request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the 5000 rows")
    parser.add_argument("--json", type=new_file)
    parser.add_argument("--one-step", action="store_true")
    parser.add_argument("--scale", type=int)
    options = parser.parse_args()
    if options.one_step:
        one_step()
        return
    if options.scale:
        print(json.dumps(_scale_here(options.scale)))
        return
    import torch

    torch.set_num_threads(1)
    found: dict[str, Any] = overhead()
    print(f"step {found['step_ms']:.0f} ms CPU, overhead {100 * found['overhead']:.1f} %")
    print(f"waiting for the loader {100 * found['loader']:.2f} % of the wall time")
    found["first_step_seconds"] = first_step_seconds()
    print(f"first step after {found['first_step_seconds']:.1f} s")
    found["scale"] = {rows: scale(rows) for rows in SIZES[: 2 if options.quick else 3]}
    print(f"{'rows':>6}{'ms per row':>14}{'peak MiB':>12}")
    for rows, row in found["scale"].items():
        print(f"{rows:>6}{row['ms_per_row']:>14.2f}{row['peak_mb']:>12.0f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
