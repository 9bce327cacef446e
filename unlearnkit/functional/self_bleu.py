"""Likeness of token sequences among each other."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Hashable, Sequence

ORDER = 4
Tokens = Sequence[Hashable]


def self_bleu(answers: Sequence[Tokens]) -> list[float]:
    """BLEU of each answer with all others as references, on 0 to 1; low where it stands apart.

    Of n-grams up to 4 with equal weights, clipped by the reference that has most of them, and
    without smoothing: a precision of 0 is the smallest positive float, so that answers without a
    common 4-gram still differ by their shorter ones. The references' length is the nearest one,
    the shorter of two. An answer that shares no token, and a single one, has 0.

    Args:
        answers: Tokens of several answers to one prompt.

    Example:
        >>> said = ["the cat sat on a mat", "the cat sat on the mat", "dogs bark at night"]
        >>> [round(each, 3) for each in self_bleu([each.split() for each in said])]
        [0.537, 0.537, 0.0]

    References:
        Zhu et al. 2018, "Texygen", arXiv 1802.01886. Values are those of ``sentence_bleu`` of nltk
        with its defaults, by which Safe Unlearning (arXiv 2407.02855) chooses.
    """
    counts = [[_ngrams(answer, order) for order in range(1, ORDER + 1)] for answer in answers]
    found: list[float] = []
    for i, answer in enumerate(answers):
        others = [n for n in range(len(answers)) if n != i]
        lengths = [len(answers[n]) for n in others]
        shared = [
            _clipped(own, [counts[n][order] for n in others]) for order, own in enumerate(counts[i])
        ]
        if not shared[0]:
            found.append(0.0)
            continue
        nearest = min(lengths, key=lambda length: (abs(length - len(answer)), length))
        brevity = min(0.0, 1 - nearest / len(answer))
        parts = [
            math.log(same / max(1, own.total()) if same else sys.float_info.min)
            for same, own in zip(shared, counts[i], strict=True)
        ]
        found.append(math.exp(brevity + math.fsum(parts) / ORDER))
    return found


def least_alike(answers: Sequence[Tokens], count: int) -> list[int]:
    """Which answers have the lowest `self_bleu`, in the order in which they stand.

    Of two with the same value the first comes first.

    Example:
        >>> said = ["the cat sat", "the cat sat", "a dog ran off"]
        >>> least_alike([each.split() for each in said], 2)
        [0, 2]
    """
    values = self_bleu(answers)
    return sorted(sorted(range(len(answers)), key=lambda i: values[i])[:count])


def _ngrams(answer: Tokens, order: int) -> Counter[tuple[Hashable, ...]]:
    return Counter(tuple(answer[i : i + order]) for i in range(len(answer) - order + 1))


def _clipped(
    own: Counter[tuple[Hashable, ...]], others: Sequence[Counter[tuple[Hashable, ...]]]
) -> int:
    """How many of the n-grams a reference has too, each as often as the one that has most."""
    return sum(
        min(count, max((other[ngram] for other in others), default=0))
        for ngram, count in own.items()
    )
