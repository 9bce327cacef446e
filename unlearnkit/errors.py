"""Errors that are the user's to mend: one sentence each, no traceback, exit code 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class UserError(Exception):
    """Something the user can mend: a recipe, a file, an argument, a full disk.

    Args:
        message: What was found and what was expected, in whole sentences.
        title: Heading of the panel at the shell.
        hint: What to do about it.
    """

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
        hint: How to go on.
        signum: The signal's number; the command ends with 128 and this.
    """

    def __init__(self, message: str, *, hint: str | None = None, signum: int) -> None:
        super().__init__(message, title="stopped", hint=hint)
        self.signum = signum


class Problem(NamedTuple):
    """One bad row of a data file.

    ``line`` counts from 1, in lines for JSON lines and text, in rows for the other formats.
    """

    file: str
    line: int | None
    field: str | None
    found: str
    expected: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        field = "" if self.field is None else f", field '{self.field}'"
        return f"{place}{field}: found {self.found}, expected {self.expected}"


class DataError(UserError):
    """Rows that cannot be used; all of them, at once.

    Args:
        problems: Every bad row.
        hint: What to do about them.
    """

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)), title="data error", hint=hint)
