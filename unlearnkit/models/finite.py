"""Checks that weights are finite."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from unlearnkit.errors import RecipeError

_NAMED = 3


def not_finite(weights: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Names of the weights that hold NaN or infinity; of sharded ones this process's shard counts.

    Weights in 8 bits or fewer are left out: what they stand for follows from other tensors.

    Example:
        >>> not_finite([("a", torch.ones(2)), ("b", torch.tensor([0.0, torch.nan]))])
        ['b']
    """
    found: list[str] = []
    for name, weight in weights:
        held = weight.detach()
        held = held.to_local() if isinstance(held, DTensor) else held
        if not held.numel() or not held.is_floating_point() or held.element_size() == 1:
            continue
        # One pass at the speed of the memory; `isfinite` takes twenty times as long.
        if not torch.stack(torch.aminmax(held)).isfinite().all():
            found.append(name)
    return found


def listed(names: list[str]) -> str:
    """The first few names."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def refuse_not_finite(model: nn.Module, path: str) -> None:
    """Refuses a model that could only give NaN.

    Raises:
        RecipeError: With the first few weights that are not finite.
    """
    if found := not_finite(model.named_parameters()):
        raise RecipeError(
            f"model.base: weights of {path} are NaN or infinite: {listed(found)}",
            hint="Such a model gives no probabilities. Its training may have diverged, its file "
            "may be damaged, or model.base.dtype: float16 may be too narrow for it.",
        )
