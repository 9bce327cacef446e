"""DDP's buckets of gradients, laid before the first step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def lay_buckets(model: nn.Module | None) -> None:
    """Has DDP lay its buckets before the first step in the way in which it lays them after it.

    DDP adds up the first gradients in one bucket, and then lays others, in the order in which the
    gradients have come. Where a weight lies in a bucket decides in which order three processes or
    more add up its gradient. A run that continues from a checkpoint would add up its first step in
    another order than the run that was never stopped. So one backward pass, without a batch, comes
    before all steps: its gradients are 0 and come from the last weight to the first. A collective
    call. It takes the time of one exchange of gradients, and no memory that a step does not take.

    Args:
        model: What Lightning's strategy runs; any but DDP is left as it is, and so is one that
            keeps its first buckets or counts which weights its first step uses
            (``find_unused_parameters``, ``static_graph``).
    """
    if not isinstance(model, DistributedDataParallel):
        return
    if model.find_unused_parameters or model.static_graph:
        return
    inner: Any = model.module
    trained = [each for each in inner.parameters() if each.requires_grad]
    before = [each.grad for each in trained]
    own = inner.forward
    inner.forward = lambda zero: _nothing_of(trained, zero)
    try:
        model(trained[0].new_zeros(())).backward()
    finally:
        inner.forward = own
        for each, grad in zip(trained, before, strict=True):
            each.grad = grad


def _nothing_of(weights: list[nn.Parameter], zero: Tensor) -> Tensor:
    """0 times each weight; later terms are gone through first in the backward pass."""
    return torch.stack([each.sum().float() * zero for each in weights]).sum()
