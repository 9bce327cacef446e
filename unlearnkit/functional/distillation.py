"""Self-distillation from an adjusted reference."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnkit.functional.core import at_least_float32, log_probabilities


def undial(logits: Tensor, ref_logits: Tensor, target: Tensor, beta: float = 10.0) -> Tensor:
    r"""Cross-entropy to the reference with the target's logit lowered.

    $$-\sum_v q_v \log p_\theta(v), \quad
      q = \mathrm{softmax}(z_\mathrm{ref} - \beta\, e_{y_t})$$

    The minimum is at $p_\theta = q$, so the model does not collapse.

    Args:
        logits: ``[N, V]`` policy logits that predict the targets.
        ref_logits: ``[N, V]`` reference logits.
        target: ``[N]`` token ids.
        beta: How far the target's logit is lowered.

    Returns:
        ``[N]`` in nats, at least 0.

    Example:
        >>> undial(torch.zeros(1, 4), torch.zeros(1, 4), torch.tensor([0]), beta=0.0)
        tensor([1.3863])

    References:
        Dong et al. 2024, "UNDIAL: Self-Distillation with Adjusted Logits", arXiv 2402.10052.
    """
    teacher = at_least_float32(ref_logits).clone()
    teacher[torch.arange(len(target), device=target.device), target] -= beta
    return -(teacher.softmax(-1) * log_probabilities(logits)).sum(-1)
