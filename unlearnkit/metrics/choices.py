"""Metrics of multiple-choice questions and of short answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from unlearnkit.functional.text import words
from unlearnkit.metrics.base import KNOWLEDGE, RowMean

_ARTICLES = frozenset(("a", "an", "the"))
_NO_WORD = "no true answer has a word"


class Accuracy(RowMean, name="accuracy"):
    """Share of questions whose right choice is the likeliest.

    Args:
        key: Field of a suite's rows that holds whether the choice is right.

    Example:
        >>> Accuracy()([2, 0], [2, 1]).item()
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i [\text{the likeliest choice is right}]"
    direction = KNOWLEDGE
    headline = 1
    good = "forget: that of guessing; rows to keep: the starting model's"
    source = "Hendrycks et al. 2021, arXiv 2009.03300; Li et al. 2024, arXiv 2403.03218"
    needs = ("chosen", "answer")

    def __init__(self, key: str = "accuracy", **kwargs: Any) -> None:
        self.keys = (key,)
        super().__init__(**kwargs)

    def per_row(self, chosen: Sequence[int], answer: Sequence[int]) -> list[bool]:
        """From the numbers of the likeliest and of the right choices."""
        return [one == two for one, two in zip(chosen, answer, strict=True)]


class ChoiceProbability(RowMean, name="choice_probability"):
    """Probability of the right choice among all choices, mean over questions.

    Example:
        >>> ChoiceProbability()([[0.0, 0.0]], [1]).item()
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i \frac{p_i}{\sum_k p_{ik}}"
    direction = KNOWLEDGE
    good = "forget: that of guessing; rows to keep: the starting model's"
    source = "Li et al. 2024, arXiv 2403.03218"
    needs = ("logps", "answer")
    keys = ("probability",)

    def per_row(self, logps: Sequence[Sequence[float]], answer: Sequence[int]) -> list[float]:
        """From log-probabilities of all choices, and the numbers of the right ones."""
        shares = []
        for found, index in zip(logps, answer, strict=True):
            total = math.fsum(math.exp(p - max(found)) for p in found)
            shares.append(math.exp(found[index] - max(found)) / total)
        return shares


class Chance(RowMean, name="chance"):
    """Accuracy of guessing: one over the number of choices, mean over questions.

    Example:
        >>> Chance()([2, 4]).item()
        0.375
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i \frac{1}{K_i}"
    good = "none: accuracy on forget rows should go as low"
    source = "Li et al. 2024, arXiv 2403.03218"
    needs = keys = ("choices",)

    def per_row(self, choices: Sequence[int]) -> Sequence[int]:
        """From the number of choices of each question."""
        return choices

    def aggregate(self, choices: Sequence[float]) -> float:
        """Mean over questions."""
        return fmean(1 / count for count in choices)


class BestAnswer(RowMean, name="mc1"):
    """Share of questions whose best answer is likelier than every false one (TruthfulQA's MC1).

    Example:
        >>> BestAnswer()([[-1.0, -9.0]], [[-2.0, -3.0]]).item()
        1.0
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i [P_{i1} > \max_k P^\mathrm{false}_{ik}]"
    direction = KNOWLEDGE
    good = "the starting model's"
    source = "Lin et al. 2022, arXiv 2109.07958"
    needs = ("true", "false")

    def per_row(
        self, true: Sequence[Sequence[float]], false: Sequence[Sequence[float]]
    ) -> list[float]:
        """From log-probabilities of the true answers, the best one first, and the false ones."""
        return [float(one[0] > max(two)) for one, two in zip(true, false, strict=True)]


class TrueShare(BestAnswer, name="mc2"):
    """Probability of the true answers among all, mean over questions (TruthfulQA's MC2).

    Example:
        >>> TrueShare()([[0.0, 0.0]], [[0.0, 0.0]]).item()
        0.5
    """

    formula = (
        r"\frac{1}{S} \sum_i \frac{\sum_k P^\mathrm{true}_{ik}}{\sum_k P^\mathrm{true}_{ik} + "
        r"\sum_k P^\mathrm{false}_{ik}}"
    )

    def per_row(
        self, true: Sequence[Sequence[float]], false: Sequence[Sequence[float]]
    ) -> list[float]:
        """From log-probabilities of the true answers and the false ones."""
        shares = []
        for pair in zip(true, false, strict=True):
            highest = max(map(max, pair))
            masses = [math.fsum(math.exp(each - highest) for each in part) for part in pair]
            shares.append(masses[0] / sum(masses))
        return shares


class ExactMatch(RowMean, name="exact_match"):
    """Share of answers that equal one of the known ones, articles and punctuation apart.

    Example:
        >>> ExactMatch()(["The boat.", "no"], [["a boat"], ["yes"]]).item()
        0.5
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i \max_k [g_i = r_{ik}]"
    direction = KNOWLEDGE
    good = "the starting model's"
    source = "Joshi et al. 2017, arXiv 1705.03551"
    needs = ("generated", "answers")
    unmeasured = _NO_WORD

    def per_row(
        self, generated: Sequence[str], answers: Sequence[Sequence[str]]
    ) -> list[float | None]:
        """From generated answers and the known ones of each."""
        return list(map(self.best, generated, answers))

    def best(self, said: str, answers: Sequence[str]) -> float | None:
        """The best match with one of the answers that have words; None if none has."""
        known = [each for each in answers if words(each)]
        return max((self.match(_units(said), _units(each)) for each in known), default=None)

    @staticmethod
    def match(said: Sequence[str], true: Sequence[str]) -> float:
        """Whether the words are equal."""
        return float(said == true)


class AnswerF1(ExactMatch, name="f1"):
    """F1 of an answer's words against the best of the known ones, mean over rows.

    Example:
        >>> round(AnswerF1()(["two boats"], [["two"]]).item(), 4)
        0.6667
    """

    formula = r"\frac{1}{S} \sum_i \max_k F_1(g_i, r_{ik})"

    @staticmethod
    def match(said: Sequence[str], true: Sequence[str]) -> float:
        """F1 of words."""
        shared = sum((Counter(said) & Counter(true)).values())
        return 2 * shared / (len(said) + len(true))


def _units(text: str) -> list[str]:
    """Words without articles; of an answer that is nothing else, such as ``(A)``, these."""
    found = words(text)
    return [word for word in found if word not in _ARTICLES] or found
