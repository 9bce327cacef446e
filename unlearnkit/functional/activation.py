"""Losses on hidden states."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.functional.core import at_least_float32


def rmu(hidden: Tensor, to: Tensor) -> Tensor:
    r"""Squared distance of hidden states to where they are steered.

    $$\frac{1}{d} \lVert h_t - u_t \rVert_2^2$$

    On forget data $u$ is a fixed `control_vector`; on retain data it is the reference's hidden
    state.

    Args:
        hidden: ``[N, H]`` hidden states of the policy.
        to: ``[H]`` or ``[N, H]``.

    Returns:
        ``[N]``, at least 0.

    Example:
        >>> rmu(torch.zeros(1, 4), torch.tensor([2.0, 0.0, 0.0, 0.0]))
        tensor([1.])

    References:
        Li et al. 2024, "The WMDP Benchmark" (RMU), arXiv 2403.03218.
    """
    return (at_least_float32(hidden) - at_least_float32(to)).square().mean(-1)


def control_vector(size: int, norm: float, seed: int) -> Tensor:
    """Random direction with non-negative components, as RMU draws it.

    Args:
        size: ``H``, the model's hidden size.
        norm: Euclidean norm of the vector, the paper's ``c``.
        seed: Same seed, same vector, on every machine.

    Returns:
        ``[H]`` float32, on the CPU.

    Example:
        >>> control_vector(16, norm=6.5, seed=0).norm()
        tensor(6.5000)
    """
    u = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    return norm * u / u.norm()
