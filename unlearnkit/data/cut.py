"""Counts of rows and tokens that the maximal length cuts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from unlearnkit.data.plan import Order


class Cut(NamedTuple):
    """Rows and tokens that the maximal length cuts.

    Of a stream that answers another one's prompts, pairs of a prompt and an answer are counted.

    Example:
        >>> print(Cut(2, 3, 20, 50))
        2 of 3 rows, 20 of 50 response tokens
    """

    cut: int
    """Rows or pairs that lose tokens."""
    of: int
    tokens: int
    """Response tokens that are lost."""
    of_tokens: int
    what: str = "rows"

    @classmethod
    def of_pairs(cls, lengths: Order, rooms: Order) -> Cut:
        """Counts over all pairs of a prompt, with its room, and an answer, with its length.

        Example:
            >>> print(Cut.of_pairs(np.array([2, 6]), np.array([7, 5, 3])))
            2 of 6 pairs of prompt and answer, 4 of 24 response tokens
        """
        ordered = np.sort(lengths)
        totals = np.append(np.cumsum(ordered[::-1])[::-1], 0)
        first = np.searchsorted(ordered, rooms, side="right")
        longer = len(ordered) - first
        lost = int((totals[first] - rooms * longer).sum())
        of, whole = len(lengths) * len(rooms), int(totals[0]) * len(rooms)
        return cls(int(longer.sum()), of, lost, whole, "pairs of prompt and answer")

    @classmethod
    def total(cls, cuts: Iterable[Cut]) -> Cut | None:
        """The sum over parts of a stream; None if nothing is cut in any."""
        found = list(cuts)
        sums = (sum(numbers) for numbers in zip(*(each[:4] for each in found), strict=True))
        return cls(*sums, found[0].what) if any(each.cut for each in found) else None  # pyright: ignore

    def __str__(self) -> str:
        return (
            f"{self.cut} of {self.of} {self.what}, "
            f"{self.tokens} of {self.of_tokens} response tokens"
        )
