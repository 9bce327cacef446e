"""Sums over responses, and log-probabilities of tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def token_logps(logits: Tensor, target: Tensor) -> Tensor:
    """Log-probability of each target token.

    Args:
        logits: ``[N, V]`` logits that predict the targets.
        target: ``[N]`` token ids.

    Returns:
        ``[N]`` in nats, float32 (float64 for float64 logits).

    Example:
        >>> token_logps(torch.zeros(1, 4), torch.tensor([2])).exp()
        tensor([0.2500])
    """
    return -F.cross_entropy(at_least_float32(logits), target, reduction="none")


def log_probabilities(logits: Tensor) -> Tensor:
    """Log-softmax over the vocabulary, finite also for a token that cannot be said.

    A logit of minus infinity counts as the lowest number there is, so that ``p log p`` of such a
    token is 0, as its limit is, and not NaN.

    Args:
        logits: ``[..., V]``.

    Returns:
        ``[..., V]`` in nats, float32 (float64 for float64 logits).

    Example:
        >>> logps = log_probabilities(torch.tensor([0.0, 0.0, -torch.inf]))
        >>> (logps.exp() * logps).sum()
        tensor(-0.6931)
    """
    exact = at_least_float32(logits)
    return exact.clamp(min=torch.finfo(exact.dtype).min).log_softmax(-1)


def row_sum(x: Tensor, sequence: Tensor, sequences: int) -> Tensor:
    """Sum of the tokens of each sequence.

    Args:
        x: ``[N]`` one value per token.
        sequence: ``[N]`` the sequence of each token, from 0.
        sequences: ``S``, the number of sequences.

    Returns:
        ``[S]``.

    Example:
        >>> row_sum(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]), 2)
        tensor([3., 4.])
    """
    return x.new_zeros(sequences).index_add(0, sequence, x)


def row_mean(x: Tensor, sequence: Tensor, sequences: int) -> Tensor:
    """Mean over the tokens of each sequence, ``[N] -> [S]``; 0 for a sequence without tokens.

    Example:
        >>> row_mean(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]), 2)
        tensor([1.5000, 4.0000])
    """
    lengths = torch.bincount(sequence, minlength=sequences).clamp(min=1)
    return row_sum(x, sequence, sequences) / lengths


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are.

    A log-softmax in bfloat16 has a spacing of 8 nats at a sum near -2000, so no loss is computed
    in half precision.
    """
    return x if x.dtype == torch.float64 else x.float()
