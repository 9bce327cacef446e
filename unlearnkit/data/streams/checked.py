"""Rows between their check and their tokens."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from unlearnkit.errors import Place, Problem


class Sample(Protocol):
    """A checked row, not yet tokenised."""

    @property
    def place(self) -> Place:
        """Where the row stands in its file."""
        ...


SampleT = TypeVar("SampleT", bound=Sample)


class Checked(NamedTuple, Generic[SampleT]):
    """What `FileStream.check` leaves to `FileStream.encode`."""

    samples: Sequence[SampleT]
    problems: list[Problem]
    total: int
    """Good and bad."""
    file_rows: int
    taken: array[int]
