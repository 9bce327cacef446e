"""Checks of field values, with error messages."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unlearnkit.data.rows.hints import kind_hint, mapping_hint
from unlearnkit.data.rows.packed import only
from unlearnkit.errors import DataError, Problem

if TYPE_CHECKING:
    from unlearnkit.data.rows.table import Row, Rows, Table


def kind_of(value: Any) -> str:
    """The JSON name of a value's type.

    Example:
        >>> [kind_of(v) for v in (None, True, 1, 0.5, "a", [], {})]
        ['null', 'boolean', 'number', 'number', 'text', 'array', 'object']
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, Sequence):
        return "array"
    return type(value).__name__


def text_fault(value: Any, *, may_be_empty: bool = False) -> str | None:
    """What is found in place of usable text, or None.

    Example:
        >>> text_fault("  "), text_fault(12), text_fault("fine")
        ('blank text', 'number', None)
    """
    if not isinstance(value, str):
        return kind_of(value)
    if not may_be_empty and not value.strip():
        return "blank text" if value else "empty text"
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        return "a lone surrogate, which is not Unicode text"
    return None


def check_fields(
    table: Table, columns: Mapping[str, str], may_be_empty: Collection[str] = ()
) -> tuple[Rows, list[Problem]]:
    """Splits a table into rows whose columns hold text, and the problems of the others.

    Args:
        table: The rows.
        columns: Column by the recipe's key for it, such as ``{"prompt_field": "prompt"}``.
        may_be_empty: Columns in which empty text is allowed.

    Raises:
        DataError: If no row has a column: the file's columns, and the keys that map them.
    """
    check_columns(table, columns)
    _check_kinds(table, columns)
    bad: set[int] = set()
    problems: list[Problem] = []
    for index, row in enumerate(table.rows):
        faults = [
            problem
            for key, column in columns.items()
            if (problem := _field_problem(table.file, row, key, column, column in may_be_empty))
        ]
        problems += faults
        if faults:
            bad.add(index)
    if not bad:
        return table.rows, problems
    return only(table.rows, (i for i in range(len(table.rows)) if i not in bad)), problems


def check_columns(table: Table, columns: Mapping[str, str], hint: str | None = None) -> None:
    """Raises a DataError if some column is in no row at all.

    Args:
        table: The rows.
        columns: Column by the recipe's key for it.
        hint: What to do; by default which keys to set.
    """
    present: dict[str, None] = {}
    missing = dict(columns)
    for row in table.rows:
        present |= dict.fromkeys(row.fields)
        missing = {key: column for key, column in missing.items() if column not in present}
        if not missing:
            return
    if not table.rows:
        return
    raise DataError(
        [
            Problem(
                table.file,
                None,
                None,
                f"the fields {quoted(list(present)[:12])}",
                quoted(columns.values()),
            )
        ],
        hint=hint or mapping_hint(table, missing),
    )


def _check_kinds(table: Table, columns: Mapping[str, str]) -> None:
    """Raises a DataError if a column holds nothing but arrays, or objects, or numbers."""
    for key, column in columns.items():
        values = (row.fields[column] for row in table.rows if column in row.fields)
        first = kind_of(next(values, None))
        if first in ("array", "object", "number") and all(kind_of(v) == first for v in values):
            problem = Problem(table.file, None, column, f"{first}s in all rows", "text")
            raise DataError([problem], hint=kind_hint(table, key, column))


def _field_problem(
    file: str, row: Row, key: str, column: str, may_be_empty: bool
) -> Problem | None:
    if column not in row.fields:
        near = difflib.get_close_matches(column, list(row.fields), n=1)
        found = f"'{near[0]}'" if near else f"the fields {quoted(row.fields)}"
        return Problem(file, row.place, column, found, f"'{column}', which is `{key}`")
    fault = text_fault(row.fields[column], may_be_empty=may_be_empty)
    return None if fault is None else Problem(file, row.place, column, fault, "text")


def quoted(names: Iterable[str]) -> str:
    """Names in quotes, separated by commas."""
    return ", ".join(f"'{name}'" for name in names) or "none"
