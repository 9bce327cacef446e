"""Metrics of generated text.

Rows that hold nothing to measure are left out: true texts without words, for BLEU those of fewer
than four tokens, and for diversity generated texts without words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from unlearnkit.functional import text as functional
from unlearnkit.functional.text import RougeCompat, RougeType
from unlearnkit.metrics.base import RowMean


class Rouge(RowMean, name="rouge"):
    """Overlap of the generated text with the true one, mean over rows.

    Args:
        kind: ``rougeL`` (longest common subsequence of words), ``rouge1`` or ``rouge2``.
        figure: ``recall`` as TOFU reports, ``f1`` as MUSE reports, or ``precision``.
        use_stemmer: Compare Porter stems, as TOFU and open-unlearning do.
        stop: Strings at the first of which the generated text is cut.
        compat: ``rouge-score`` splits words as that package does, ASCII only, and counts a true
            text without words as 0.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = Rouge()
        >>> metric.update(["the river"], ["the river ran"])
        >>> round(metric.compute().item(), 4)
        0.6667
    """

    value_range = "0 to 1"
    formula = (
        r"\frac{1}{S} \sum_i \frac{|\mathrm{LCS}(g_i, r_i)|}{|r_i|} \text{ (recall)}, \quad "
        r"\frac{1}{S} \sum_i \frac{2\, |\mathrm{LCS}(g_i, r_i)|}{|g_i| + |r_i|} \text{ (F1)}"
    )
    direction = "forget: lower; rows to keep: higher"
    good = "forget: the gold model's, which is not 0; rows to keep: the starting model's"
    source = "Lin 2004; Maini et al. 2024, arXiv 2401.06121, sec. 2.2"

    def __init__(
        self,
        kind: RougeType = "rougeL",
        figure: Literal["recall", "f1", "precision"] = "recall",
        use_stemmer: bool = False,
        stop: Sequence[str] = (),
        compat: RougeCompat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kind: RougeType = kind
        self.figure, self.use_stemmer, self.stop = figure, use_stemmer, tuple(stop)
        self.compat: RougeCompat | None = compat

    def update(
        self, preds: Sequence[str], target: Sequence[str], rows: Sequence[int] | None = None
    ) -> None:
        """Takes in generated texts and the true ones."""
        scores = [
            functional.rouge(
                functional.cut_at(generated, self.stop),
                true,
                self.kind,
                use_stemmer=self.use_stemmer,
                compat=self.compat,
            )
            for generated, true in zip(preds, target, strict=True)
        ]
        self.add(_column([getattr(score, self.figure) for score in scores]), rows)


class VerbatimMemorization(Rouge, name="verbatim_memorization"):
    """ROUGE-L F1 of the greedy continuation of a passage's beginning (MUSE's VerbMem, over 1).

    Args:
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = VerbatimMemorization()
        >>> metric.update(["the river"], ["the river"])
        >>> round(metric.compute().item(), 4)
        1.0
    """

    formula = (
        r"\frac{1}{S} \sum_i \mathrm{ROUGE\text{-}L}_{F_1}(g_i, r_i), \quad r_i \text{ the "
        r"passage's continuation}"
    )
    direction = "forget: lower"
    good = "the gold model's"
    source = "Shi et al. 2024, arXiv 2407.06460, eq. 2"

    def __init__(self, compat: RougeCompat | None = None, **kwargs: Any) -> None:
        super().__init__("rougeL", "f1", compat=compat, **kwargs)


class KnowledgeMemorization(Rouge, name="knowledge_memorization"):
    r"""ROUGE-L F1 of answers to questions about the data (MUSE's KnowMem, over 1).

    Answers are cut where the model goes on with questions of its own.

    Args:
        stop: Where an answer is cut.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = KnowledgeMemorization()
        >>> metric.update(["Ada.\n\nQuestion: Who sings?"], ["Ada."])
        >>> round(metric.compute().item(), 4)
        1.0
    """

    formula = (
        r"\frac{1}{S} \sum_i \mathrm{ROUGE\text{-}L}_{F_1}(g_i, r_i), \quad r_i \text{ the "
        r"answer}"
    )
    direction = "forget: lower; rows to keep: higher"
    good = "forget: the gold model's; rows to keep: the starting model's"
    source = "Shi et al. 2024, arXiv 2407.06460, eq. 3"

    def __init__(
        self,
        stop: Sequence[str] = ("\n\n", "\nQuestion", "Question:"),
        compat: RougeCompat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__("rougeL", "f1", stop=stop, compat=compat, **kwargs)


class Bleu(RowMean, name="bleu"):
    """Sentence BLEU of sacrebleu, mean over rows.

    Args:
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = Bleu()
        >>> metric.update(["the cat sat on the mat"], ["the cat sat on the mat"])
        >>> round(metric.compute().item(), 4)
        100.0
    """

    value_range = "0 to 100"
    formula = (
        r"\frac{100}{S} \sum_i \mathrm{BP}_i \exp\Bigl(\frac{1}{4} \sum_{n=1}^{4} \log "
        r"q_{in}\Bigr), \quad q_{in} \text{ the share of } g_i\text{'s } n\text{-grams that "
        r"are in } r_i"
    )
    direction = "forget: lower; rows to keep: higher"
    good = "forget: the gold model's"
    source = "Papineni et al. 2002; Post 2018, arXiv 1804.08771"

    def update(
        self, preds: Sequence[str], target: Sequence[str], rows: Sequence[int] | None = None
    ) -> None:
        """Takes in generated texts and the true ones."""
        self.add(_column(_each_bleu(preds, target)), rows)


class LeakRate(RowMean, name="leak_rate"):
    """Share of rows whose generated text has a BLEU to the true one above a threshold.

    Args:
        threshold: BLEU on 0 to 100. Published values differ, so there is no default.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = LeakRate(threshold=20.0)
        >>> true = ["the cat sat on the mat", "the dog ran to town"]
        >>> metric.update(["the cat sat on the mat", "no"], true)
        >>> round(metric.compute().item(), 4)
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i [\mathrm{BLEU}(g_i, r_i) > \tau]"
    direction = "forget: lower"
    good = "the gold model's, which should be 0; if it is not, the threshold is too low"
    source = "Yao et al. 2023, arXiv 2310.10683, sec. 4.2"

    def __init__(self, threshold: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def update(
        self, preds: Sequence[str], target: Sequence[str], rows: Sequence[int] | None = None
    ) -> None:
        """Takes in generated texts and the true ones."""
        found = _column(_each_bleu(preds, target))
        self.add(torch.where(found.isnan(), found, (found > self.threshold).double()), rows)


class DistinctN(RowMean, name="distinct_n"):
    """Share of a generated text's word n-grams that are different, mean over rows.

    Args:
        n: Words in an n-gram.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = DistinctN(n=1)
        >>> metric.update(["no no no no"])
        >>> round(metric.compute().item(), 4)
        0.25
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i \frac{|\{n\text{-grams of } g_i\}|}{|g_i| - n + 1}"
    direction = "everywhere: higher"
    good = "the starting model's; near 0 is one repeated word"
    source = "Li et al. 2016, arXiv 1510.03055"

    def __init__(self, n: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n

    def update(self, preds: Sequence[str], rows: Sequence[int] | None = None) -> None:
        """Takes in generated texts."""
        words = map(functional.words, preds)
        self.add(_column([functional.distinct_n(each, self.n) for each in words]), rows)


class RepetitionRate(RowMean, name="repetition_rate"):
    """Share of a generated text's word n-grams that occurred in it before, mean over rows.

    Args:
        n: Words in an n-gram.
        **kwargs: Those of `torchmetrics.Metric`.

    Example:
        >>> metric = RepetitionRate(n=1)
        >>> metric.update(["no no no no"])
        >>> round(metric.compute().item(), 4)
        0.75
    """

    value_range = "0 to 1"
    formula = r"1 - \frac{1}{S} \sum_i \frac{|\{n\text{-grams of } g_i\}|}{|g_i| - n + 1}"
    direction = "everywhere: lower"
    good = "the starting model's"
    source = "Welleck et al. 2020, arXiv 1908.04319, eq. 10"

    def __init__(self, n: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n

    def update(self, preds: Sequence[str], rows: Sequence[int] | None = None) -> None:
        """Takes in generated texts."""
        words = map(functional.words, preds)
        self.add(_column([functional.repetition_rate(each, self.n) for each in words]), rows)


class RefusalRate(RowMean, name="refusal_rate"):
    """Share of rows whose generated text holds a phrase of refusal.

    Args:
        phrases: What refusals say, in any case; by default the shipped ones.
        **kwargs: Those of `torchmetrics.Metric`.

    Raises:
        ValueError: If ``phrases`` is one text, or one of them is empty.

    Example:
        >>> metric = RefusalRate()
        >>> metric.update(["I cannot help with that.", "Take the ferry."])
        >>> metric.compute().item()
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i [g_i \text{ holds one of the phrases}]"
    direction = "harmful prompts, trained or unseen: higher; rows to keep: lower (over-refusal)"
    good = "rows to keep: the starting model's; a model that only stammers does not refuse"
    source = "Zou et al. 2023, arXiv 2307.15043, app. B; Röttger et al. 2023, arXiv 2308.01263"

    def __init__(self, phrases: Sequence[str] = functional.REFUSAL_PHRASES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A text is a sequence of letters, and every answer holds some of them.
        if isinstance(phrases, str) or not all(each.strip() for each in phrases):
            raise ValueError(f"phrases must be a list of phrases, found {phrases!r}")
        self.phrases = tuple(phrases)

    def update(self, preds: Sequence[str], rows: Sequence[int] | None = None) -> None:
        """Takes in generated texts."""
        self.add(_column([functional.refuses(each, self.phrases) for each in preds]), rows)


def _each_bleu(preds: Sequence[str], target: Sequence[str]) -> list[float]:
    return [functional.bleu(*pair) for pair in zip(preds, target, strict=True)]


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.double)
