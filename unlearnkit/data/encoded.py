"""Tokenised rows of a stream."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from array import array
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from unlearnkit.data.cut import Cut
from unlearnkit.data.example import Example
from unlearnkit.data.plan import Order
from unlearnkit.data.tokens.frame import Frame
from unlearnkit.errors import Place

if TYPE_CHECKING:
    from unlearnkit.data.tokens.codec import Codec

_BATCH = 1000


class Digest(Protocol):
    """A running digest."""

    def update(self, data: bytes, /) -> None:
        """Adds bytes."""
        ...


class StreamData(ABC):
    """Rows of a stream as token ids: what the sampler and the packer work with.

    Args:
        name: The stream's name in the recipe.
        source: The file or data set it was read from.
        follows: The stream whose rows it pairs with, draw by draw.
    """

    def __init__(self, name: str, source: str, follows: str | None = None) -> None:
        self.name, self.source, self.follows = name, source, follows
        self.dropped = 0
        """Rows left out by ``on_bad_rows: drop``."""
        self.cut: dict[int, int] = {}
        """Response tokens that the maximal length cut, for each row that lost some."""
        self.answered = True
        """Whether its rows have responses, which a loss can read."""

    def cuts(self) -> Cut | None:
        """What the maximal length cuts; None if nothing."""
        if not self.cut:
            return None
        lost = sum(self.cut.values())
        whole = lost + sum(self.lengths(row, row)[1] for row in range(len(self)))
        return Cut(len(self.cut), len(self), lost, whole)

    @abstractmethod
    def __len__(self) -> int:
        """Rows in one pass."""

    @abstractmethod
    def at(self, row: int, occurrence: int) -> list[Example]:
        """The sequences of a row.

        Args:
            row: Index of the row, from 0.
            occurrence: How many rows were drawn from this stream before, over all ranks, since
                the start of training; what is drawn at random is a function of it.
        """

    @property
    def redrawn(self) -> bool:
        """Whether a row may give other sequences at another draw."""
        return self.follows is not None and self.at(0, 0) != self.at(0, 1)

    def measured(self, row: int) -> list[Example]:
        """The sequences of a row that suites measure: the first one."""
        return self.at(row, row)[:1]

    def examples(self, rows: Iterable[int] | None = None) -> Iterator[Example]:
        """The sequences of rows, each at its first draw in file order; by default of all rows."""
        for row in range(len(self)) if rows is None else rows:
            yield from self.at(row, row)

    def lengths(self, row: int, occurrence: int) -> tuple[int, int]:
        """Number of sequences and of response tokens of a row."""
        examples = self.at(row, occurrence)
        return len(examples), sum(len(example.response_ids) for example in examples)

    def update_digest(self, digest: Digest) -> None:
        """Feeds a digest with the token ids of the rows, in file order."""
        for example in self.examples():
            digest.update(repr((example.prompt_ids, example.response_ids)).encode())

    def count(self, rows: Order, first: int) -> tuple[int, int]:
        """Number of sequences and of response tokens of successive draws.

        Args:
            rows: Row of each draw.
            first: Occurrence of the first; see `at`.
        """
        each = [self.lengths(row, first + n) for n, row in enumerate(rows.tolist())]
        return sum(sequences for sequences, _ in each), sum(tokens for _, tokens in each)


class EncodedRows(StreamData):
    """Rows read from a file, held in flat arrays.

    Example:
        >>> rows = EncodedRows("forget", "book.jsonl")
        >>> rows.append([([4, 5], [6, 3])], Place(7, line=7), text="ab c")
        >>> rows.at(0, occurrence=0)
        [Example(prompt_ids=(4, 5), response_ids=(6, 3), row=0, source='book.jsonl:7')]
        >>> rows.lengths(0, occurrence=0)
        (1, 2)
    """

    def __init__(self, name: str, source: str) -> None:
        super().__init__(name, source)
        self.file_rows = 0
        """Rows of the whole file, of which ``where`` and ``limit`` may have left some out."""
        self.taken = array("q")
        """Numbers in the file of the rows that were chosen, bad ones included, in order."""
        self.exact_keys = array("Q")
        """Hash of each row's text."""
        self.loose_keys = array("Q")
        """Hash of each row's text without regard to white space and case."""
        self.frame = Frame()
        """What stands around its answers, and around other answers to its prompts."""
        # A tuple of Python integers takes ten times the room of these.
        self._ids = array("i")
        self._borders = array("q", [0])
        self._first_sequence = array("q", [0])
        self._totals = (np.empty(0), np.empty(0))
        self._places = array("q")

    def in_frame(self, frame: Frame, codec: Codec) -> EncodedRows:
        """The same rows with answers that begin and end as those of another stream.

        They are for pools of answers: they keep their places, and not what tells their texts.
        """
        if frame == self.frame:
            return self
        found = EncodedRows(self.name, self.source)
        found.frame, found.answered, found.dropped = frame, self.answered, self.dropped
        found.file_rows, found.taken = self.file_rows, self.taken
        for start in range(0, len(self), _BATCH):
            rows = [self.sequences_of(r) for r in range(start, min(start + _BATCH, len(self)))]
            responses = [self.response(sequence) for row in rows for sequence in row]
            changed = iter(frame.instead(self.frame, codec, responses))
            for number, row in enumerate(rows, start):
                found.append([(self.prompt(s), next(changed)) for s in row], self.place(number), "")
        return found

    def append(
        self, sequences: Sequence[tuple[Sequence[int], Sequence[int]]], place: Place, text: str
    ) -> None:
        """Adds a row of prompt and response ids.

        Args:
            sequences: Prompt and response ids of each of the row's sequences.
            place: Where the row stands in the file.
            text: The row's text, by which it is recognised in other streams.
        """
        self.extend([sequences], place, text)

    def extend(
        self,
        rows: Iterable[Sequence[tuple[Sequence[int], Sequence[int]]]],
        place: Place,
        text: str,
    ) -> None:
        """Adds rows of one text, such as the pieces of a book, whose text is read once.

        Args:
            rows: For each row its sequences, as in `append`.
            place: Where the text stands in the file.
            text: The whole text, by which each of its rows is recognised in other streams.
        """
        exact, loose = _key(text), _key(" ".join(text.split()).casefold())
        for sequences in rows:
            for part in (ids for sequence in sequences for ids in sequence):
                self._ids.extend(part)
                self._borders.append(len(self._ids))
            self._first_sequence.append(len(self._borders) // 2)
            self._places.extend((place.row, place.line or 0, place.column, place.part))
            self.exact_keys.append(exact)
            self.loose_keys.append(loose)

    def __len__(self) -> int:
        """Rows in one pass."""
        return len(self.exact_keys)

    def place(self, row: int) -> Place:
        """Where a row stands in the file; the pieces of one text share its place."""
        number, line, column, part = self._places[4 * row : 4 * row + 4]
        return Place(number, line or None, column, part)

    def at(self, row: int, occurrence: int) -> list[Example]:
        """The sequences of a row; the same at each occurrence."""
        source = f"{self.source}:{self.place(row)}"
        return [
            Example(self.prompt(sequence), self.response(sequence), row, source)
            for sequence in self.sequences_of(row)
        ]

    def lengths(self, row: int, occurrence: int) -> tuple[int, int]:
        """Number of sequences and of response tokens of a row."""
        sequences = self.sequences_of(row)
        return len(sequences), sum(map(self.response_length, sequences))

    def count(self, rows: Order, first: int) -> tuple[int, int]:
        """Number of sequences and of response tokens of successive draws."""
        if len(self._totals[0]) != len(self):
            self._totals = self._row_totals()
        sequences, tokens = self._totals
        return int(sequences[rows].sum()), int(tokens[rows].sum())

    def _row_totals(self) -> tuple[Order, Order]:
        """Sequences and response tokens of each row."""
        borders, first = np.array(self._borders), np.array(self._first_sequence)
        responses = np.cumsum(np.append(0, borders[2::2] - borders[1::2]))
        return np.diff(first), np.diff(responses[first])

    def update_digest(self, digest: Digest) -> None:
        """Feeds a digest with the token ids of the rows, in file order."""
        spelled = _Spelled()
        for first in range(0, self.sequences, _BATCH):
            last = min(first + _BATCH, self.sequences)
            borders = self._borders[2 * first : 2 * last + 1]
            words = list(map(spelled.__getitem__, self._ids[borders[0] : borders[-1]]))
            parts = (words[a - borders[0] : b - borders[0]] for a, b in pairwise(borders))
            spelling = (f"({', '.join(part)}{',' * (len(part) == 1)})" for part in parts)
            pairs = zip(spelling, spelling, strict=True)
            digest.update("".join(f"({prompt}, {answer})" for prompt, answer in pairs).encode())

    @property
    def sequences(self) -> int:
        """Sequences of all rows."""
        return len(self._borders) // 2

    def sequences_of(self, row: int) -> range:
        """Numbers of the sequences of a row."""
        return range(self._first_sequence[row], self._first_sequence[row + 1])

    def row_of(self, sequence: int) -> int:
        """The row that a sequence belongs to."""
        return bisect(self._first_sequence, sequence) - 1

    def prompt(self, sequence: int) -> tuple[int, ...]:
        """Prompt ids of a sequence, by its number."""
        return self._part(2 * sequence)

    def prompt_length(self, sequence: int) -> int:
        """Prompt tokens of a sequence."""
        return self._borders[2 * sequence + 1] - self._borders[2 * sequence]

    def prompt_lengths(self, sequences: Order) -> Order:
        """Prompt tokens of many sequences, ``[n] -> [n]``."""
        borders = np.frombuffer(self._borders, np.int64)
        return borders[2 * sequences + 1] - borders[2 * sequences]

    def response_length(self, sequence: int) -> int:
        """Response tokens of a sequence."""
        return self._borders[2 * sequence + 2] - self._borders[2 * sequence + 1]

    def response(self, sequence: int) -> tuple[int, ...]:
        """Response ids of a sequence, by its number."""
        return self._part(2 * sequence + 1)

    def _part(self, index: int) -> tuple[int, ...]:
        return tuple(self._ids[self._borders[index] : self._borders[index + 1]])


class _Spelled(dict[int, str]):
    """Token ids as they are written."""

    def __missing__(self, token: int) -> str:
        self[token] = str(token)
        return self[token]


def _key(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def data_fingerprint(data: StreamData) -> str:
    """Digest of the token ids of a stream's rows, or of what its random draws follow from."""
    digest = hashlib.sha256()
    data.update_digest(digest)
    return f"sha256:{digest.hexdigest()[:16]}"
