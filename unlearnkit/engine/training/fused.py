"""Fused steps of Adam and AdamW, where nothing else is asked for."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch.distributed.tensor import DTensor


def use_fused(
    optimizer: torch.optim.Optimizer, devices: Collection[str] = ("cuda",)
) -> torch.optim.Optimizer:
    """Lets Adam and AdamW step in one kernel, which needs no temporaries as large as the weights.

    Groups with ``fused``, ``foreach``, ``capturable`` or ``differentiable`` set stay as they are,
    and so do sharded weights.

    Args:
        optimizer: Any; it has not stepped yet.
        devices: Types of devices on which the fused step is taken.

    Returns:
        The optimizer.
    """
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return optimizer
    for group in optimizer.param_groups:
        left_open = group["fused"] is None and group["foreach"] is None
        if left_open and not group["capturable"] and not group["differentiable"]:
            group["fused"] = all(_can(each, devices) for each in group["params"]) or None
    return optimizer


def _can(parameter: torch.Tensor, devices: Collection[str]) -> bool:
    here = parameter.device.type in devices and parameter.is_floating_point()
    return here and not isinstance(parameter, DTensor)
