"""Membership attacks: scores that tell training texts from others.

Every attack gives one score per text, and **a higher score means less like a member**, so that an
AUC above 0.5 says that the forget set still looks trained on. Inputs are flat: ``x[N]`` one value
per token, ``sequence[N]`` the text of each token, from 0 and ascending, ``sequences`` the number
``S`` of texts.
"""

from __future__ import annotations

import math
import zlib as _zlib
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from unlearnkit.functional.core import row_mean, row_sum

MinKCompat = Literal["open-unlearning", "mimir"]


def loss(logps: Tensor, sequence: Tensor, sequences: int) -> Tensor:
    """Mean negative log-likelihood of each text, in nats per token. ``[N] -> [S]``.

    Example:
        >>> loss(torch.tensor([-1.0, -3.0, -4.0]), torch.tensor([0, 0, 1]), 2)
        tensor([2., 4.])

    References:
        Yeom et al. 2018, arXiv 1709.01604.
    """
    return -row_mean(logps, sequence, sequences)


def zlib(logps: Tensor, sequence: Tensor, texts: Sequence[str]) -> Tensor:
    """`loss` divided by the length of the zlib-compressed text in bytes. ``[N] -> [S]``.

    The length depends on the zlib build, so scores of two machines may differ slightly.

    Example:
        >>> zlib(torch.tensor([-8.0]), torch.tensor([0]), [""])
        tensor([1.])

    References:
        Carlini et al. 2021, "Extracting training data", arXiv 2012.07805, sec. 4.2.
    """
    sizes = [len(_zlib.compress(text.encode("utf-8"))) for text in texts]
    return loss(logps, sequence, len(texts)) / torch.tensor(sizes, device=logps.device)


def lowercase(loss_text: Tensor, loss_lowered: Tensor) -> Tensor:
    """`loss` of each text divided by `loss` of the text in lower case. ``[S], [S] -> [S]``.

    References:
        Carlini et al. 2021, arXiv 2012.07805, sec. 4.2.
    """
    return loss_text / loss_lowered


def min_k(
    x: Tensor,
    sequence: Tensor,
    sequences: int,
    k: float = 0.2,
    *,
    compat: MinKCompat | None = None,
) -> Tensor:
    """Minus the mean of each text's lowest values: Min-K% or, standardised, Min-K%++.

    ``x`` are log-probabilities for Min-K%, and `standardised_logps` for Min-K%++.

    Args:
        x: ``[N]``.
        sequence: ``[N]``.
        sequences: ``S``.
        k: Share of the tokens that is averaged, in (0, 1]; at least one token is.
        compat: ``open-unlearning`` leaves out each text's last token, and an empty text scores 0;
            ``mimir`` (also muse_bench) has no floor of one token: such a text scores nan.

    Returns:
        ``[S]``; nan for a text without tokens.

    Example:
        >>> min_k(torch.tensor([-1.0, -9.0, -2.0, -7.0]), torch.zeros(4).long(), 1, k=0.5)
        tensor([8.])

    References:
        Shi et al. 2024, "Detecting pretraining data", arXiv 2310.16789, eq. 1; Zhang et al. 2024,
        "Min-K%++", arXiv 2404.02936, eq. 3-4.
    """
    if compat == "open-unlearning" and sequence.numel():
        inner = torch.cat([sequence[1:] == sequence[:-1], sequence.new_zeros(1, dtype=torch.bool)])
        x, sequence = x[inner], sequence[inner]
    lengths = torch.bincount(sequence, minlength=sequences)
    # int() of the product in double precision, as all published code has it.
    counted = (lengths.double() * k).long()
    if compat != "mimir":
        counted = torch.where(lengths > 0, counted.clamp(min=1), counted)
    order = x.argsort(stable=True)
    order = order[sequence[order].argsort(stable=True)]
    rank = torch.arange(x.numel(), device=x.device) - (lengths.cumsum(0) - lengths)[sequence]
    lowest = torch.where(rank < counted[sequence], x[order], torch.zeros_like(x))
    scores = -row_sum(lowest, sequence, sequences) / counted
    return scores.nan_to_num(0.0) if compat == "open-unlearning" else scores


def standardised_logps(log_probs: Tensor, target: Tensor, floor: float = 1e-6) -> Tensor:
    """Log-probabilities in standard deviations from their mean under the model itself.

    Args:
        log_probs: ``[N, V]`` log-softmax of the logits that predict the targets.
        target: ``[N]`` token ids.
        floor: Least variance; a one-hot distribution has none.

    Returns:
        ``[N]``.

    Example:
        >>> log_probs = torch.tensor([[1.0, 0.0]]).log_softmax(-1)
        >>> standardised_logps(log_probs, torch.tensor([0]))
        tensor([0.6065])

    References:
        Zhang et al. 2024, "Min-K%++", arXiv 2404.02936, eq. 3.
    """
    probabilities = log_probs.exp()
    mean = (probabilities * log_probs).sum(-1)
    variance = (probabilities * log_probs.square()).sum(-1) - mean.square()
    logps = log_probs.gather(-1, target[:, None])[:, 0]
    return (logps - mean) / variance.clamp(min=floor).sqrt()


