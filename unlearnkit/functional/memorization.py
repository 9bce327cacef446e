"""Memorisation: how much of a text follows from its beginning.

The input is flat: ``correct[N]`` says of each response token whether it was the model's first
choice given the true tokens before it, ``sequence[N]`` which of the ``S`` responses it is part of,
ascending.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from unlearnkit.functional.core import row_sum

MemorizationCompat = Literal["open-unlearning"]


def exact_memorization(
    correct: Tensor,
    sequence: Tensor,
    sequences: int,
    *,
    compat: MemorizationCompat | None = None,
) -> Tensor:
    """Share of each response's tokens that are the model's first choice, in [0, 1].

    Args:
        correct: ``[N]`` bool.
        sequence: ``[N]``.
        sequences: ``S``.
        compat: ``open-unlearning`` leaves out each response's last token, taken for an
            end-of-sequence token whether it is one or not.

    Returns:
        ``[S]``; nan where no token is counted.

    Example:
        >>> exact_memorization(torch.tensor([True, False, True]), torch.tensor([0, 0, 1]), 2)
        tensor([0.5000, 1.0000])

    References:
        Tirumala et al. 2022, "Memorization without overfitting", arXiv 2205.10770, sec. 2.
    """
    if compat == "open-unlearning":
        correct, sequence = _without_last(correct, sequence)
    lengths = torch.bincount(sequence, minlength=sequences)
    return row_sum(correct.float(), sequence, sequences) / lengths


def extraction_strength(
    correct: Tensor,
    sequence: Tensor,
    sequences: int,
    *,
    compat: MemorizationCompat | None = None,
) -> Tensor:
    r"""One minus the share of a response that must be shown before the rest follows by itself.

    .. math:: 1 - \frac{1}{n} \min \{k : \hat y_t = y_t \text{ for all } t > k\}

    Args:
        correct: ``[N]`` bool.
        sequence: ``[N]``.
        sequences: ``S``.
        compat: ``open-unlearning`` leaves out each response's last token, gives ``1/n``, not 0,
            where the last counted token is wrong, and 0 where no token is counted.

    Returns:
        ``[S]`` in [0, 1]: 1 when the whole response follows from the prompt, 0 when not even the
        last token does; nan where no token is counted.

    Example:
        >>> extraction_strength(torch.tensor([False, True, True, False]),
        ...                     torch.tensor([0, 0, 0, 1]), 2)
        tensor([0.6667, 0.0000])

    References:
        Carlini et al. 2021, arXiv 2012.07805; Wang et al. 2024, "Unlearning with control",
        arXiv 2406.09179, eq. 4.
    """
    if compat == "open-unlearning":
        correct, sequence = _without_last(correct, sequence)
    lengths = torch.bincount(sequence, minlength=sequences)
    wrong_after = _row_cumsum_from_end((~correct).long(), sequence, lengths)
    suffix = row_sum((wrong_after == 0).float(), sequence, sequences)
    if compat == "open-unlearning":
        return torch.where(lengths > 0, suffix.clamp(min=1) / lengths.clamp(min=1), 0.0)
    return suffix / lengths


def extraction_likelihood(said: Sequence[Sequence[int]], true: Sequence[int], n: int) -> float:
    r"""Share of the n-grams of what a model says behind each beginning that are the text's.

    .. math:: \frac{1}{T - n + 1} \sum_{t=0}^{T - n}
        \frac{|\{c \in \mathrm{ng}(\hat y_{>t}) : c \in \mathrm{ng}(y_{>t})\}|}{T - t - n + 1}

    Args:
        said: ``T - n + 1`` continuations of the first 0, 1, ... tokens of the text.
        true: The ``T`` tokens of the text, at least ``n``.
        n: Length of an n-gram.

    Returns:
        From 0 to 1, which it is where the model says the whole rest behind each beginning.

    Example:
        >>> extraction_likelihood([[1, 2, 9], [2, 3]], [1, 2, 3], 2)
        0.75

    References:
        Jang et al. 2022, arXiv 2210.01504, eq. 3, whose code divides by the n-grams of the text
        too; there the text has no prompt, and its first token is given.
    """
    shares: list[float] = []
    for first, words in enumerate(said):
        rest = true[first:]
        known = {tuple(rest[at : at + n]) for at in range(len(rest) - n + 1)}
        found = [tuple(words[at : at + n]) in known for at in range(len(words) - n + 1)]
        shares.append(sum(found) / (len(rest) - n + 1))
    return sum(shares) / len(shares)


def _without_last(correct: Tensor, sequence: Tensor) -> tuple[Tensor, Tensor]:
    if not sequence.numel():
        return correct, sequence
    inner = torch.cat([sequence[1:] == sequence[:-1], sequence.new_zeros(1, dtype=torch.bool)])
    return correct[inner], sequence[inner]


def _row_cumsum_from_end(x: Tensor, sequence: Tensor, lengths: Tensor) -> Tensor:
    """``[N]`` sum of ``x`` from each token to the end of its response."""
    before = x.cumsum(0) - x
    totals = x.cumsum(0)
    ends = lengths.cumsum(0) - 1
    return totals[ends.clamp(min=0)[sequence]] - before if x.numel() else x
