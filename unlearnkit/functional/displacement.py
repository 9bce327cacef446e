"""Losses that move probability from the target token to the others."""

from __future__ import annotations

from torch import Tensor

from unlearnkit.functional.core import at_least_float32, log_probabilities


def unlikelihood(logits: Tensor, target: Tensor) -> Tensor:
    r"""Minus the log-probability of any other token than the target.

    $$-\log(1 - p_\theta(y_t)) = \mathrm{lse}_v\, z_v - \mathrm{lse}_{v \ne y_t}\, z_v$$

    Taken from the logits since $1 - p$ rounds to 0 for a confident model.

    Args:
        logits: ``[N, V]`` logits that predict the targets.
        target: ``[N]`` token ids.

    Returns:
        ``[N]`` in nats, at least 0.

    Example:
        >>> import torch
        >>> unlikelihood(torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
        tensor([0.6931])

    References:
        Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training",
        arXiv 1908.04319.
    """
    logits = at_least_float32(logits)
    return logits.logsumexp(-1) - without_target(logits, target).logsumexp(-1)


def ceu(logits: Tensor, target: Tensor) -> Tensor:
    r"""Cross-entropy to the model's own distribution with the target token left out.

    $$-\sum_v q_v \log p_\theta(v), \quad
      q = \mathrm{sg}[\mathrm{softmax}(z \text{ with } z_{y_t} = -\infty)]$$

    Equals $H(q)$ + `unlikelihood`, and so has the gradient of `unlikelihood`.

    Args:
        logits: ``[N, V]`` logits that predict the targets.
        target: ``[N]`` token ids.

    Returns:
        ``[N]`` in nats, at least 0.

    Example:
        >>> import torch
        >>> ceu(torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
        tensor([0.6931])

    References:
        Yang 2025, "CE-U: Cross Entropy Unlearning", arXiv 2503.01224.
    """
    logits = at_least_float32(logits)
    teacher = without_target(logits.detach(), target).softmax(-1)
    return -(teacher * log_probabilities(logits)).sum(-1)


def ihl(logits: Tensor, target: Tensor) -> Tensor:
    r"""Inverted hinge loss: the target gives way to the best other token.

    $$1 + p_\theta(y_t) - \max_{v \ne y_t} p_\theta(v)$$

    Args:
        logits: ``[N, V]`` logits that predict the targets.
        target: ``[N]`` token ids.

    Returns:
        ``[N]``, between 0 and 2.

    Example:
        >>> import torch
        >>> ihl(torch.zeros(1, 4), torch.tensor([0]))
        tensor([1.])

    References:
        Cha et al. 2024, "Towards Robust and Parameter-Efficient Knowledge Unlearning" (LoKU),
        arXiv 2408.06621.
    """
    p = at_least_float32(logits).softmax(-1)
    of_target = p.gather(-1, target[:, None])[:, 0]
    return 1 + of_target - without_target(p, target).max(-1).values


def without_target(x: Tensor, target: Tensor) -> Tensor:
    """``[N, V]`` with minus infinity at each row's target."""
    return x.scatter(-1, target[:, None], float("-inf"))
