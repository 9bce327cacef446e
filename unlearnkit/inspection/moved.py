"""Change of each weight matrix."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from unlearnkit.errors import UserError


class Moved(NamedTuple):
    """The change of one weight.

    Args:
        name: Its name.
        relative: Frobenius norm of the change over that of the weight before.
        share: Share of the entries that changed at all.
    """

    name: str
    relative: float
    share: float


def moved(before: nn.Module, after: nn.Module) -> list[Moved]:
    """The weights that changed, the farthest first.

    Args:
        before: The model before unlearning.
        after: The unlearned model.

    Raises:
        UserError: If the models do not have the same weights.

    Example:
        >>> one, two = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
        >>> _ = one.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
        >>> _ = two.weight.data.copy_(torch.tensor([[3.0, 5.0]]))
        >>> moved(one, two)
        [Moved(name='weight', relative=0.2, share=0.5)]
    """
    old, new = dict(before.named_parameters()), dict(after.named_parameters())
    if {n: p.shape for n, p in old.items()} != {n: p.shape for n, p in new.items()}:
        raise UserError(
            "the models do not have the same weights, so no change can be told",
            title="inspection",
            hint="Merge an adapter first: unlearnkit export RUN OUT --merge.",
        )
    found: list[Moved] = []
    for name, weight in old.items():
        change = new[name].detach().float() - weight.detach().float()
        share = float((change != 0).float().mean())
        if share:
            norm = float(torch.linalg.vector_norm(weight.detach().float()))
            length = float(torch.linalg.vector_norm(change))
            found.append(Moved(name, length / norm if norm else float("inf"), share))
    return sorted(found, key=lambda each: -each.relative)
