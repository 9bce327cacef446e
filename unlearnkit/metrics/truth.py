"""Metrics of true answers against false ones, and TOFU's aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from unlearnkit.functional import tofu as functional
from unlearnkit.functional.tofu import OpenUnlearning, TruthAggregate, TruthMean
from unlearnkit.metrics.base import KNOWLEDGE, RowMean, UnlearningMetric


class ProbabilityWithOptions(RowMean, name="probability_with_options"):
    """Probability of the right answer among it and the wrong ones, mean over rows.

    Args:
        compat: ``open-unlearning`` adds 1e-10 to the divisor.

    Example:
        >>> import torch
        >>> round(ProbabilityWithOptions()(torch.zeros(1), torch.zeros(1, 3)).item(), 4)
        0.25
    """

    value_range = "0 to 1"
    formula = (
        r"\frac{1}{S} \sum_i \frac{P_i}{P_i + \sum_k P_{ik}}, \quad P = \exp\Bigl(\frac{1}{n} "
        r"\sum_t \log p_t\Bigr)"
    )
    direction = KNOWLEDGE
    good = "the starting model's; 1 over the number of answers is guessing"
    source = "Maini et al. 2024, arXiv 2401.06121, sec. 2.2"
    needs = ("nll", "nll_wrong")
    keys = ("probability",)

    def __init__(self, compat: OpenUnlearning | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compat: OpenUnlearning | None = compat

    def per_row(self, nll: Tensor, nll_wrong: Tensor) -> Tensor:
        """From nats per token of the right answers ``[S]`` and the wrong ones ``[S, K]``."""
        return functional.probability_with_options(nll, nll_wrong, compat=self.compat)


class TruthRatio(RowMean, name="truth_ratio"):
    """How wrong answers compare in probability with the right one, mean over rows.

    Args:
        which: ``closer_to_1_better`` for rows to forget, ``true_better`` for rows to keep,
            ``prob_mean`` (share of the right answer) or ``ratio`` (wrong over right).
        mean: Over the wrong answers.
        compat: ``open-unlearning`` adds 1e-10 to every divisor.

    Example:
        >>> import torch
        >>> right, wrong = torch.tensor([0.0]), torch.tensor([[1.3863, 1.3863]])
        >>> round(TruthRatio("true_better")(right, wrong).item(), 4)
        0.75
    """

    value_range = "0 to 1 (ratio: 0 to infinity)"
    formula = (
        r"\frac{1}{S} \sum_i \min(R_i, 1/R_i) \text{ or } \frac{1}{S} \sum_i \max(0, 1 - R_i), "
        r"\quad R_i = \Bigl(\prod_{k=1}^{K} P_{ik}\Bigr)^{1/K} \Big/ P_i"
    )
    direction = "up"
    good = "forget: the gold model's; rows to keep: the starting model's"
    source = "Maini et al. 2024, arXiv 2401.06121, eq. 1 and table 1"
    needs = ("nll", "nll_wrong")
    keys = ("truth_score",)

    def __init__(
        self,
        which: TruthAggregate = "closer_to_1_better",
        mean: TruthMean = "geometric",
        compat: OpenUnlearning | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.which: TruthAggregate = which
        self.mean: TruthMean = mean
        self.compat: OpenUnlearning | None = compat

    def per_row(self, nll: Tensor, nll_wrong: Tensor) -> Tensor:
        """From nats per token of the right answers ``[S]`` and the wrong ones ``[S, K]``."""
        return functional.truth_scores(nll, nll_wrong, self.which, self.mean, compat=self.compat)


class _AgainstGold(UnlearningMetric):
    """A metric of two models' truth ratios.

    Args:
        gold_ratios: Truth ratios of the same rows under the model trained without them; None if
            they are a second input.
    """

    needs = keys = ("truth_ratio", "gold_truth_ratio")

    def __init__(self, gold_ratios: Sequence[float] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gold_ratios = None if gold_ratios is None else tuple(gold_ratios)
        if gold_ratios is not None:
            self.keys = self.keys[:1]

    def per_row(self, ratios: Any, *gold: Any) -> Any:
        """From truth ratios ``[S]``, wrong over right, and those of the gold model."""
        return list(zip(ratios, *gold, strict=True)) if gold else ratios


class KSDistance(_AgainstGold, name="ks_distance"):
    """Kolmogorov-Smirnov distance between two models' truth ratios.

    Args:
        gold_ratios: Truth ratios of the same rows under the model trained without them; None if
            they are a second input.

    Example:
        >>> KSDistance([0.3, 0.9, 1.5, 2.0])([0.1, 0.2, 0.3, 0.9]).item()
        0.5
    """

    value_range = "0 to 1"
    formula = (
        r"D = \sup_x |F_\mathrm{model}(x) - F_\mathrm{gold}(x)|, \quad F \text{ the distribution "
        r"of } R_i"
    )
    direction = "zero"
    good = "near 0; two gold models of other seeds say how near can be had"
    source = "the statistic of the test of Maini et al. 2024, arXiv 2401.06121, sec. 2.2"

    def aggregate(self, ratios: Sequence[float], gold: Sequence[float] = ()) -> float:
        """The distance; nan of a single row."""
        return functional.ks_distance(ratios, gold or self.gold_ratios or ())


class ForgetQuality(_AgainstGold, name="forget_quality"):
    """p-value of the Kolmogorov-Smirnov test that two models' truth ratios are alike.

    Args:
        gold_ratios: Truth ratios of the same rows under the model trained without them; None if
            they are a second input.

    Example:
        >>> ForgetQuality([0.1, 0.5, 0.9])([0.1, 0.5, 0.9]).item()
        1.0
    """

    value_range = "0 to 1"
    formula = (
        r"p\text{-value of } D = \sup_x |F_\mathrm{model}(x) - F_\mathrm{gold}(x)|, \quad F "
        r"\text{ the distribution of } R_i"
    )
    direction = "up"
    headline = 7
    gold_level = 0.05
    good = "above 0.05, where the two cannot be told apart; with few rows that is weak evidence"
    source = "Maini et al. 2024, arXiv 2401.06121, sec. 2.2"

    def aggregate(self, ratios: Sequence[float], gold: Sequence[float] = ()) -> float:
        """The p-value; nan of a single row."""
        return functional.forget_quality(ratios, gold or self.gold_ratios or ())


class ModelUtility(UnlearningMetric, name="model_utility"):
    """Harmonic mean of the values that should stay high; 0 as soon as one is.

    Example:
        >>> round(ModelUtility()([1.0, 0.5]).item(), 4)
        0.6667
    """

    value_range = "0 to 1"
    formula = r"K \Big/ \sum_{k=1}^{K} \frac{1}{u_k}"
    direction = "up"
    headline = 2
    good = "the starting model's"
    source = "Maini et al. 2024, arXiv 2401.06121, sec. 2.2"
    needs = keys = ("value",)
    every_row = True

    def per_row(self, values: Tensor) -> Tensor:
        """From values ``[K]``; row indices number them where processes hold the same ones."""
        return values

    def aggregate(self, values: Sequence[float]) -> float:
        """The harmonic mean."""
        return functional.model_utility(values)
