"""Kullback-Leibler divergences between next-token distributions."""

from __future__ import annotations

import math

from torch import Tensor

from unlearnkit.functional.core import at_least_float32, log_probabilities


def forward_kl(logits: Tensor, ref_logits: Tensor) -> Tensor:
    r"""Divergence of the policy from the reference, averaged under the reference.

    $$\mathrm{KL}(p_\mathrm{ref} \| p_\theta) =
      \sum_v p_\mathrm{ref}(v) \, [\log p_\mathrm{ref}(v) - \log p_\theta(v)]$$

    Zero, with zero gradient, where both are equal. The gradient in a logit is
    $p_\theta(v) - p_\mathrm{ref}(v)$.

    Args:
        logits: ``[N, V]`` policy logits.
        ref_logits: ``[N, V]`` reference logits.

    Returns:
        ``[N]`` in nats, at least 0.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[0.0, 0.0]])
        >>> forward_kl(logits, logits + 5.0)
        tensor([0.])
    """
    log_p = log_probabilities(logits)
    log_ref = log_probabilities(ref_logits)
    return (log_ref.exp() * (log_ref - log_p)).sum(-1)


def reverse_kl(logits: Tensor, ref_logits: Tensor) -> Tensor:
    r"""Divergence of the policy from the reference, averaged under the policy.

    $$\mathrm{KL}(p_\theta \| p_\mathrm{ref}) =
      \sum_v p_\theta(v) \, [\log p_\theta(v) - \log p_\mathrm{ref}(v)]$$

    Args:
        logits: ``[N, V]`` policy logits.
        ref_logits: ``[N, V]`` reference logits.

    Returns:
        ``[N]`` in nats, at least 0.

    Example:
        >>> import torch
        >>> policy = torch.tensor([[1.0, 2.0]])
        >>> bool(torch.equal(reverse_kl(policy, policy * 2), forward_kl(policy * 2, policy)))
        True
    """
    return forward_kl(ref_logits, logits)


def uniform_kl(logits: Tensor) -> Tensor:
    r"""Divergence of the policy from the uniform distribution over the vocabulary.

    $$\mathrm{KL}(U \| p_\theta) = -\log V - \frac{1}{V} \sum_v \log p_\theta(v)$$

    The gradient in a logit is $p_\theta(v) - 1/V$.

    Args:
        logits: ``[N, V]`` policy logits.

    Returns:
        ``[N]`` in nats, at least 0.

    Example:
        >>> import torch
        >>> uniform_kl(torch.tensor([[0.0, 0.0], [0.0, 9.0]]))
        tensor([0.0000, 3.8070])

    References:
        Ji et al. 2024, "Reversing the Forget-Retain Objectives" (ULD), arXiv 2406.08607.
    """
    logits = at_least_float32(logits)
    above_mean = logits - logits.mean(-1, keepdim=True)
    return above_mean.logsumexp(-1) - math.log(logits.shape[-1])
