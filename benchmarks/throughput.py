"""Measures tokens a second and peak memory on a GPU.

    python -m benchmarks.throughput [--device cuda] [--models 135M 1B 8B] [--batches 4 32 128]
                                    [--checkout FOLDER] [--json FILE]

Random models of the shapes of SmolLM2-135M, Llama-3.2-1B and Llama-3.1-8B, in bfloat16, on the
workload of `benchmarks.step`. ``packed`` and ``rows`` are this library's step of ascent, five
random answers to each prompt and a retain loss; ``finetune`` is the plain model on the same
sequences. ``graddiff`` is our step of ascent and a retain loss alone, beside ``open-unlearning``'s
GradDiff where ``--checkout`` names a clone of it. Blocks are recomputed in the backward pass
(``--keep`` keeps their activations).

Tokens are those of the sequences, without padding and each prompt as often as it is answered, so
that all columns of a batch are of the same work. Time is that on the wall, of forward and backward
pass, synchronised, and the median of the rounds. ``over table`` is the measured peak of the packed
step over what `unlearnkit.cost` says. What does not fit the device is shown as a dash.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import new_file
from benchmarks.variants import Streams, padded
from benchmarks.workload import draw
from unlearnkit.cost import Training, memory_of, shapes_of
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.base import Objective

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "135M": {
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "1B": {
        "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    "8B": {
        "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}  # fmt: skip
"""Configs of Llamas."""
METHOD = {"forget": "gradient_ascent", "mismatch": "random_mismatch", "retain": "retain_nll"}
GRADDIFF = {"forget": "gradient_ascent", "retain": "retain_nll"}
VARIANTS = ("packed", "rows", "finetune", "graddiff", "open-unlearning")
Run = Callable[[], object]


def random_model(name: str, device: str, dtype: torch.dtype, keep: bool) -> LlamaForCausalLM:
    """A random model of a shape, made on the device itself."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(LlamaConfig(**SHAPES[name], max_position_embeddings=512))
    finally:
        torch.set_default_dtype(before)
    if not keep:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def prepared(
    variant: str, name: str, streams: Streams, device: str, *,
    dtype: torch.dtype = torch.bfloat16, keep: bool = False, checkout: Path | None = None,
) -> tuple[Run, Any]:  # fmt: skip
    """Forward and backward pass of a variant, and the model that holds the gradients."""
    if variant in ("packed", "rows", "graddiff"):
        return _ours(variant, name, streams, device, dtype, keep)
    model = random_model(name, device, dtype, keep)
    if variant == "finetune":
        ids, mask, labels = (t.to(device) for t in padded(_examples(streams)))

        def finetune() -> None:
            model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()

        return finetune, model
    from benchmarks.peers import open_unlearning

    assert checkout is not None
    trainer = open_unlearning.trainer_of(checkout, "GradDiff", model, use_cpu=device == "cpu")
    keys = ("input_ids", "attention_mask", "labels")
    inputs = {
        stream: dict(
            zip(keys, (t.to(device) for t in padded(streams[stream].examples)), strict=True)
        )
        for stream in GRADDIFF
    }

    def theirs() -> None:
        trainer.compute_loss(model, inputs).backward()

    return theirs, model


def _ours(
    variant: str, name: str, streams: Streams, device: str, dtype: torch.dtype, keep: bool
) -> tuple[Run, Any]:
    names = GRADDIFF if variant == "graddiff" else METHOD
    module = UnlearningModule(
        {key: Objective.resolve(each)() for key, each in names.items()},
        layout="rows" if variant == "rows" else "packed",
        gradient_checkpointing=not keep,
    )
    module.use_model(random_model(name, device, dtype, keep=True))
    module.policy.train()
    batches = [b.to(device) for b in module.packer({key: streams[key] for key in names})]
    return lambda: module.loss(batches).backward(), module.policy


