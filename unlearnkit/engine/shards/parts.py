"""Takes sharded tensors out of a checkpoint, and puts them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

T = TypeVar("T")
SHAPES = "sharded_shapes"
"""Where the plain part of a checkpoint says what is sharded, and in which shapes."""
FILE_BYTES = 2**30
"""Of one process: what it writes is in memory a second time, one file after the other."""


class Parts(NamedTuple):
    """A checkpoint taken apart.

    Args:
        sharded: The tensors of which each process has a slice, by ``state_dict/NAME`` and
            ``optimizer_INDEX/WEIGHT/NAME``.
        plain: The rest, which is the same on all processes.
    """

    sharded: dict[str, DTensor]
    plain: dict[str, Any]


def taken_apart(checkpoint: Mapping[str, Any]) -> Parts:
    """Takes the sharded tensors out of a checkpoint of Lightning's.

    Args:
        checkpoint: Its states name weights; nothing is changed in it.
    """
    sharded: dict[str, DTensor] = {}
    plain = dict(checkpoint)
    plain["state_dict"] = _without(checkpoint["state_dict"], "state_dict", sharded)
    states = []
    for index, state in enumerate(checkpoint.get("optimizer_states", [])):
        moments = {
            weight: _without(values, f"optimizer_{index}/{weight}", sharded)
            for weight, values in state["state"].items()
        }
        states.append({**state, "state": moments})
    if "optimizer_states" in checkpoint:
        plain["optimizer_states"] = states
    plain[SHAPES] = {name: list(tensor.shape) for name, tensor in sharded.items()}
    return Parts(sharded, plain)


def put_together(plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """A checkpoint as a process with whole weights writes it, whose optimizers number weights."""
    found = {key: value for key, value in plain.items() if key != SHAPES}
    found["state_dict"] = {**plain["state_dict"], **below("state_dict", tensors)}
    states = []
    for index, state in enumerate(plain.get("optimizer_states", [])):
        numbers: dict[str, int] = {}
        groups = [
            {
                **group,
                "params": [numbers.setdefault(name, len(numbers)) for name in group["params"]],
            }
            for group in state["param_groups"]
        ]
        moments = {
            numbers[weight]: {**values, **below(f"optimizer_{index}/{weight}", tensors)}
            for weight, values in state["state"].items()
        }
        states.append({"state": moments, "param_groups": groups})
    if "optimizer_states" in plain:
        found["optimizer_states"] = states
    return found


def without_second_names(state: Mapping[str, Any], module: nn.Module) -> dict[str, Any]:
    """A state that has a tied weight once, under its first name."""
    every = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    second = every - {name for name, _ in module.named_parameters()}
    return {name: value for name, value in state.items() if name not in second}


def files_of(sharded: Mapping[str, DTensor], world: int) -> dict[str, int]:
    """The number of the file that each tensor's slices go to, the same on all processes."""
    numbers: dict[str, int] = {}
    number, held = 1, 0
    for name, tensor in sharded.items():
        own = -(-tensor.numel() * tensor.element_size() // world)
        if held and held + own > FILE_BYTES:
            number, held = number + 1, 0
        numbers[name], held = number, held + own
    return numbers


def _without(values: Mapping[str, Any], place: str, sharded: dict[str, DTensor]) -> dict[str, Any]:
    """Values without sharded tensors, which are added to others; copies of small tensors."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, DTensor):
            sharded[f"{place}/{key}"] = value
        else:
            kept[key] = value.detach().cpu() if isinstance(value, torch.Tensor) else value
    return kept


def below(place: str, values: Mapping[str, T]) -> dict[str, T]:
    """Those whose names begin with a place, without it."""
    begins = f"{place}/"
    return {
        name.removeprefix(begins): value
        for name, value in values.items()
        if name.startswith(begins)
    }
