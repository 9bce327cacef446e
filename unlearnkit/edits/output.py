"""Contents of a new model folder: companions, generation config, and weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from huggingface_hub import split_state_dict_into_shards_factory
from safetensors.torch import save_file
from torch import Tensor
from transformers import GenerationConfig

from unlearnkit.edits.weights import COMPANIONS, Spec
from unlearnkit.files import refuse_links_out, write_json
from unlearnkit.models.base import BaseModel, as_base_model

SHARD_BYTES = 2**30
"""Largest file of weights; one file is in memory at a time."""
RECORD = "edit.json"


def copy_companions(sources: Sequence[Path], folder: Path) -> None:
    """Copies configs, tokenizer and chat template; of two files of a name the later wins."""
    for source in sources:
        refuse_links_out(source)
        for pattern in COMPANIONS:
            for file in source.glob(pattern):
                if not file.name.startswith("adapter_") and not file.name.endswith(".index.json"):
                    shutil.copyfile(file, folder / file.name)


def copy_generation_config(base: BaseModel, folder: Path) -> None:
    """Writes the generation config of a model, if it has one."""
    try:
        found = GenerationConfig.from_pretrained(as_base_model(base).path)
    except OSError:
        return
    found.save_pretrained(folder)


def write_weights(
    folder: Path,
    specs: dict[str, Spec],
    make: Callable[[str], Tensor],
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes safetensors, several files and their index where there are more than one.

    Args:
        folder: Where to.
        specs: The tensors in their order.
        make: The tensor of a name; those of one file are in memory together.
        shard_bytes: Largest file. A single larger tensor has a file of its own.
    """
    split = split_state_dict_into_shards_factory(
        specs,
        get_storage_size=lambda spec: spec.size,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=shard_bytes,
    )
    for file, names in split.filename_to_tensors.items():
        if names:
            save_file({n: make(n) for n in names}, folder / file, metadata={"format": "pt"})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        write_json(folder / "model.safetensors.index.json", index)
