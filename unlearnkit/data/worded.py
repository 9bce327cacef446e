"""Rows that say one thing in several wordings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from unlearnkit.data.cut import Cut
from unlearnkit.data.encoded import Digest, EncodedRows, StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.plan import Order, derived_seed, permutation


class WordedRows(EncodedRows):
    """Rows whose sequences are wordings of one fact, all of them or some at each draw.

    Of ``n`` wordings a draw shows the next ``per_row`` of a random order of the row's own, round
    and round, so that each comes equally often over ``n`` epochs; the order is a function of the
    seed, the stream's name and the row alone. All have the row's index.

    Args:
        name: The stream's name.
        source: The file or data set it was read from.
        per_row: Wordings of a row that a draw shows; None for all.
        seed: Seed of the draws.
        measure_all: Whether suites measure each wording, not the file's own alone.

    Example:
        >>> from unlearnkit.errors import Place
        >>> rows = WordedRows("forget", "facts.jsonl", per_row=1)
        >>> rows.append([([1], [2]), ([3], [4])], Place(1, line=1), text="")
        >>> sorted(e.prompt_ids for draw in (0, 1) for e in rows.at(0, draw))
        [(1,), (3,)]
    """

    def __init__(
        self,
        name: str,
        source: str,
        per_row: int | None = None,
        seed: int = 0,
        *,
        measure_all: bool = False,
    ) -> None:
        super().__init__(name, source)
        self.per_row, self.measure_all, self._seed = per_row, measure_all, seed

    @property
    def redrawn(self) -> bool:
        """Whether some row shows other wordings at another draw."""
        return self.per_row is not None and any(
            len(self.sequences_of(row)) > self.per_row for row in range(len(self))
        )

    def sequences_at(self, row: int, occurrence: int) -> list[int]:
        """Numbers of the sequences that a draw of a row shows, in the order of the wordings."""
        own = self.sequences_of(row)
        if self.per_row is None or len(own) <= self.per_row:
            return list(own)
        order = permutation(derived_seed(self._seed, self.name, row), len(own)).tolist()
        first = occurrence // len(self) * self.per_row  # once in each pass over the rows
        return sorted(own[order[(first + n) % len(own)]] for n in range(self.per_row))

    def at(self, row: int, occurrence: int) -> list[Example]:
        """The wordings of a row that a draw shows."""
        source = f"{self.source}:{self.place(row)}"
        return [
            Example(self.prompt(sequence), self.response(sequence), row, source)
            for sequence in self.sequences_at(row, occurrence)
        ]

    def examples(self, rows: Iterable[int] | None = None) -> Iterator[Example]:
        """All wordings of rows, in file order; by default of all rows."""
        for row in range(len(self)) if rows is None else rows:
            yield from EncodedRows.at(self, row, row)

    def measured(self, row: int) -> list[Example]:
        """The row in its first wording, which is the file's own, or in all."""
        every = EncodedRows.at(self, row, row)
        return every if self.measure_all else every[:1]

    def lengths(self, row: int, occurrence: int) -> tuple[int, int]:
        """Number of sequences and of response tokens of a draw."""
        shown = self.sequences_at(row, occurrence)
        return len(shown), sum(map(self.response_length, shown))

    def count(self, rows: Order, first: int) -> tuple[int, int]:
        """Number of sequences and of response tokens of successive draws."""
        return StreamData.count(self, rows, first) if self.redrawn else super().count(rows, first)

    def cuts(self) -> Cut | None:
        """What the maximal length cuts, over all wordings."""
        if not self.cut:
            return None
        lost = sum(self.cut.values())
        left = sum(map(self.response_length, range(self.sequences)))
        return Cut(len(self.cut), len(self), lost, lost + left)

    def update_digest(self, digest: Digest) -> None:
        """Feeds a digest with all wordings, and with what the draws follow from."""
        super().update_digest(digest)
        if self.redrawn:
            digest.update(repr(("wordings", self.name, self.per_row, self._seed)).encode())
