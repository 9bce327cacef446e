"""Metrics of generated text.

Rows with nothing to measure are left out: true texts without words, for BLEU those of fewer than
four tokens, and for diversity generated texts without words.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Literal

from unlearnkit.functional import text as functional
from unlearnkit.functional.text import RougeCompat, RougeType
from unlearnkit.metrics.base import KNOWLEDGE, ByRole, RowMean

_NO_GENERATED_WORD = "no word was generated"


class Rouge(RowMean, name="rouge"):
    """Overlap of the generated text with the true one, mean over rows.

    Args:
        kind: ``rougeL`` (longest common subsequence of words), ``rouge1`` or ``rouge2``.
        figure: ``recall`` as TOFU reports, ``f1`` as MUSE reports, or ``precision``.
        use_stemmer: Compare Porter stems, as TOFU and open-unlearning do.
        stop: Strings at the first of which the generated text is cut.
        compat: ``rouge-score`` splits words as that package does, ASCII only, and counts a true
            text without words as 0.
        percent: Whether the result is in percent.

    Example:
        >>> round(Rouge()(["the river"], ["the river ran"]).item(), 4)
        0.6667
    """

    value_range = "0 to 1"
    formula = (
        r"\frac{1}{S} \sum_i \frac{|\mathrm{LCS}(g_i, r_i)|}{|r_i|} \text{ (recall)}, \quad "
        r"\frac{1}{S} \sum_i \frac{2\, |\mathrm{LCS}(g_i, r_i)|}{|g_i| + |r_i|} \text{ (F1)}"
    )
    direction = KNOWLEDGE
    headline = 3
    good = "forget: the gold model's, which is not 0; rows to keep: the starting model's"
    source = "Lin 2004; Maini et al. 2024, arXiv 2401.06121, sec. 2.2"
    needs = ("generated", "reference")
    unmeasured = "the true text has no word"

    def __init__(
        self,
        kind: RougeType = "rougeL",
        figure: Literal["recall", "f1", "precision"] = "recall",
        use_stemmer: bool = False,
        stop: Sequence[str] = (),
        compat: RougeCompat | None = None,
        percent: bool = False,
        **kwargs: Any,
    ) -> None:
        self.keys = self.keys or (f"{kind}_{figure}",)
        super().__init__(**kwargs)
        self.kind: RougeType = kind
        self.figure, self.use_stemmer, self.stop = figure, use_stemmer, tuple(stop)
        self.compat: RougeCompat | None = compat
        self.scale = 100 if percent else 1

    def per_row(self, generated: Sequence[str], reference: Sequence[str]) -> list[float]:
        """From generated texts and the true ones."""
        scores = [
            functional.rouge(
                functional.cut_at(said, self.stop),
                true,
                self.kind,
                use_stemmer=self.use_stemmer,
                compat=self.compat,
            )
            for said, true in zip(generated, reference, strict=True)
        ]
        return [getattr(score, self.figure) for score in scores]

    def aggregate(self, values: Sequence[float]) -> float:
        """Mean over rows."""
        return self.scale * fmean(values)


class VerbatimMemorization(Rouge, name="verbatim_memorization"):
    """ROUGE-L F1 of the greedy continuation of a passage's beginning (MUSE's VerbMem).

    Args:
        compat: As in `Rouge`.
        percent: Whether the result is in percent.

    Example:
        >>> round(VerbatimMemorization()(["the river"], ["the river"]).item(), 4)
        1.0
    """

    formula = (
        r"\frac{1}{S} \sum_i \mathrm{ROUGE\text{-}L}_{F_1}(g_i, r_i), \quad r_i \text{ the "
        r"passage's continuation}"
    )
    direction = ByRole("down", None)
    headline = 4
    good = "the gold model's"
    source = "Shi et al. 2024, arXiv 2407.06460, eq. 2"
    keys = ("verbmem",)

    def __init__(
        self, compat: RougeCompat | None = None, percent: bool = False, **kwargs: Any
    ) -> None:
        super().__init__("rougeL", "f1", compat=compat, percent=percent, **kwargs)


class KnowledgeMemorization(Rouge, name="knowledge_memorization"):
    r"""ROUGE-L F1 of answers to questions about the data (MUSE's KnowMem).

    Answers are cut where the model goes on with questions of its own.

    Args:
        stop: Where an answer is cut.
        compat: As in `Rouge`.
        percent: Whether the result is in percent.

    Example:
        >>> round(KnowledgeMemorization()(["Ada.\n\nQuestion: Who sings?"], ["Ada."]).item(), 4)
        1.0
    """

    formula = (
        r"\frac{1}{S} \sum_i \mathrm{ROUGE\text{-}L}_{F_1}(g_i, r_i), \quad r_i \text{ the "
        r"answer}"
    )
    headline = 3
    good = "forget: the gold model's; rows to keep: the starting model's"
    source = "Shi et al. 2024, arXiv 2407.06460, eq. 3"
    keys = ("knowmem",)

    def __init__(
        self,
        stop: Sequence[str] = ("\n\n", "\nQuestion", "Question:"),
        compat: RougeCompat | None = None,
        percent: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__("rougeL", "f1", stop=stop, compat=compat, percent=percent, **kwargs)


class Bleu(RowMean, name="bleu"):
    """Sentence BLEU of sacrebleu, mean over rows.

    Example:
        >>> round(Bleu()(["the cat sat on the mat"], ["the cat sat on the mat"]).item(), 4)
        100.0
    """

    value_range = "0 to 100"
    formula = (
        r"\frac{100}{S} \sum_i \mathrm{BP}_i \exp\Bigl(\frac{1}{4} \sum_{n=1}^{4} \log "
        r"q_{in}\Bigr), \quad q_{in} \text{ the share of } g_i\text{'s } n\text{-grams that "
        r"are in } r_i"
    )
    direction = KNOWLEDGE
    good = "forget: the gold model's"
    source = "Papineni et al. 2002; Post 2018, arXiv 1804.08771"
    needs = ("generated", "reference")
    keys = ("bleu",)
    unmeasured = "the true text has fewer than four tokens"

    def per_row(self, generated: Sequence[str], reference: Sequence[str]) -> list[float]:
        """From generated texts and the true ones."""
        return list(map(functional.bleu, generated, reference))


class LeakRate(Bleu, name="leak_rate"):
    """Share of rows whose generated text has a BLEU to the true one above a threshold.

    Args:
        threshold: BLEU on 0 to 100. Published values differ, so there is no default.

    Example:
        >>> metric = LeakRate(threshold=20.0)
        >>> true = ["the cat sat on the mat", "the dog ran to town"]
        >>> metric.update(["the cat sat on the mat", "no"], true)
        >>> round(metric.compute().item(), 4)
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i [\mathrm{BLEU}(g_i, r_i) > \tau]"
    good = "the gold model's, which should be 0; if it is not, the threshold is too low"
    source = "Yao et al. 2023, arXiv 2310.10683, sec. 4.2"

    def __init__(self, threshold: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def aggregate(self, values: Sequence[float]) -> float:
        """Share of rows above the threshold."""
        return fmean(value > self.threshold for value in values)


class DistinctN(RowMean, name="distinct_n"):
    """Share of a generated text's word n-grams that are different, mean over rows.

    Args:
        n: Words in an n-gram.

    Example:
        >>> round(DistinctN(n=1)(["no no no no"]).item(), 4)
        0.25
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i \frac{|\{n\text{-grams of } g_i\}|}{|g_i| - n + 1}"
    direction = "up"
    judges = False
    good = "the starting model's; near 0 is one repeated word"
    source = "Li et al. 2016, arXiv 1510.03055"
    needs = ("generated",)
    unmeasured = _NO_GENERATED_WORD

    def __init__(self, n: int = 2, **kwargs: Any) -> None:
        self.n, self.keys = n, (f"distinct_{n}",)
        super().__init__(**kwargs)

    def per_row(self, generated: Sequence[str]) -> list[float]:
        """From generated texts."""
        return [functional.distinct_n(functional.words(each), self.n) for each in generated]


class RepetitionRate(RowMean, name="repetition_rate"):
    """Share of a generated text's word n-grams that occurred in it before, mean over rows.

    Args:
        n: Words in an n-gram.

    Example:
        >>> round(RepetitionRate(n=1)(["no no no no"]).item(), 4)
        0.75
    """

    value_range = "0 to 1"
    formula = r"1 - \frac{1}{S} \sum_i \frac{|\{n\text{-grams of } g_i\}|}{|g_i| - n + 1}"
    direction = "down"
    judges = False
    good = "the starting model's"
    source = "Welleck et al. 2020, arXiv 1908.04319, eq. 10"
    needs = ("generated",)
    unmeasured = _NO_GENERATED_WORD

    def __init__(self, n: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n

    def per_row(self, generated: Sequence[str]) -> list[float]:
        """From generated texts."""
        return [functional.repetition_rate(functional.words(each), self.n) for each in generated]


class Entropy(RowMean, name="entropy"):
    """Entropy of a generated text's word pairs and triples, mean over rows, in bits.

    Example:
        >>> Entropy()(["no no no no"]).item()
        0.0
    """

    value_range = "0 to infinity"
    formula = r"\frac{1}{S} \sum_i \tfrac{1}{3} H_2(g_i) + \tfrac{2}{3} H_3(g_i)"
    direction = "up"
    judges = False
    good = "the starting model's"
    source = "Meng et al. 2022, arXiv 2202.05262"
    needs = ("generated",)
    unmeasured = "no two words were generated"

    def per_row(self, generated: Sequence[str]) -> list[float]:
        """From generated texts."""
        return [functional.ngram_entropy(functional.words(each)) for each in generated]
