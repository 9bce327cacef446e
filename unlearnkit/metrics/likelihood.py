"""Metrics of the true text's tokens: likelihood, memorisation, divergence.

Inputs are flat, as in `unlearnkit.functional`: one value per token, and the row of the update that
each token is part of, from 0 and ascending.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from unlearnkit.functional import membership
from unlearnkit.functional.core import row_mean, row_sum
from unlearnkit.functional.memorization import (
    MemorizationCompat,
    exact_memorization,
    extraction_strength,
)
from unlearnkit.functional.tofu import probability
from unlearnkit.metrics.base import KNOWLEDGE, ByRole, RowMean, TokenMean

_TOKENS = ("sequence", "sequences")
_LOSS = ByRole("up", "down")
Attack = Literal["loss", "zlib", "min_k", "min_k_pp"]


class Probability(RowMean, name="probability"):
    """Length-normalised probability of the true answer, mean over rows.

    Example:
        >>> import torch
        >>> Probability()(torch.tensor([0.25, 1.0, 0.5]).log(), torch.tensor([0, 0, 1]), 2).item()
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i \exp\Bigl(\frac{1}{n_i} \sum_t \log p_{it}\Bigr)"
    direction = KNOWLEDGE
    good = "forget: the gold model's; rows to keep: the starting model's"
    source = "Maini et al. 2024, arXiv 2401.06121, sec. 2.2"
    needs = ("logps", *_TOKENS)

    def per_row(self, logps: Tensor, sequence: Tensor, sequences: int) -> Tensor:
        """From log-probabilities of the answers' tokens, end-of-sequence token included."""
        return probability(-row_mean(logps, sequence, sequences))


class NegativeLogLikelihood(TokenMean, name="nll"):
    """Mean negative log-likelihood over all tokens of all rows, in nats.

    Example:
        >>> import torch
        >>> NegativeLogLikelihood()(torch.tensor([-1.0, -2.0]), torch.tensor([0, 0]), 1).item()
        1.5
    """

    value_range = "0 to infinity"
    formula = r"-\frac{1}{\sum_i n_i} \sum_{i,t} \log p_{it}"
    direction = _LOSS
    good = "forget: the gold model's; far above it tells of damage"
    source = "Jelinek et al. 1977"
    needs = ("logps", *_TOKENS)
    keys = ("nll_sum", "tokens")

    def per_row(self, logps: Tensor, sequence: Tensor, sequences: int) -> list[tuple[float, int]]:
        """From log-probabilities of the texts' tokens."""
        return _sums(-logps, sequence, sequences)


class Perplexity(NegativeLogLikelihood, name="perplexity"):
    """Exponential of the mean negative log-likelihood over all tokens of all rows.

    Example:
        >>> import torch
        >>> round(Perplexity()(torch.tensor([0.25, 0.25]).log(), torch.tensor([0, 0]), 1).item(), 4)
        4.0
    """

    value_range = "1 to infinity"
    formula = r"\exp\Bigl(-\frac{1}{\sum_i n_i} \sum_{i,t} \log p_{it}\Bigr)"
    good = "rows to keep: the starting model's"

    def aggregate(self, sums: Sequence[float], tokens: Sequence[float]) -> float:
        """Exponential of the mean over tokens."""
        mean = super().aggregate(sums, tokens)
        return math.exp(mean) if mean < math.log(sys.float_info.max) else math.inf


class KLToReference(TokenMean, name="kl_to_reference"):
    """KL(reference ‖ model) of the next-token distributions, mean over all tokens, in nats.

    Example:
        >>> import torch
        >>> round(KLToReference()(torch.tensor([0.0, 0.2]), torch.tensor([0, 1]), 2).item(), 4)
        0.1
    """

    value_range = "0 to infinity"
    formula = (
        r"\frac{1}{\sum_i n_i} \sum_{i,t} \sum_v p^\mathrm{ref}_{it}(v) \log "
        r"\frac{p^\mathrm{ref}_{it}(v)}{p_{it}(v)}"
    )
    direction = ByRole(None, "zero")
    good = "near 0; there is no value that is right on rows to forget"
    source = "Kullback and Leibler 1951; Yao et al. 2023, arXiv 2310.10683, eq. 6"
    needs = ("kl", *_TOKENS)
    keys = ("kl_sum", "tokens")

    def per_row(self, kl: Tensor, sequence: Tensor, sequences: int) -> list[tuple[float, int]]:
        """From the divergence at each token."""
        return _sums(kl, sequence, sequences)


