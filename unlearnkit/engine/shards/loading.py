"""Loads sharded checkpoints, on as many processes as there are."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from unlearnkit.engine.shards.folder import plain_part, refuse_damaged_shards
from unlearnkit.engine.shards.parts import SHAPES, below, put_together
from unlearnkit.engine.training.resume import refuse_gaps

logger = logging.getLogger(__name__)


def load_shards(folder: Path, module: Any, optimizers: Iterable[Optimizer]) -> dict[str, Any]:
    """Reads each process's slices of weights and moments; a collective call.

    Args:
        folder: The checkpoint; it may be of another number of processes.
        module: An `UnlearningModule` whose policy is sharded.
        optimizers: Of its weights.

    Returns:
        The rest of the checkpoint.

    Raises:
        RecipeError: If the checkpoint is damaged, or lacks a trained weight.
    """
    refuse_damaged_shards(folder)
    plain = plain_part(folder)
    shapes = plain.pop(SHAPES)
    states, settings = plain.pop("state_dict"), plain.pop("optimizer_states", [])
    stored = _without_memory(below("state_dict", shapes))
    refuse_gaps({"state_dict": {**states, **stored}}, module.policy)
    weights: dict[str, Any] = get_model_state_dict(module)
    sharded = {f"state_dict/{n}": w for n, w in weights.items() if isinstance(w, DTensor)}
    into = {name: weight for name, weight in sharded.items() if name in shapes}
    _read(folder, into)
    module.load_state_dict({**states, **below("state_dict", into)}, strict=False)
    for index, (optimizer, saved) in enumerate(zip(optimizers, settings, strict=True)):
        expected = {name for name in shapes if name.startswith(f"optimizer_{index}/")}
        _load_optimizer(folder, index, module, optimizer, saved, expected)
    return plain


def whole_checkpoint(folder: Path) -> dict[str, Any]:
    """A sharded checkpoint in memory, as a process with whole weights writes it.

    Raises:
        RecipeError: If it is damaged.
    """
    refuse_damaged_shards(folder)
    plain = plain_part(folder)
    reader = HuggingFaceStorageReader(str(folder))
    kinds: Any = reader.read_metadata().state_dict_metadata
    into = {
        name: torch.empty(shape, dtype=kinds[name].properties.dtype)
        for name, shape in plain[SHAPES].items()
    }
    _read(folder, into, alone=True)
    return put_together(plain, into)


def _load_optimizer(
    folder: Path,
    index: int,
    module: nn.Module,
    optimizer: Optimizer,
    saved: Mapping[str, Any],
    expected: set[str],
) -> None:
    if not saved["state"]:  # plain SGD keeps nothing but its settings
        for group, settings in zip(optimizer.param_groups, saved["param_groups"], strict=True):
            group.update({key: value for key, value in settings.items() if key != "params"})
        return
    fresh: dict[str, Any] = get_optimizer_state_dict(module, optimizer)
    into = {
        f"optimizer_{index}/{weight}/{key}": value
        for weight, values in fresh["state"].items()
        for key, value in values.items()
        if isinstance(value, DTensor)
    }
    if into.keys() != expected:
        logger.warning("the checkpoint's optimizer keeps other values: they begin afresh")
        return
    _read(folder, into)
    for weight, values in saved["state"].items():
        fresh["state"][weight].update(values)
    set_optimizer_state_dict(module, optimizer, {**fresh, "param_groups": saved["param_groups"]})


def _read(folder: Path, into: Mapping[str, Tensor], alone: bool = False) -> None:
    """Reads tensors in place, each its slices."""
    if not into:
        return
    with warnings.catch_warnings():
        # That one process reads alone is meant.
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        load(dict(into), storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=alone)


def _without_memory(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
