"""Answer of a loss to a factor on the logits."""

from __future__ import annotations

from torch import Tensor


def dummy_slope(logps: Tensor, entropy: Tensor) -> Tensor:
    r"""Derivative of the negative log-likelihood by a factor on the logits, at the factor 1.

    $$\frac{\partial}{\partial w} \left[-\log \mathrm{softmax}(w z)_y\right]_{w=1}
      = \sum_v p(v)\, z_v - z_y = -\log p(y) - H(p)$$

    Zero where the model is, on average, as sure as it is right: neither larger nor smaller logits
    would help.

    Args:
        logps: ``[N]`` log-probabilities of the true tokens.
        entropy: ``[N]`` entropies of the predictions, in nats.

    Returns:
        ``[N]`` in nats.

    Example:
        >>> import torch
        >>> p = torch.tensor([0.5, 0.25, 0.25])
        >>> dummy_slope(p.log(), -(p * p.log()).sum())
        tensor([-0.3466,  0.3466,  0.3466])

    References:
        Arjovsky et al. 2019, "Invariant Risk Minimization", arXiv 1907.02893, IRMv1.
    """
    return -logps - entropy
