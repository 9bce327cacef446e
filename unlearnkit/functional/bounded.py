"""Losses with a bound, on next-token distributions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearnkit.functional.core import at_least_float32, log_probabilities


def jensen_shannon(logits: Tensor, ref_logits: Tensor) -> Tensor:
    r"""Jensen-Shannon divergence of two next-token distributions.

    $$\tfrac{1}{2} \mathrm{KL}(p \| m) + \tfrac{1}{2} \mathrm{KL}(q \| m), \quad
      m = \tfrac{1}{2}(p + q)$$

    Args:
        logits: ``[N, V]`` of the policy.
        ref_logits: ``[N, V]`` of the other model.

    Returns:
        ``[N]`` in nats, between 0 and log 2.

    Example:
        >>> apart = torch.tensor([[0.0, -torch.inf]]), torch.tensor([[-torch.inf, 0.0]])
        >>> jensen_shannon(*apart), jensen_shannon(apart[0], apart[0])
        (tensor([0.6931]), tensor([0.]))
    """
    log_p, log_q = log_probabilities(logits), log_probabilities(ref_logits)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return 0.5 * (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(-1)


def jensun(logps: Tensor) -> Tensor:
    r"""Jensen-Shannon divergence to the distribution that is sure of one token.

    $$\mathrm{JS}(p \| e_k) = \log 2 + \tfrac{1}{2} \left[p_k \log p_k
      - (1 + p_k) \log(1 + p_k)\right]$$

    Args:
        logps: ``[N]`` log-probability of that token.

    Returns:
        ``[N]`` in nats, between 0 and log 2.

    Example:
        >>> jensun(torch.tensor([0.0, -torch.inf]))
        tensor([0.0000, 0.6931])

    References:
        Singh et al. 2025, "Unlearning That Lasts" (JensUn), arXiv 2509.02820.
    """
    logps = at_least_float32(logps).clamp(min=-80.0)  # below, p log p is 0 to every digit
    p = logps.exp()
    return math.log(2) + 0.5 * (p * logps - (1 + p) * p.log1p())


def unilogit(logits: Tensor, target: Tensor) -> Tensor:
    r"""Divergence from the own prediction with the target at the uniform probability.

    $$\mathrm{KL}(p_\theta \| \mathrm{sg}[q]), \quad q = \mathrm{softmax}(z'), \quad
      z'_y = \log \frac{\sum_{v \neq y} e^{z_v}}{V - 1}, \quad z'_v = z_v$$

    Zero, with zero gradient, where the target has probability $1/V$.

    Args:
        logits: ``[N, V]`` policy logits that predict the targets.
        target: ``[N]`` token ids.

    Returns:
        ``[N]`` in nats, at least 0.

    Example:
        >>> unilogit(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 0]))
        tensor([0.0000, 0.6919])

    References:
        Vasilev et al. 2025, "Unilogit", arXiv 2505.06027.
    """
    log_p = log_probabilities(logits)
    here = torch.arange(len(target), device=target.device), target
    teacher = log_p.detach().clone()
    teacher[here] = -torch.inf
    others = teacher.logsumexp(-1)
    teacher[here] = others - math.log(max(logits.shape[-1] - 1, 1))
    log_q = log_probabilities(teacher)
    return (log_p.exp() * (log_p - log_q)).sum(-1)
