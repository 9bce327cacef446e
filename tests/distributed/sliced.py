"""Loads a sharded model, and measures what each process holds meanwhile."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from short_fits import objective
from torch import distributed
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from transformers import LlamaConfig, LlamaForCausalLM

from unlearnkit import UnlearningModule
from unlearnkit.models.adapter import LoraConfig


def save_llama(folder: Path, width: int, blocks: int, tie: bool = False) -> int:
    """Writes a model in two files or more; gives its bytes."""
    config = LlamaConfig(
        vocab_size=2048, hidden_size=width, intermediate_size=width * 11 // 4,
        num_hidden_layers=blocks, num_attention_heads=8, num_key_value_heads=4,
        tie_word_embeddings=tie,
    )  # fmt: skip
    torch.manual_seed(3)
    model = LlamaForCausalLM(config)
    size = sum(weight.nbytes for weight in model.parameters())
    model.save_pretrained(folder, max_shard_size=size * 2 // 3)
    return size


def anonymous() -> int:
    """Bytes of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


@contextmanager
def most(found: dict[str, int]) -> Iterator[None]:
    """Notes the peak of `anonymous` in the block above what is held before it."""
    before, done = anonymous(), threading.Event()
    seen = [before]

    def look() -> None:
        while not done.wait(0.002):
            seen.append(anonymous())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        found["peak"] = max(*seen, anonymous()) - before


class Module(UnlearningModule):
    """A module that a strategy has given a mesh."""

    def use_mesh(self, mesh: Any) -> None:
        self._device_mesh = mesh


def module(base: Path, lora: bool) -> Module:
    torch.manual_seed(4)
    return Module(
        {"forget": objective("gradient_ascent"), "retain": objective("retain_kl")},
        base=str(base),
        lora=LoraConfig(r=2, target_modules=["q_proj", "v_proj"]) if lora else None,
    )


def main(out: str, folder: str, adapter: str, compared: str = "") -> None:
    rank, world = (int(os.environ[name]) for name in ("LOCAL_RANK", "WORLD_SIZE"))
    distributed.init_process_group("gloo", rank=rank, world_size=world)
    mesh = init_device_mesh("cpu", (world, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
    distributed.barrier()
    found: dict[str, Any] = {}
    loaded = module(Path(folder), lora=bool(adapter))
    loaded.use_mesh(mesh)
    with most(found):
        loaded.configure_model()
    found["held"] = {
        name: [part.to_local().numel(), part.numel()]  # pyright: ignore
        for name, part in loaded.named_parameters()
    }
    found["layout"] = loaded.layout
    if compared:
        whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
        states = {"policy": get_model_state_dict(loaded.policy, options=whole)}
        kept: Any = loaded.reference
        if not adapter:
            states["reference"] = get_model_state_dict(kept.model, options=whole)
        found["equal"] = bool(rank) or _equal(states, Path(folder), bool(adapter))
    Path(out, f"rank{rank}.json").write_text(json.dumps(found))
    distributed.barrier()
    distributed.destroy_process_group()


def _equal(states: dict[str, Any], folder: Path, adapter: bool) -> bool:
    """Whether sharded weights are, to the bit, those of a process that loads the whole model."""
    one = module(folder, adapter)
    one.configure_model()
    kept: Any = one.reference
    wholes = {"policy": one.policy, **({} if adapter else {"reference": kept.model})}
    for name, whole in wholes.items():
        theirs = whole.state_dict()
        if states[name].keys() != theirs.keys():
            return False
        if not all(torch.equal(states[name][key], theirs[key]) for key in theirs):
            return False
    return True
