"""Readers of delimited tables and of plain text."""

from __future__ import annotations

import csv
import io
import sys
from typing import Any

from unlearnkit.data.rows.opening import decoded
from unlearnkit.data.rows.table import BARE, Row, Table, not_once, packed, repeated_names
from unlearnkit.errors import Place, Problem

SEPARATORS = (",", ";", "\t", "|")


def read_csv(name: str, raw: bytes, separator: str | None = None) -> Table:
    """Columns, named in the first line.

    Args:
        name: The file, for messages.
        raw: UTF-8 text.
        separator: What stands between cells; by default what cuts the first line into most.
    """
    table = Table(name, packed(), [])
    text = decoded(table, raw)
    if text is None:
        return table
    # A cell may hold a chapter; the module's own limit is 128 KiB.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    separator = separator or _separator(text)
    reader = _cells(text, separator)
    before = number = 0
    try:
        columns = next(reader, [])
        if repeated := repeated_names(columns):
            return Table(name, [], not_once(name, 1, repeated))
        before = reader.line_num
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not cells:
                continue
            number += 1
            if len(cells) == len(columns):
                row = dict(zip(columns, cells, strict=True))
                table.rows.append(Row(Place(number, line), row))
            else:
                found = f"{len(cells)} columns, with {separator!r} between them"
                expected = f"{len(columns)}, as in the first line"
                table.problems.append(Problem(name, Place(number, line), None, found, expected))
    except csv.Error as error:
        found = f"broken CSV ({error})"
        table.problems.append(Problem(name, before + 1, None, found, "quoted cells that end"))
    return table


def _cells(text: str, separator: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _separator(text: str) -> str:
    """What cuts the first line into most columns; the first of those that cut it alike."""

    def columns(separator: str) -> int:
        try:
            return len(next(_cells(text, separator), []))
        except csv.Error:
            return 0

    return max(SEPARATORS, key=columns)


def read_text(name: str, raw: bytes) -> Table:
    """Plain text: the whole file is one row with the field ``text``."""
    table = Table(name, [], [])
    text = decoded(table, raw)
    if text is not None and text.strip():
        table.rows.append(Row(Place(1, 1), {BARE: text.replace("\r\n", "\n")}))
    return table


def read_lines(name: str, raw: bytes) -> Table:
    """Plain text whose lines are rows of their own; blank ones are skipped."""
    table = Table(name, packed(), [], plain=True)
    text = decoded(table, raw)
    if text is not None:
        lines = ((n, line.strip()) for n, line in enumerate(text.split("\n"), start=1))
        kept = enumerate(((n, line) for n, line in lines if line), start=1)
        for row, (n, line) in kept:
            table.rows.append(Row(Place(row, n), {BARE: line}))
    return table
