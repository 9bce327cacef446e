"""Gradient ascent with a weight for each token."""

from __future__ import annotations

from torch import Tensor

from unlearnkit.functional.core import at_least_float32


def wga(logps: Tensor, beta: float = 1.0) -> Tensor:
    r"""Weighted gradient ascent: confident tokens are unlearned more.

    $$\mathrm{sg}[p_\theta(y_t)^{\beta}] \, \log p_\theta(y_t)$$

    with no gradient through the weight $\mathrm{sg}[\cdot]$. At ``beta=0`` it is gradient ascent.

    Args:
        logps: ``[N]`` log-probability of each response token, in nats.
        beta: Exponent of the weight.

    Returns:
        ``[N]``, at most 0. The paper averages over tokens.

    Example:
        >>> import torch
        >>> wga(torch.tensor([0.5]).log())
        tensor([-0.3466])

    References:
        Wang et al. 2025, "Rethinking LLM Unlearning Objectives" (WGA), arXiv 2502.19301.
    """
    logps = at_least_float32(logps)
    return (beta * logps.detach()).exp() * logps


def satimp(logps: Tensor, beta1: float = 5.0, beta2: float = 1.0) -> Tensor:
    r"""Gradient ascent weighted by saturation and importance.

    $$\mathrm{sg}[p_\theta(y_t)^{\beta_1} (1 - p_\theta(y_t))^{\beta_2}] \,
      \log p_\theta(y_t)$$

    The weight is largest at $p = \beta_1 / (\beta_1 + \beta_2)$.

    Args:
        logps: ``[N]`` log-probability of each response token, in nats.
        beta1: Exponent of the saturation weight.
        beta2: Exponent of the importance weight.

    Returns:
        ``[N]``, at most 0. The paper averages over tokens.

    Example:
        >>> import torch
        >>> satimp(torch.tensor([0.5]).log(), beta1=1.0, beta2=1.0)
        tensor([-0.1733])

    References:
        Yang et al. 2025, "Exploring Criteria of Loss Reweighting" (SatImp), arXiv 2505.11953.
    """
    logps = at_least_float32(logps)
    fixed = logps.detach()
    weight = (beta1 * fixed).exp() * (-fixed.expm1()) ** beta2
    return weight * logps
