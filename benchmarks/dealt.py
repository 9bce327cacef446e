"""Measures an evaluation that several processes share, beside one process's.

    python -m benchmarks.dealt [--ranks 2] [--width 384] [--blocks 6] [--json FILE]

A random Llama of this size is evaluated on the small tiny TOFU, by processes joined by gloo, each
on one thread. The figures are those of the process that takes longest, over those of one process:
on the wall, which needs a core for each process, and of the CPU, which does not. Each process has
evaluated once before, so that no import is counted; the rows have to be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import nullcontext
from typing import Any

from benchmarks import new_file
from benchmarks.evaluation import MODEL, STORED
from benchmarks.ranks import on_ranks

NAME = "benchmarks.dealt"


def evaluate(width: int, blocks: int) -> dict[str, Any]:
    """Seconds of this process, on the wall and of the CPU, and the rows of the suite."""
    import torch
    from torch import distributed
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from unlearnkit.data.datamodule import UnlearningDataModule
    from unlearnkit.data.streams import QAStream
    from unlearnkit.engine.generation.dealing import Ranks, dealt
    from unlearnkit.runs.measure import measure
    from unlearnkit.suites import SuiteContext
    from unlearnkit.suites.tofu import Tofu

    torch.set_num_threads(1)
    shared = int(os.environ["WORLD_SIZE"]) > 1
    if shared:
        distributed.init_process_group("gloo")
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    special = {
        f"{each}_token_id": getattr(tokenizer, f"{each}_token_id") for each in ("bos", "eos")
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=width * 8 // 3,
        num_hidden_layers=blocks, num_attention_heads=4, **special,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    rows = QAStream(
        str(STORED / "forget10.jsonl"), prompt_field="question", response_field="answer"
    )
    data = UnlearningDataModule({"forget": rows}, tokenizer=MODEL)
    data.check()
    suite = Tofu(data=str(STORED), neighbour="neighbour_perturbed", max_new_tokens=40)
    found: dict[str, Any] = {}
    for _ in range(2):
        if shared:
            distributed.barrier()
        wall, cpu = time.perf_counter(), time.process_time()
        with dealt(Ranks.joined()) if shared else nullcontext():
            (result,) = measure(model, data.tokenizer, [suite], SuiteContext.of(data, 7)).values()
        found = {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "rows": json.dumps(result.rows),
        }
    if shared:
        distributed.destroy_process_group()
    return found


def ratios(one: dict[str, Any], several: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of the slowest of several processes over those of one.

    Raises:
        SystemExit: If a process has found other rows.
    """
    if any(each["rows"] != one["rows"] for each in several):
        raise SystemExit("the processes have found other rows than one process")
    return {kind: max(each[kind] for each in several) / one[kind] for kind in ("wall", "cpu")}


def main() -> None:
    """Measures, prints a line, and writes JSON on request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dealt", description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--width", type=int, default=384, help="of the model, in numbers")
    parser.add_argument("--blocks", type=int, default=6, help="of the decoder")
    parser.add_argument("--json", type=new_file, help="write the figures to this new file")
    parser.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.process:
        print(json.dumps(evaluate(given.width, given.blocks)))
        return
    words = ("--width", str(given.width), "--blocks", str(given.blocks))
    (one,) = on_ranks(NAME, 1, *words)
    found = ratios(one, on_ranks(NAME, given.ranks, *words))
    print(
        f"{given.ranks} processes over one: {found['wall']:.2f} on the wall, {found['cpu']:.2f} of "
        f"the CPU; one process {one['wall']:.1f} s, {one['cpu']:.1f} s; {len(one['rows'])} bytes "
        "of rows are equal"
    )
    if given.json:
        given.json.write_text(json.dumps({"one": one, **found}, indent=2))


if __name__ == "__main__":
    main()
