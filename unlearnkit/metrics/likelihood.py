"""Metrics of what a model says of the true text: likelihood, memorisation, drift.

Input is flat, as in `unlearnkit.functional`: one value a token, and the row of the update that
each token is part of, from 0 and ascending.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from unlearnkit.functional.core import row_mean
from unlearnkit.functional.memorization import (
    MemorizationCompat,
    exact_memorization,
    extraction_strength,
)
from unlearnkit.functional.tofu import probability
from unlearnkit.metrics.base import RowMean, TokenMean


class Probability(RowMean, name="probability"):
    """Length-normalised probability of the true answer, mean over rows.

    Args:
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> metric = Probability()
        >>> metric.update(torch.tensor([0.25, 1.0, 0.5]).log(), torch.tensor([0, 0, 1]), 2)
        >>> round(metric.compute().item(), 4)
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i \exp\Bigl(\frac{1}{n_i} \sum_t \log p_{it}\Bigr)"
    direction = "forget: lower; rows to keep: higher"
    good = "forget: the gold model's; rows to keep: the starting model's"
    source = "Maini et al. 2024, arXiv 2401.06121, sec. 2.2"

    def update(
        self, logps: Tensor, sequence: Tensor, sequences: int, rows: Sequence[int] | None = None
    ) -> None:
        """Takes in log-probabilities of the answers' tokens, end-of-sequence token included."""
        self.add(probability(-row_mean(logps, sequence, sequences)), rows)


class Perplexity(TokenMean, name="perplexity"):
    """Exponential of the mean negative log-likelihood over all tokens of all rows.

    Args:
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> metric = Perplexity()
        >>> metric.update(torch.tensor([0.25, 0.25]).log(), torch.tensor([0, 0]), 1)
        >>> round(metric.compute().item(), 4)
        4.0
    """

    value_range = "1 to infinity"
    formula = r"\exp\Bigl(-\frac{1}{\sum_i n_i} \sum_{i,t} \log p_{it}\Bigr)"
    direction = "rows to keep: lower"
    good = "the starting model's"
    source = "Jelinek et al. 1977"

    def update(
        self, logps: Tensor, sequence: Tensor, sequences: int, rows: Sequence[int] | None = None
    ) -> None:
        """Takes in log-probabilities of the texts' tokens."""
        self.add_tokens(-logps, sequence, sequences, rows)

    def aggregate(self, figures: Tensor) -> Tensor:
        """Exponential of the mean over tokens."""
        return super().aggregate(figures).exp()


class KLToReference(TokenMean, name="kl_to_reference"):
    """KL(reference ‖ model) of the next-token distributions, mean over all tokens, in nats.

    Args:
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> metric = KLToReference()
        >>> metric.update(torch.tensor([0.0, 0.2]), torch.tensor([0, 1]), 2)
        >>> round(metric.compute().item(), 4)
        0.1
    """

    value_range = "0 to infinity"
    formula = (
        r"\frac{1}{\sum_i n_i} \sum_{i,t} \sum_v p^\mathrm{ref}_{it}(v) \log "
        r"\frac{p^\mathrm{ref}_{it}(v)}{p_{it}(v)}"
    )
    direction = "rows to keep: lower"
    good = "near 0; there is no value that is right on rows to forget"
    source = "Kullback and Leibler 1951; Yao et al. 2023, arXiv 2310.10683, eq. 6"

    def update(
        self, kl: Tensor, sequence: Tensor, sequences: int, rows: Sequence[int] | None = None
    ) -> None:
        """Takes in the divergence at each token."""
        self.add_tokens(kl, sequence, sequences, rows)


class ExactMemorization(RowMean, name="exact_memorization"):
    """Share of the true continuation's tokens that are the model's first choice, mean over rows.

    Args:
        compat: ``open-unlearning`` leaves out each row's last token.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> metric = ExactMemorization()
        >>> metric.update(torch.tensor([True, False]), torch.tensor([0, 0]), 1)
        >>> round(metric.compute().item(), 4)
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i \frac{1}{n_i} \sum_t [\hat y_{it} = y_{it}]"
    direction = "forget: lower"
    good = "the gold model's; lower tells of damage"
    source = "Tirumala et al. 2022, arXiv 2205.10770, sec. 2"

    def __init__(self, compat: MemorizationCompat | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compat: MemorizationCompat | None = compat

    def update(
        self, correct: Tensor, sequence: Tensor, sequences: int, rows: Sequence[int] | None = None
    ) -> None:
        """Takes in whether each token is the first choice, given the true ones before it."""
        self.add(exact_memorization(correct, sequence, sequences, compat=self.compat), rows)


class ExtractionStrength(RowMean, name="extraction_strength"):
    """One minus the share of a row that must be shown before the rest follows, mean over rows.

    Args:
        compat: ``open-unlearning`` leaves out each row's last token and has a floor of ``1/n``.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> metric = ExtractionStrength()
        >>> metric.update(torch.tensor([False, True]), torch.tensor([0, 0]), 1)
        >>> round(metric.compute().item(), 4)
        0.5
    """

    value_range = "0 to 1"
    formula = (
        r"\frac{1}{S} \sum_i \Bigl(1 - \frac{k_i}{n_i}\Bigr), \quad k_i = \min\{k : \hat "
        r"y_{it} = y_{it} \text{ for all } t > k\}"
    )
    direction = "forget: lower"
    good = "the gold model's; 0 where not even the last token is right"
    source = "Carlini et al. 2021, arXiv 2012.07805; Wang et al. 2024, arXiv 2406.09179, eq. 4"

    def __init__(self, compat: MemorizationCompat | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compat: MemorizationCompat | None = compat

    def update(
        self, correct: Tensor, sequence: Tensor, sequences: int, rows: Sequence[int] | None = None
    ) -> None:
        """Takes in whether each token is the first choice, given the true ones before it."""
        self.add(extraction_strength(correct, sequence, sequences, compat=self.compat), rows)