def reference(loss_model: Tensor, loss_reference: Tensor) -> Tensor:
    """`loss` under the model minus `loss` under a model that did not see the text.

    References:
        Carlini et al. 2021, arXiv 2012.07805, sec. 4.2; Mireshghallah et al. 2022,
        arXiv 2203.03929.
    """
    return loss_model - loss_reference


def recall(loss_alone: Tensor, loss_after_prefix: Tensor) -> Tensor:
    """ReCaLL: minus the relative log-likelihood after a prefix of known non-members.

    The prefix makes members less likely, and non-members hardly so.

    Args:
        loss_alone: ``[S]`` `loss` of each text.
        loss_after_prefix: ``[S]`` `loss` of the same tokens behind the prefix.

    Example:
        >>> recall(torch.tensor([2.0, 0.0]), torch.tensor([3.0, 0.0]))
        tensor([-1.5000, -1.0000])

    References:
        Xie et al. 2024, "ReCaLL", arXiv 2406.15968, eq. 2.
    """
    # A text that the model is sure of has no loss at all.
    least = torch.finfo(loss_alone.dtype).tiny
    return -(loss_after_prefix + least) / (loss_alone + least)


def gradient_norm(loss: Tensor, parameters: Iterable[Tensor], p: float = 2.0) -> Tensor:
    """Mean over the parameter tensors of the ``p``-norm of the loss's gradient, a scalar.

    It is not the norm of the whole gradient: each tensor counts the same, whatever its size.

    Args:
        loss: Scalar loss of one text.
        parameters: Tensors that the loss depends on; those that need no gradient are left out.
        p: Order of the norm; ``inf`` is the largest entry.

    Example:
        >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
        >>> gradient_norm((w * w).sum() / 2, [w])
        tensor(5.)

    References:
        Maini et al. 2024, arXiv 2406.06443; Wang et al. 2024, arXiv 2402.17012.
    """
    wanted = [each for each in parameters if each.requires_grad]
    grads = torch.autograd.grad(loss, wanted, allow_unused=True)
    norms = [
        torch.zeros((), dtype=w.dtype, device=w.device) if g is None else g.norm(p)
        for g, w in zip(grads, wanted, strict=True)
    ]
    return torch.stack(norms).mean()


def auc(forget: Tensor, holdout: Tensor) -> float:
    """Probability that a held-out text scores higher than a forget text, ties counted half.

    0.5 is chance; 1 says that every forget text looks more like a member. nan where one of the two
    sets is empty.

    Example:
        >>> auc(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]))
        0.875

    References:
        Hanley and McNeil 1982 (the Mann-Whitney form of the area under the ROC curve).
    """
    below, upto = _counts(forget, holdout)
    pairs = forget.numel() * holdout.numel()
    if not pairs:
        return math.nan
    return (int(below.sum()) + int(upto.sum())) / (2 * pairs)


def true_positive_rate(forget: Tensor, holdout: Tensor, false_positive_rate: float = 0.01) -> float:
    """Largest share of forget texts found while at most that share of others is found wrongly.

    With fewer than 100 held-out texts a rate of 1 % allows none of them. nan where one of the two
    sets is empty.

    Example:
        >>> true_positive_rate(torch.tensor([0.5, 1.5, 3.0]), torch.tensor([2.0, 4.0]))
        0.6666666666666666

    References:
        Carlini et al. 2022, "Membership inference attacks from first principles",
        arXiv 2112.03570, sec. 3.
    """
    if not forget.numel() or not holdout.numel():
        return math.nan
    allowed = int(false_positive_rate * holdout.numel())
    ranked = holdout.double().sort().values
    if allowed >= ranked.numel():
        return 1.0
    # A threshold just below the first held-out text that is not allowed.
    return int((forget.double() < ranked[allowed]).sum()) / forget.numel()


def _counts(forget: Tensor, holdout: Tensor) -> tuple[Tensor, Tensor]:
    """For each held-out score, the forget scores below it, and those below or equal."""
    if bool(forget.isnan().any()) or bool(holdout.isnan().any()):
        raise ValueError("a score is nan: a text has too few tokens for this attack")
    ranked, other = forget.double().sort().values, holdout.double()
    return torch.searchsorted(ranked, other), torch.searchsorted(ranked, other, right=True)
