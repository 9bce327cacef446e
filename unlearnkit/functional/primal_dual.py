"""Primal-dual unlearning (PDU)."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from unlearnkit.functional.core import at_least_float32

Number = TypeVar("Number", float, Tensor)


def pdu(logits: Tensor) -> Tensor:
    r"""Squared height of the largest logit above the mean: 0 for a uniform prediction.

    $$\left(\max_v z_v - \frac{1}{V} \sum_v z_v\right)^2$$

    Args:
        logits: ``[N, V]``.

    Returns:
        ``[N]``, at least 0. The paper averages over tokens.

    Example:
        >>> import torch
        >>> pdu(torch.tensor([[3.0, 1.0]]))
        tensor([1.])

    References:
        Entesari et al. 2025, "Constrained Entropic Unlearning" (PDU), arXiv 2506.05314.
    """
    logits = at_least_float32(logits)
    return (logits.max(-1).values - logits.mean(-1)).square()


def dual_step(dual: Number, step_size: float, constraint: Number) -> Number:
    r"""Projected ascent step of the dual weight, $\max(0, \lambda + \eta\, c)$.

    Numbers, or tensors ``[]`` for which the host does not wait.

    Args:
        dual: $\lambda$, the weight of the constraint.
        step_size: $\eta$.
        constraint: $c$, above 0 where the constraint is broken.

    Example:
        >>> dual_step(1.0, step_size=5.0, constraint=-0.3)
        0.0
    """
    moved = dual + step_size * constraint
    return moved.clamp(min=0) if isinstance(moved, Tensor) else max(0.0, moved)
