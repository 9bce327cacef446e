"""Metrics of fluency: length and perplexity of generated text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unlearnkit.functional.text import words
from unlearnkit.metrics.base import RowMean
from unlearnkit.metrics.likelihood import Perplexity


class AnswerLength(RowMean, name="answer_length"):
    """Words of a generated text, mean over rows.

    Example:
        >>> AnswerLength()(["Yes, it is.", "."]).item()
        1.5
    """

    value_range = "0 to infinity"
    formula = r"\frac{1}{S} \sum_i |g_i|"
    judges = False
    good = "rows to keep: the starting model's; 0 is text without a word, such as a full stop"
    source = "none: words are those of ROUGE"
    needs = ("generated",)

    def per_row(self, generated: Sequence[str]) -> list[float]:
        """From generated texts."""
        return [float(len(words(each))) for each in generated]


class AnswerPerplexity(Perplexity, name="answer_perplexity"):
    """Perplexity of generated texts under the starting model, over all their tokens.

    Example:
        >>> import torch
        >>> half = torch.tensor([0.5, 0.5]).log()
        >>> round(AnswerPerplexity()(half, torch.tensor([0, 0]), 1).item(), 4)
        2.0
    """

    formula = (
        r"\exp\Bigl(-\frac{1}{\sum_i |g_i|} \sum_{i,t} \log p^\mathrm{ref}(g_{it})\Bigr), \quad "
        r"g_{it} \text{ the generated tokens}"
    )
    direction = "down"
    judges = False
    good = "rows to keep: near the starting model's own; far above it is text that nobody writes"
    source = "Jelinek et al. 1977, of generated text"
    keys = ("answer_nll", "answer_tokens")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
