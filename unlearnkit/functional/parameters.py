"""Losses on parameters."""

from __future__ import annotations

from torch import Tensor

from unlearnkit.functional.core import at_least_float32


def orthogonal_lora(a: Tensor, previous_a: Tensor) -> Tensor:
    r"""Overlap of two LoRA down-projections: 0 where their row spaces are orthogonal.

    $$\lVert A_{t'} A_t^\top \rVert_F^2$$

    Args:
        a: ``[r, H]`` of the adapter being trained.
        previous_a: ``[r', H]`` of an adapter trained before.

    Returns:
        ``[]``, at least 0.

    Example:
        >>> import torch
        >>> orthogonal_lora(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        tensor(0.)

    References:
        Gao et al. 2024, "On Large Language Model Continual Unlearning" (O3), arXiv 2407.10223.
    """
    return (at_least_float32(previous_a) @ at_least_float32(a).T).square().sum()


def l2(parameter: Tensor, start: Tensor) -> Tensor:
    r"""Half the squared distance of a parameter from where it started.

    $$\frac{1}{2} \lVert \theta - \theta_0 \rVert_2^2$$

    Args:
        parameter: Any shape.
        start: The same shape.

    Returns:
        ``[]``, at least 0.

    Example:
        >>> import torch
        >>> l2(torch.tensor([3.0, 4.0]), torch.zeros(2))
        tensor(12.5000)

    References:
        Li et al. 2018, "Explicit Inductive Bias for Transfer Learning" (L2-SP),
        arXiv 1802.01483.
    """
    return 0.5 * (at_least_float32(parameter) - at_least_float32(start)).square().sum()
