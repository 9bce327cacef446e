"""Detector scores of forget inputs, and the gate on them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

PublishedGate = Literal["scienceqa", "tofu"]


def o3_score(h: Tensor, mean: Tensor, precision: Tensor, train: Tensor) -> Tensor:
    r"""Mahalanobis and cosine score of one layer, as O3 adds them.

    $$s(x) = -\tfrac{1}{2} (h - \mu)^\top \Sigma^{-1} (h - \mu) - 1000 \max_k \cos(h, h_k)$$

    More similar inputs have a *lower* second term; the gate is two-sided for that.

    Args:
        h: ``[B, H]``.
        mean: ``[H]`` of the training inputs.
        precision: ``[H, H]`` inverse covariance of the training inputs.
        train: ``[K, H]`` the training inputs.

    Returns:
        ``[B]``.

    Example:
        >>> h = torch.tensor([[1.0, 0.0]])
        >>> o3_score(h, torch.zeros(2), 2 * torch.eye(2), torch.tensor([[3.0, 0.0]]))
        tensor([-1001.])

    References:
        Gao et al. 2024, "On Large Language Model Continual Unlearning" (O3), arXiv 2407.10223.
    """
    nearest = (F.normalize(h, dim=-1) @ F.normalize(train, dim=-1).T).amax(-1)
    return mahalanobis_score(h, mean, precision) - 1000 * nearest


def mahalanobis_score(h: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    r"""Log-density of a Gaussian up to a constant, ``[B, H] -> [B]``; 0 at its mean.

    $$-\tfrac{1}{2} (h - \mu)^\top \Sigma^{-1} (h - \mu)$$

    Example:
        >>> mahalanobis_score(torch.tensor([[2.0]]), torch.zeros(1), torch.eye(1))
        tensor([-2.])

    References:
        Lee et al. 2018, arXiv 1807.03888, equation 2.
    """
    away = h - mean
    return -0.5 * ((away @ precision) * away).sum(-1)


def layer_entropy(states: Tensor, frozen: Tensor) -> Tensor:
    r"""How undecided a batch's states are about whose frozen states they are like: O3's contrast.

    $$\sum_\ell \frac{1}{N} \sum_n H\bigl(\mathrm{softmax}_k(h_{\ell n} \cdot h^0_{\ell k})\bigr)$$

    It is least where each state points at one frozen state, its own or another; nothing in it says
    which.

    Args:
        states: ``[N, L, H]`` mean hidden states of ``N`` inputs, of the encoder that is trained.
        frozen: ``[N, L, H]`` the same of the encoder as it was.

    Returns:
        ``[]`` in nats, from 0 to ``L log N``.

    Example:
        >>> layer_entropy(torch.zeros(2, 3, 4), torch.ones(2, 3, 4))
        tensor(2.0794)

    References:
        Gao et al. 2024, "On Large Language Model Continual Unlearning" (O3), arXiv 2407.10223. Its
        code adds 1e-5 in the logarithm.
    """
    logps = torch.einsum("nlh,klh->lnk", states, frozen).log_softmax(-1)
    return -(logps.exp() * logps).sum(-1).mean(-1).sum()


def soft_gate(
    g: Tensor, mean_train: float, mean_heldout: float, sigma: float, *, two_sided: bool = True
) -> Tensor:
    r"""O3's gate: near 1 where a score is a usual one, and near 0.12 far from that.

    $$w = \sigma\bigl(10\,(1 - \max(P(g), P(2x_0 - g)) + \min(P(g), P(2x_0 - g))) - 2\bigr)$$

    with $P$ the distribution function of the mixture of $N(\mu_1, \sigma^2)$ and
    $N(\mu_2, \sigma^2)$ and $x_0 = (\mu_1 + \mu_2) / 2$.

    Args:
        g: Scores.
        mean_train: ``μ₁``, mean score of inputs that the detector was fitted on.
        mean_heldout: ``μ₂``, that of inputs of the same kind that it was not.
        sigma: ``σ``, standard deviation of the latter.
        two_sided: As published. Otherwise a score above ``x₀`` counts as ``x₀``, for scores that
            only grow with similarity.

    Returns:
        Of the scores' shape.

    Example:
        >>> soft_gate(torch.tensor([1.0, 99.0]), 2.0, 0.0, 1.0)
        tensor([0.9997, 0.1192])

    References:
        Gao et al. 2024, "On Large Language Model Continual Unlearning" (O3), arXiv 2407.10223.
    """
    centre = (mean_train + mean_heldout) / 2
    if not two_sided:
        g = g.clamp(max=centre)

    def mixture(x: Tensor) -> Tensor:
        parts = [torch.special.ndtr((x - mean) / sigma) for mean in (mean_train, mean_heldout)]
        return torch.stack(parts).mean(0)

    gap = (mixture(g) - mixture(2 * centre - g)).abs()
    return torch.sigmoid(10 * (1 - gap) - 2)


def published_weight(w: Tensor, gate: PublishedGate) -> Tensor:
    """What an adapter counts with at a weight of `soft_gate`, by the steps of O3's code.

    Args:
        w: Weights of the gate, between 0 and 1.
        gate: ``scienceqa``: 1.2 above 0.9, the weight itself from 0.3 to 0.4, and otherwise 0, that
            is between them too. ``tofu``: 1 from 0.32, ten times the square above 0.2, and 0.

    Returns:
        Of the weights' shape.

    Example:
        >>> published_weight(torch.tensor([0.95, 0.6, 0.35, 0.25, 0.1]), "scienceqa")
        tensor([1.2000, 0.0000, 0.3500, 0.0000, 0.0000])
        >>> published_weight(torch.tensor([0.95, 0.6, 0.35, 0.25, 0.1]), "tofu")
        tensor([1.0000, 1.0000, 1.0000, 0.6250, 0.0000])

    References:
        Gao et al. 2024, "On Large Language Model Continual Unlearning" (O3), arXiv 2407.10223.
    """
    if gate == "tofu":
        return torch.where(w >= 0.32, 1.0, torch.where(w > 0.2, 10 * w.square(), 0.0))
    near = (w > 0.3) & (w <= 0.4)
    return torch.where(w > 0.9, 1.2, torch.where(near, w, 0.0))
