"""Likeness of texts among each other."""

from __future__ import annotations

from collections.abc import Sequence


def self_bleu(texts: Sequence[str]) -> list[float]:
    """BLEU of each text with all others as references, on 0 to 100; low where it stands apart.

    By sacrebleu's 13a tokenizer, n-grams up to 4 or the text's length, exponential smoothing. A
    single text has 0, and so has one without words.

    Args:
        texts: Such as several answers to one prompt.

    Example:
        >>> [round(each) for each in self_bleu(["the cat sat", "the cat sat", "a dog ran off"])]
        [100, 100, 0]

    References:
        Zhu et al. 2018, "Texygen", arXiv 1802.01886.
    """
    import sacrebleu

    found: list[float] = []
    for i, text in enumerate(texts):
        others = [*texts[:i], *texts[i + 1 :]]
        known = bool(others) and bool(text.strip())
        found.append(sacrebleu.sentence_bleu(text, others).score if known else 0.0)
    return found


def least_alike(texts: Sequence[str], count: int) -> list[int]:
    """Which texts have the lowest `self_bleu`, in the order in which they stand.

    Of two with the same value the first comes first.

    Example:
        >>> least_alike(["the cat sat", "the cat sat", "a dog ran off"], 2)
        [0, 2]
    """
    values = self_bleu(texts)
    return sorted(sorted(range(len(texts)), key=lambda i: values[i])[:count])
