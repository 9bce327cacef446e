"""Evaluations of one model, shared by the processes that run this or by one alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from short_fits import qa, stub_data
from stub import stub_model, stub_tokenizer
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.dealing import Ranks, dealt
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import gradient_norms, score
from unlearnkit.engine.training.fsdp2 import shard
from unlearnkit.runs.measure import measure
from unlearnkit.suites import Suite, SuiteContext

PROMPTS = [(4 + n % 4,) * (1 + n % 5) for n in range(9)]
EXAMPLES = [Example(ids, (5, 6, 3)[n % 2 :], n, f"a:{n}") for n, ids in enumerate(PROMPTS)]


def found(folder: Path, mesh: Any = None) -> dict[str, Any]:
    """All that an evaluation finds, as plain values."""
    model, reference = (stub_model({"random_init": seed}) for seed in (1, 2))
    if mesh is not None:
        shard([model, reference], mesh)
    values: dict[str, Any] = {}
    for temperature in (0.0, 1.0):
        said = generate(
            model, stub_tokenizer(), PROMPTS, max_new_tokens=[9 + n % 3 for n in range(9)],
            batch_size=2, temperature=temperature,
        )  # fmt: skip
        values[f"ids at {temperature}"] = [list(each.ids) for each in said]
    for size in (2, 16):  # of 16 the second process has none
        scores = score(model, EXAMPLES, batch_size=size, reference=reference, compared=5)
        assert scores.kl is not None
        values[f"scores {size}"] = [scores.logps.tolist(), scores.kl.tolist()]
    if mesh is None:
        values["norms"] = gradient_norms(model, EXAMPLES).tolist()
    streams = {name: qa(folder / f"{name}.jsonl") for name in ("forget", "retain")}
    data = stub_data(streams, max_length=64)
    kept = str(folder / "retain.jsonl")
    suite = Suite.resolve("copyright")(str(folder / "forget.jsonl"), kept, heldout=kept)
    (result,) = measure(model, data.tokenizer, [suite], SuiteContext.of(data, 7)).values()
    values["rows"], values["values"] = result.rows, dict(result.values)
    return values


def main(out: str, folder: str, kind: str) -> None:
    rank = int(os.environ["LOCAL_RANK"])
    distributed.init_process_group("gloo", rank=rank, world_size=int(os.environ["WORLD_SIZE"]))
    ranks = Ranks.joined()
    mesh = init_device_mesh("cpu", (2,)) if kind == "sharded" else None
    passes = 0

    def count(module: torch.nn.Module, *_: object) -> None:
        nonlocal passes
        passes += type(module).__name__.endswith("LlamaForCausalLM")

    torch.nn.modules.module.register_module_forward_hook(count)
    with dealt(ranks):
        values = found(Path(folder), mesh)
    Path(out, f"rank{rank}.json").write_text(json.dumps({"passes": passes, "found": values}))
    distributed.destroy_process_group()


def differing(out: str) -> None:
    """What the processes end with where their rows are not the same, and where one fails."""
    rank = int(os.environ["LOCAL_RANK"])
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    ranks, model = Ranks.joined(), stub_model()
    said: list[str] = []
    with dealt(ranks):
        for prompts in ([(4 + rank,), (4,)], [(4,), (5,)]):
            if len(said) == 1 and rank == 1:
                model.forward = None  # pyright: ignore
            try:
                generate(model, stub_tokenizer(), prompts, max_new_tokens=2, batch_size=1)
            except Exception as error:
                said.append(f"{type(error).__name__}: {error}")
    Path(out, f"rank{rank}.json").write_text(json.dumps(said))
    distributed.destroy_process_group()
