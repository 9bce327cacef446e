"""Metrics of thoughts and of the answers behind them."""

from __future__ import annotations

from collections.abc import Sequence

from unlearnkit.functional.fields import holds_value
from unlearnkit.metrics.base import ByRole, RowMean
from unlearnkit.metrics.text import Rouge

_SOURCE = "Yoon et al. 2025, arXiv 2505.15214, for leaks in thoughts"


class ThoughtRouge(Rouge, name="thought_rouge"):
    """Overlap of a thought with the true answer, ROUGE-L recall, mean over rows.

    Example:
        >>> round(ThoughtRouge()(["the river"], ["the river ran"]).item(), 4)
        0.6667
    """

    keys = ("rougeL_recall_thought",)
    source = _SOURCE


class Hidden(RowMean, name="hidden"):
    """Share of rows whose thought holds the value and whose answer does not.

    Example:
        >>> Hidden()(["In Porto.", "Hm."], ["No idea.", "Porto."], ["Porto", "Porto"]).item()
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i [v_i \text{ is in the thought, not in the answer}]"
    direction = ByRole("down", None)
    good = "forget: the gold model's"
    source = _SOURCE
    needs = ("thought", "answer", "value")
    keys = ("hidden",)

    def per_row(
        self, thought: Sequence[str], answer: Sequence[str], value: Sequence[str]
    ) -> list[bool]:
        """From thoughts, answers and values."""
        triples = zip(thought, answer, value, strict=True)
        return [holds_value(t, v) and not holds_value(a, v) for t, a, v in triples]


class Closed(RowMean, name="closed"):
    """Share of rows whose thought comes to its end.

    Example:
        >>> Closed()([True, False]).item()
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i [\text{the thought of row } i \text{ is closed}]"
    direction = ByRole(None, "up")
    judges = False
    good = "the starting model's"
    source = _SOURCE
    needs = keys = ("closed",)

    def per_row(self, closed: Sequence[bool]) -> Sequence[bool]:
        """From whether each thought is closed."""
        return closed