def measured(
    variant: str, name: str, streams: Streams, device: str, rounds: int, **options: Any
) -> dict[str, float] | None:
    """Seconds of a step, and its peak in bytes on a GPU; None where it does not fit."""
    try:
        run, model = prepared(variant, name, streams, device, **options)
        seconds: list[float] = []
        for _ in range(rounds + 1):  # the first also loads kernels
            model.zero_grad(set_to_none=True)
            _wait(device)
            start = time.perf_counter()
            run()
            _wait(device)
            seconds.append(time.perf_counter() - start)
    except torch.OutOfMemoryError:
        return None
    finally:
        run = model = None
        if device == "cuda":
            peak = torch.cuda.max_memory_allocated()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    found = {"seconds": statistics.median(seconds[1:])}
    return found | ({"peak": float(peak)} if device == "cuda" else {})


def by_table(name: str, streams: Streams, dtype: torch.dtype, keep: bool, device: str) -> float:
    """Peak of the packed step in bytes, as `unlearnkit.cost` has it, before an optimizer's step."""
    examples = _examples(streams)
    prompts = {e.prompt_ids for e in examples}
    responses = sum(len(e.response_ids) for e in examples)
    keys = sum(len(e.prompt_ids) + len(e.response_ids) for e in examples) + sum(map(len, prompts))
    tokens = sum(map(len, prompts)) + responses - len(examples)
    run = Training(
        tokens=tokens, responses=responses, streams=len(METHOD), kl=False, optimizer="sgd",
        weights="bfloat16" if dtype == torch.bfloat16 else "float32", keys=keys / tokens,
        every=0 if keep else 1, device=device, states=0,
    )  # fmt: skip
    return memory_of(shapes_of(LlamaConfig(**SHAPES[name])), run).peak


def measure(
    models: list[str], batches: list[int], device: str, rounds: int,
    checkout: Path | None = None, keep: bool = False, dtype: torch.dtype = torch.bfloat16,
) -> list[dict[str, Any]]:  # fmt: skip
    """All models and batches; each is printed as it is found."""
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{card}, {dtype}, tokens a second".replace("torch.", ""))
    variants = VARIANTS if checkout else VARIANTS[:-1]
    print(f"{'model':6}{'rows':>5}" + "".join(f"{each:>17}" for each in variants)
          + f"{'GiB':>8}{'over table':>12}")  # fmt: skip
    found: list[dict[str, Any]] = []
    for name in models:
        for batch in batches:
            streams = draw(SHAPES[name]["vocab_size"], 0, batch)
            row: dict[str, Any] = {"device": card, "model": name, "batch": batch}
            for variant in variants:
                options: dict[str, Any] = {"keep": keep, "checkout": checkout, "dtype": dtype}
                row[variant] = measured(variant, name, streams, device, rounds, **options)
                if row[variant] is not None:
                    names = GRADDIFF if variant in VARIANTS[3:] else METHOD
                    tokens = sum(_length(e) for n in names for e in streams[n].examples)
                    row[variant]["tokens_per_second"] = tokens / row[variant]["seconds"]
            packed = row["packed"] or {}
            if "peak" in packed:
                packed["over_table"] = packed["peak"] / by_table(name, streams, dtype, keep, device)
            found.append(row)
            print(f"{name:6}{batch:5}" + "".join(f"{_rate(row[each]):>17}" for each in variants)
                  + f"{_number(packed.get('peak'), 2**30):>8}"
                  f"{_number(packed.get('over_table'), 1):>12}", flush=True)  # fmt: skip
    return found


def _examples(streams: Streams) -> list[Any]:
    return [e for batch in streams.values() for e in batch.examples]


def _length(example: Any) -> int:
    return len(example.prompt_ids) + len(example.response_ids)


def _rate(row: dict[str, float] | None) -> str:
    return "-" if row is None else f"{row['tokens_per_second']:.0f}"


def _number(value: float | None, unit: float) -> str:
    return "-" if value is None else f"{value / unit:.2f}"


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measures, prints a table, and writes JSON on request."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=["135M", "1B", "8B"])
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 32, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="keep activations")
    parser.add_argument("--checkout", type=Path, help="a clone of open-unlearning")
    parser.add_argument("--json", type=new_file)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --device cpu --models tiny tries the code out")
    rows = measure(options.models, options.batches, options.device, options.rounds,
                   options.checkout, options.keep)  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
