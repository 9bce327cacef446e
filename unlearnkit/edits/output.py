"""Writes a new model folder as a whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import split_state_dict_into_shards_factory
from safetensors.torch import save_file
from torch import Tensor
from transformers import GenerationConfig

from unlearnkit.edits.weights import COMPANIONS, Spec
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel, as_base_model

SHARD_BYTES = 2**30
"""Largest file of weights; one file is in memory at a time."""
RECORD = "edit.json"


def refuse_existing(folder: Path) -> None:
    """Raises if there is something that would be overwritten.

    Raises:
        UserError: If the folder exists and is not empty, or is the current one.
    """
    if not folder.name:
        raise UserError(
            f"{folder}: expected the name of a folder to write", hint="Give a new folder's name."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty", hint="Give another folder.")


def refuse_inside(folder: Path, source: Path) -> None:
    """Raises if a folder would be written into the one that is copied.

    Raises:
        UserError: If it is below it.
    """
    if source.resolve() in folder.resolve().parents:
        raise UserError(
            f"{folder} is inside {source}, which is copied", hint="Give a folder outside of it."
        )


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to be filled, which gets its name when that is done.

    Raises:
        UserError: If the folder exists, the disk is full or cannot be written to. Nothing is
            left half-written.
    """
    refuse_existing(folder)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        yield unfinished
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        # safetensors reports a full disk with an exception of its own.
        if isinstance(error, OSError) or type(error).__module__.startswith("safetensors"):
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"cannot write {folder}: {reason}") from error
        raise


def copy_companions(sources: Sequence[Path], folder: Path) -> None:
    """Copies configs, tokenizer and chat template; of two files of a name the later wins."""
    for source in sources:
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


def write_json(file: Path, value: Any) -> None:
    """Writes JSON that people can read."""
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