class ExactMemorization(RowMean, name="exact_memorization"):
    """Share of the true continuation's tokens that are the model's first choice, mean over rows.

    Args:
        compat: ``open-unlearning`` leaves out each row's last token.

    Example:
        >>> import torch
        >>> ExactMemorization()(torch.tensor([True, False]), torch.tensor([0, 0]), 1).item()
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i \frac{1}{n_i} \sum_t [\hat y_{it} = y_{it}]"
    direction = KNOWLEDGE
    good = "forget: the gold model's; lower tells of damage"
    source = "Tirumala et al. 2022, arXiv 2205.10770, sec. 2"
    needs = ("correct", *_TOKENS)

    def __init__(self, compat: MemorizationCompat | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compat: MemorizationCompat | None = compat

    def per_row(self, correct: Tensor, sequence: Tensor, sequences: int) -> Tensor:
        """From whether each token is the first choice, given the true ones before it."""
        return exact_memorization(correct, sequence, sequences, compat=self.compat)


class ExtractionStrength(ExactMemorization, name="extraction_strength"):
    """One minus the share of a row that must be shown before the rest follows, mean over rows.

    Args:
        compat: ``open-unlearning`` leaves out each row's last token and has a floor of ``1/n``.

    Example:
        >>> import torch
        >>> ExtractionStrength()(torch.tensor([False, True]), torch.tensor([0, 0]), 1).item()
        0.5
    """

    formula = (
        r"\frac{1}{S} \sum_i \Bigl(1 - \frac{k_i}{n_i}\Bigr), \quad k_i = \min\{k : \hat "
        r"y_{it} = y_{it} \text{ for all } t > k\}"
    )
    good = "forget: the gold model's; 0 if not even the last token is right"
    source = "Carlini et al. 2021, arXiv 2012.07805; Wang et al. 2024, arXiv 2406.09179, eq. 4"

    def per_row(self, correct: Tensor, sequence: Tensor, sequences: int) -> Tensor:
        """From whether each token is the first choice, given the true ones before it."""
        return extraction_strength(correct, sequence, sequences, compat=self.compat)


class MembershipScore(RowMean, name="membership_score"):
    """Score of a membership attack, mean over rows; high for texts that look unseen.

    Args:
        attack: ``loss``, ``zlib``, ``min_k`` or ``min_k_pp``, as in the suite ``privacy``.
        k: Share of the tokens that Min-K% and Min-K%++ average.

    Example:
        >>> import torch
        >>> metric = MembershipScore("min_k", k=0.5)
        >>> x = torch.tensor([-1.0, -9.0])
        >>> metric.update(x, x, torch.tensor([0, 0]), ["a text"])
        >>> metric.compute().item()
        9.0
    """

    value_range = "0 to infinity (min_k_pp: minus infinity to infinity)"
    formula = r"\frac{1}{S} \sum_i s_i"
    direction = _LOSS
    good = "forget: the gold model's"
    source = "Jin et al. 2024, arXiv 2406.10890, sec. 3"
    needs = ("logps", "standardised", "sequence", "texts")

    def __init__(self, attack: Attack = "loss", k: float = 0.2, **kwargs: Any) -> None:
        self.attack, self.k, self.keys = attack, k, (attack,)
        super().__init__(**kwargs)

    def per_row(
        self, logps: Tensor, standardised: Tensor, sequence: Tensor, texts: Sequence[str]
    ) -> Tensor:
        """From log-probabilities, plain and standardised, and the texts of ``S`` rows."""
        if self.attack == "zlib":
            return membership.zlib(logps, sequence, texts)
        if self.attack == "loss":
            return membership.loss(logps, sequence, len(texts))
        x = logps if self.attack == "min_k" else standardised
        return membership.min_k(x, sequence, len(texts), self.k)


def _sums(x: Tensor, sequence: Tensor, sequences: int) -> list[tuple[float, int]]:
    """Sum and number of each row's tokens."""
    counts = torch.bincount(sequence, minlength=sequences)
    return list(zip(row_sum(x, sequence, sequences).tolist(), counts.tolist(), strict=True))
