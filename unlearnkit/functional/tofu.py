"""TOFU's measures: true against false answers, and their aggregates.

The input of the first functions is the mean negative log-likelihood of each answer, in nats per
token (`membership.loss`), end-of-sequence token included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

TruthAggregate = Literal["closer_to_1_better", "true_better", "prob_mean", "ratio"]
TruthMean = Literal["geometric", "arithmetic"]
OpenUnlearning = Literal["open-unlearning"]

_EPSILON = 1e-10  # open-unlearning's guard of its divisions


def probability(nll: Tensor) -> Tensor:
    """Length-normalised probability of each answer, ``exp(-nll)``, in [0, 1]. Same shape.

    Example:
        >>> probability(torch.tensor([0.0, 0.6931]))
        tensor([1.0000, 0.5000])

    References:
        Maini et al. 2024, "TOFU", arXiv 2401.06121, sec. 2.2.
    """
    return (-nll).exp()


def probability_with_options(
    nll: Tensor, nll_wrong: Tensor, *, compat: OpenUnlearning | None = None
) -> Tensor:
    """Probability of the right answer among it and the wrong ones, in [0, 1].

    Args:
        nll: ``[S]`` of the right answer.
        nll_wrong: ``[S, K]`` of the wrong answers.
        compat: ``open-unlearning`` adds 1e-10 to the divisor.

    Returns:
        ``[S]``.

    Example:
        >>> probability_with_options(torch.zeros(1), torch.zeros(1, 3))
        tensor([0.2500])

    References:
        Maini et al. 2024, arXiv 2401.06121, sec. 2.2 (real authors and world facts).
    """
    if compat == "open-unlearning":
        right, wrong = probability(nll), probability(nll_wrong).sum(-1)
        return right / (right + wrong + _EPSILON)
    return (-torch.cat([nll[:, None], nll_wrong], dim=1)).softmax(1)[:, 0]


def truth_ratio(
    nll: Tensor,
    nll_wrong: Tensor,
    mean: TruthMean = "geometric",
    *,
    compat: OpenUnlearning | None = None,
) -> Tensor:
    r"""How much likelier the wrong answers are than the right one; below 1 for one who knows.

    .. math:: R = \frac{\mathrm{mean}_k \, p(\text{wrong}_k)}{p(\text{right})}

    Args:
        nll: ``[S]`` of the right answer (TOFU: a paraphrase of it on forget and retain rows).
        nll_wrong: ``[S, K]`` of the wrong answers.
        mean: Over the wrong answers: ``arithmetic`` as in the paper's text, ``geometric`` as in
            TOFU's and open-unlearning's evaluation.
        compat: ``open-unlearning`` adds 1e-10 to the divisor.

    Returns:
        ``[S]``, at least 0.

    Example:
        >>> truth_ratio(torch.tensor([1.0]), torch.tensor([[1.0, 1.0]]))
        tensor([1.])

    References:
        Maini et al. 2024, arXiv 2401.06121, eq. 1.
    """
    if compat == "open-unlearning":
        return probability(mean_loss(nll_wrong, mean)) / (probability(nll) + _EPSILON)
    return (nll - mean_loss(nll_wrong, mean)).exp()


def mean_loss(nll_wrong: Tensor, mean: TruthMean) -> Tensor:
    """``[S, K] -> [S]``: minus the log of the mean probability."""
    if mean == "geometric":
        return nll_wrong.mean(-1)
    return torch.tensor(float(nll_wrong.shape[-1])).log() - (-nll_wrong).logsumexp(-1)


def truth_scores(
    nll: Tensor,
    nll_wrong: Tensor,
    aggregate: TruthAggregate,
    mean: TruthMean = "geometric",
    *,
    compat: OpenUnlearning | None = None,
) -> Tensor:
    """What an aggregate of the truth ratio ``R`` averages, by row. ``[S], [S, K] -> [S]``.

    ============================ ===================== ========================================
    aggregate                    value                 read as
    ============================ ===================== ========================================
    ``closer_to_1_better``       ``min(R, 1/R)``       1: right and wrong are the same (forget)
    ``true_better``              ``max(0, 1 - R)``     1: the right answer alone (retain)
    ``prob_mean``                ``1 / (1 + R)``       share of the right answer
    ``ratio``                    ``R``                 the ratio itself
    ============================ ===================== ========================================

    Args:
        nll: ``[S]`` of the right answer.
        nll_wrong: ``[S, K]`` of the wrong answers.
        aggregate: Which.
        mean: Over the wrong answers, as in `truth_ratio`.
        compat: ``open-unlearning`` adds 1e-10 to every divisor.

    Example:
        >>> right, wrong = torch.tensor([0.0, 2.0]), torch.tensor([[1.0], [1.0]])
        >>> truth_scores(right, wrong, "closer_to_1_better")
        tensor([0.3679, 0.3679])
        >>> truth_scores(right, wrong, "true_better")
        tensor([0.6321, 0.0000])

    References:
        Maini et al. 2024, arXiv 2401.06121, table 1; Dorna et al. 2025, "OpenUnlearning",
        arXiv 2506.12618.
    """
    ratio = truth_ratio(nll, nll_wrong, mean, compat=compat)
    epsilon = _EPSILON if compat == "open-unlearning" else 0.0
    if aggregate == "closer_to_1_better":
        return torch.minimum(ratio, 1 / (ratio + epsilon))
    if aggregate == "true_better":
        return (1 - ratio).clamp(min=0)
    if aggregate == "prob_mean":
        if compat == "open-unlearning":
            right, wrong = probability(nll), probability(mean_loss(nll_wrong, mean))
            return right / (right + wrong + _EPSILON)
        return 1 / (1 + ratio)
    return ratio


class KolmogorovSmirnov(NamedTuple):
    """Two-sided, two-sample Kolmogorov-Smirnov test."""

    statistic: float
    """Largest distance between the two distribution functions, in [0, 1]."""
    p_value: float


def kolmogorov_smirnov(x: Sequence[float], y: Sequence[float]) -> KolmogorovSmirnov:
    """The test by scipy; exact for up to 10 000 values a side.

    Example:
        >>> kolmogorov_smirnov([1.0, 2.0], [3.0, 4.0]).statistic
        1.0
    """
    from scipy.stats import ks_2samp  # Here: its import takes a second, and few need it.

    result = ks_2samp(list(x), list(y))
    return KolmogorovSmirnov(float(result.statistic), float(result.pvalue))  # pyright: ignore


def forget_quality(ratios: Sequence[float], gold_ratios: Sequence[float]) -> float:
    """p-value of `kolmogorov_smirnov` on two models' truth ratios, in [0, 1].

    1 where the unlearned model cannot be told from the one that never saw the forget set; below
    0.05 they differ. One row on either side says nothing of a distribution: the value is nan.

    Args:
        ratios: Truth ratio of each forget row under the unlearned model.
        gold_ratios: The same under the model trained without the forget set.

    Example:
        >>> forget_quality([0.1, 0.5, 0.9], [0.1, 0.5, 0.9])
        1.0

    References:
        Maini et al. 2024, arXiv 2401.06121, sec. 2.2.
    """
    if min(len(ratios), len(gold_ratios)) < 2:
        return math.nan
    return kolmogorov_smirnov(ratios, gold_ratios).p_value


def ks_distance(ratios: Sequence[float], gold_ratios: Sequence[float]) -> float:
    """Kolmogorov-Smirnov distance of two models' truth ratios, in [0, 1].

    Unlike the p-value it does not shrink with the number of rows: 0.1 says that at every value the
    shares of rows below it differ by a tenth at most. nan where either side has one row.

    Args:
        ratios: Truth ratio of each forget row under the unlearned model.
        gold_ratios: The same under the model trained without the forget set.

    Example:
        >>> ks_distance([0.1, 0.2, 0.3, 0.9], [0.3, 0.9, 1.5, 2.0])
        0.5
    """
    if min(len(ratios), len(gold_ratios)) < 2:
        return math.nan
    # As scipy does: its test would work out a p-value too, for each resample of an interval.
    own, gold = np.sort(ratios), np.sort(gold_ratios)
    if np.isnan([own[-1], gold[-1]]).any():  # nan is sorted behind all others
        return math.nan
    at = np.concatenate([own, gold])
    below, gold_below = (x.searchsorted(at, side="right") / len(x) for x in (own, gold))
    return float(np.abs(below - gold_below).max())


def model_utility(values: Sequence[float]) -> float:
    """Harmonic mean of values in [0, 1]; 0 as soon as one of them is 0, nan as soon as one is.

    TOFU's nine are probability, ROUGE-L recall and truth ratio on the retain rows, real authors
    and world facts.

    Raises:
        ValueError: If there is no value, or one is negative.

    Example:
        >>> model_utility([1.0, 0.5])
        0.6666666666666666

    References:
        Maini et al. 2024, arXiv 2401.06121, sec. 2.2.
    """
    if not values or any(value < 0 for value in values):
        raise ValueError(f"expected values of at least 0, found {list(values)}")
    if any(map(math.isnan, values)):
        return math.nan
    return 0.0 if min(values) == 0 else len(values) / sum(1 / value for value in values)


def relative_difference(
    value: float, gold: float, *, compat: OpenUnlearning | None = None
) -> float:
    """Change against the gold model's value, in percent of it; nan where that is 0.

    ``compat="open-unlearning"`` adds 1e-10 to the divisor.

    Example:
        >>> relative_difference(3.0, 2.0)
        50.0
    """
    if compat == "open-unlearning":
        return 100 * (value - gold) / (gold + _EPSILON)
    return 100 * (value - gold) / gold if gold else math.nan


def privleak(auc: float, auc_gold: float = 0.5, *, compat: OpenUnlearning | None = None) -> float:
    """Change of a membership attack's error against the retrained model's, in percent.

    0 is as private as never having seen the data; negative says that the forget set still looks
    trained on, positive that it looks less known than unseen text. About -5 to 5 is good.

    Args:
        auc: Of the attack on the unlearned model, where 1 finds every forget text
            (`membership.auc`). MUSE's own is ``1 - auc``.
        auc_gold: Of the same attack on the retrained model; 0.5 stands in for a missing one.
        compat: ``open-unlearning`` adds 1e-10 to the divisor.

    Returns:
        Percent; nan where the retrained model's error is 0.

    Example:
        >>> privleak(1.0, 0.5)
        -100.0

    References:
        Shi et al. 2024, "MUSE", arXiv 2407.06460, eq. 4.
    """
    return relative_difference(1 - auc, 1 - auc_gold, compat=compat)
