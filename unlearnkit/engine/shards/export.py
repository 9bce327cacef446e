"""Writes the weights of a sharded model, file by file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from unlearnkit.engine.shards.parts import without_second_names
from unlearnkit.engine.training.fsdp2 import whole_state
from unlearnkit.files import write_json

FILE_BYTES = 5 * 10**9
"""What the first process holds of the model, beside its own slices and one more weight."""


def goes_file_by_file(model: Any) -> bool:
    """Whether a model's weights are saved by their own names, and all of them."""
    return (
        isinstance(model, PreTrainedModel)
        and not model._keys_to_ignore_on_save
        and not get_checkpoint_conversion_mapping(model.config.model_type)
    )


def write_weights(model: Any, folder: Path | None) -> None:
    """Gathers one weight after the other, and has the first process write them; a collective call.

    Args:
        model: A sharded model; a tied weight is written once.
        folder: Where to, on the first process; None on all others.
    """
    state = without_second_names(get_model_state_dict(model), model)
    files = _files(state)
    named: dict[str, str] = {}
    for number, names in enumerate(files, 1):
        part = f"-{number:05d}-of-{len(files):05d}" if len(files) > 1 else ""
        file = f"model{part}.safetensors"
        held = {name: whole for name in names if (whole := _whole(state[name], folder is not None))}
        named |= dict.fromkeys(names, file)
        if folder is not None:
            save_file({n: each[0] for n, each in held.items()}, folder / file, {"format": "pt"})
    if folder is not None and len(files) > 1:
        size = sum(each.numel() * each.element_size() for each in state.values())
        index = {"metadata": {"total_size": size}, "weight_map": named}
        write_json(folder / "model.safetensors.index.json", index)


def gathered(model: Any, first: bool) -> dict[str, Tensor]:
    """What a folder of a model holds, whole, on the first process; a collective call.

    Of an adapter no more than that, and the embeddings, which PEFT saves beside an adapter that is
    put on them.
    """
    if not isinstance(model, PeftModel):
        return whole_state(model)
    inner: Any = model.get_base_model()
    kept = [inner.get_input_embeddings(), inner.get_output_embeddings()]
    wanted = {id(p) for each in kept if each is not None for p in each.parameters()}
    names = {
        name
        for name, p in model.named_parameters(remove_duplicate=False)
        if p.requires_grad or id(p) in wanted or "lora_" in name
    }
    state: Any = get_model_state_dict(model)
    taken = [(name, _whole(state[name], first)) for name in state if name in names]
    return {name: whole[0] for name, whole in taken if whole}


def _whole(tensor: Tensor, kept: bool) -> tuple[Tensor] | tuple[()]:
    """The whole weight in main memory, or nothing where it is not kept."""
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return (whole.detach().to("cpu").contiguous(),) if kept else ()


def _files(state: dict[str, torch.Tensor]) -> list[list[str]]:
    """The weights of each file."""
    files: list[list[str]] = [[]]
    held = 0
    for name, tensor in state.items():
        own = tensor.numel() * tensor.element_size()
        if files[-1] and held + own > FILE_BYTES:
            files.append([])
            held = 0
        files[-1].append(name)
        held += own
    return files
