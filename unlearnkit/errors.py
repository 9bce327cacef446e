"""Errors of the user, each one sentence and a hint."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple


class UserError(Exception):
    """Something the user can mend: a recipe, a file, an argument, a full disk.

    Args:
        message: What was found and what was expected, in whole sentences.
        title: Heading of the panel at the shell.
        hint: What to do about it.
    """

    told: bool | None = None
    """Whether another process of the run on this machine says it; None where it is not known."""

    def __init__(self, message: str, *, title: str = "error", hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.title = title
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


class RecipeError(UserError):
    """A recipe, or an override of it, that cannot be run."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, title="recipe error", hint=hint)


class Interrupted(UserError):
    """A run that a signal ended.

    Args:
        message: What was reached and what was saved.
        hint: How to continue.
        signum: The signal's number; the command ends with 128 and this.
    """

    def __init__(self, message: str, *, hint: str | None = None, signum: int) -> None:
        super().__init__(message, title="stopped", hint=hint)
        self.signum = signum


class Place(NamedTuple):
    """Where a row stands in its file. All but the line is its identity.

    Example:
        >>> str(Place(7, 8)), str(Place(7)), str(Place(7, 8, part=2)), Place(7, 8).words
        ('8', 'row 7', '8, text 2', 'line 8')
    """

    row: int
    """Number of the row in its file, from 1."""
    line: int | None = None
    """Line it begins on, for messages only; None where a line does not tell it from others."""
    column: int = 0
    """Number of its column, from 1, where several columns give a row each."""
    part: int = 0
    """Number of the text, from 1, where a column holds several and each gives a row."""

    @property
    def identity(self) -> tuple[int, int, int]:
        """Row, column and part: no two of a file are equal."""
        return self.row, self.column, self.part

    @property
    def words(self) -> str:
        """The place in a sentence."""
        return str(self) if self.line is None else f"line {self}"

    def __str__(self) -> str:
        row = f"row {self.row}" if self.line is None else str(self.line)
        column = f", response {self.column}" if self.column else ""
        return f"{row}{column}{f', text {self.part}' if self.part else ''}"


class Problem(NamedTuple):
    """One bad row of a data file."""

    file: str
    place: Place | int | None
    """The row, or a line that is no row."""
    field: str | None
    found: str
    expected: str

    @property
    def line(self) -> int | None:
        """Line in the file, from 1, where it is known."""
        return self.place.line if isinstance(self.place, Place) else self.place

    def __str__(self) -> str:
        words = self.place.words if isinstance(self.place, Place) else f"line {self.place}"
        place = self.file if self.place is None else f"{self.file}, {words}"
        field = "" if self.field is None else f", field '{self.field}'"
        return f"{place}{field}: found {self.found}, expected {self.expected}"


def in_file_order(problem: Problem) -> tuple[bool, int, int, int]:
    """Order of problems: those of the file, rows by number, then lines that are no rows."""
    place = problem.place
    if isinstance(place, Place):
        return False, *place.identity
    return place is not None, place or 0, 0, 0


class DataError(UserError):
    """Rows that cannot be used; all of them, at once.

    Args:
        problems: Every bad row.
        hint: What to do about them.
    """

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)), title="data error", hint=hint)


@contextmanager
def optional(what: str) -> Iterator[None]:
    """Makes a warning of any error of what a run can do without, such as a picture of it.

    Args:
        what: What is made, for the warning.
    """
    try:
        yield
    except Exception as error:
        warnings.warn(
            f"{what} could not be made ({type(error).__name__}: {error}); the run is not affected",
            stacklevel=3,
        )
