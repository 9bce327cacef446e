"""Metrics of true answers against false ones, and TOFU's aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnkit.functional import tofu as functional
from unlearnkit.functional.tofu import OpenUnlearning, TruthAggregate, TruthMean
from unlearnkit.metrics.base import RowMean, UnlearningMetric


class ProbabilityWithOptions(RowMean, name="probability_with_options"):
    """Probability of the right answer among it and the wrong ones, mean over rows.

    Args:
        compat: ``open-unlearning`` adds 1e-10 to the divisor.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = ProbabilityWithOptions()
        >>> metric.update(torch.zeros(1), torch.zeros(1, 3))
        >>> round(metric.compute().item(), 4)
        0.25
    """

    value_range = "0 to 1"
    formula = (
        r"\frac{1}{S} \sum_i \frac{P_i}{P_i + \sum_k P_{ik}}, \quad P = \exp\Bigl(\frac{1}{n} "
        r"\sum_t \log p_t\Bigr)"
    )
    direction = "rows to keep: higher"
    good = "the starting model's; 1 over the number of answers is guessing"
    source = "Maini et al. 2024, arXiv 2401.06121, sec. 2.2"

    def __init__(self, compat: OpenUnlearning | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compat: OpenUnlearning | None = compat

    def update(self, nll: Tensor, nll_wrong: Tensor, rows: Sequence[int] | None = None) -> None:
        """Takes in nats per token of the right answers ``[S]`` and the wrong ones ``[S, K]``."""
        self.add(functional.probability_with_options(nll, nll_wrong, compat=self.compat), rows)


class TruthRatio(RowMean, name="truth_ratio"):
    """How wrong answers compare in probability with the right one, mean over rows.

    Args:
        which: ``closer_to_1_better`` for rows to forget, ``true_better`` for rows to keep,
            ``prob_mean`` (share of the right answer) or ``ratio`` (wrong over right).
        mean: Over the wrong answers.
        compat: ``open-unlearning`` adds 1e-10 to every divisor.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = TruthRatio("true_better")
        >>> metric.update(torch.tensor([0.0]), torch.tensor([[1.3863, 1.3863]]))
        >>> round(metric.compute().item(), 4)
        0.75
    """

    value_range = "0 to 1 (ratio: 0 to infinity)"
    formula = (
        r"\frac{1}{S} \sum_i \min(R_i, 1/R_i) \text{ or } \frac{1}{S} \sum_i \max(0, 1 - R_i), "
        r"\quad R_i = \Bigl(\prod_{k=1}^{K} P_{ik}\Bigr)^{1/K} \Big/ P_i"
    )
    direction = "closer_to_1_better on forget: higher; true_better on rows to keep: higher"
    good = "forget: the gold model's; rows to keep: the starting model's"
    source = "Maini et al. 2024, arXiv 2401.06121, eq. 1 and table 1"

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

    def update(self, nll: Tensor, nll_wrong: Tensor, rows: Sequence[int] | None = None) -> None:
        """Takes in nats per token of the right answers ``[S]`` and the wrong ones ``[S, K]``."""
        self.add(
            functional.truth_scores(nll, nll_wrong, self.which, self.mean, compat=self.compat), rows
        )


class ForgetQuality(UnlearningMetric, name="forget_quality"):
    """p-value of the Kolmogorov-Smirnov test that two models' truth ratios are alike.

    Args:
        gold_ratios: Truth ratios of the same rows under the model trained without them.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = ForgetQuality([0.1, 0.5, 0.9])
        >>> metric.update(torch.tensor([0.1, 0.5, 0.9]))
        >>> round(metric.compute().item(), 4)
        1.0
    """

    value_range = "0 to 1"
    formula = (
        r"p\text{-value of } D = \sup_x |F_\mathrm{model}(x) - F_\mathrm{gold}(x)|, \quad F "
        r"\text{ the distribution of } R_i"
    )
    direction = "forget: higher"
    good = "above 0.05, where the two cannot be told apart; with few rows that is weak evidence"
    source = "Maini et al. 2024, arXiv 2401.06121, sec. 2.2"

    def __init__(self, gold_ratios: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gold_ratios = tuple(gold_ratios)

    def update(self, ratios: Tensor, rows: Sequence[int] | None = None) -> None:
        """Takes in truth ratios ``[S]``, wrong over right."""
        self.add(ratios, rows)

    def aggregate(self, figures: Tensor) -> Tensor:
        """The p-value."""
        p_value = functional.forget_quality(figures[:, 0].tolist(), self.gold_ratios)
        return torch.tensor(p_value, dtype=torch.double)


class ModelUtility(UnlearningMetric, name="model_utility"):
    """Harmonic mean of the figures that should stay high; 0 as soon as one is.

    Args:
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = ModelUtility()
        >>> metric.update(torch.tensor([1.0, 0.5]))
        >>> round(metric.compute().item(), 4)
        0.6667
    """

    value_range = "0 to 1"
    formula = r"K \Big/ \sum_{k=1}^{K} \frac{1}{u_k}"
    direction = "higher"
    good = "the starting model's"
    source = "Maini et al. 2024, arXiv 2401.06121, sec. 2.2"

    def update(self, values: Tensor, rows: Sequence[int] | None = None) -> None:
        """Takes in figures ``[K]``; ``rows`` numbers them where processes hold the same ones."""
        self.add(values, rows)

    def aggregate(self, figures: Tensor) -> Tensor:
        """The harmonic mean."""
        utility = functional.model_utility(figures[:, 0].tolist())
        return torch.tensor(utility, dtype=torch.double)
