"""Rows of a file, or given by a program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from unlearnkit.data.rows.nested import rows_below
from unlearnkit.data.rows.reader import read_rows
from unlearnkit.data.rows.splits import TRAIN, sliced, split_names
from unlearnkit.data.rows.table import BARE, Row, Table, packed
from unlearnkit.data.rows.values import kind_of, quoted
from unlearnkit.errors import DataError, Place, Problem, RecipeError

if TYPE_CHECKING:
    import datasets

    GivenRows: TypeAlias = (
        Sequence[Mapping[str, Any]] | Sequence[str] | datasets.Dataset | datasets.DatasetDict
    )
    RowSource: TypeAlias = str | GivenRows
else:
    GivenRows = RowSource = str  # a recipe gives paths alone

NAME = "rows"
"""What stands in messages where a file's name would."""


def name_of(source: RowSource, stream: str | None = None) -> str:
    """The path of a source, or what stands for it in messages.

    Example:
        >>> name_of("book.jsonl", "forget"), name_of(["a b"], "forget"), name_of(["a b"])
        ('book.jsonl', "rows of 'forget'", 'rows')
    """
    if not is_given(source):
        return str(source)
    return NAME if stream is None else f"{NAME} of '{stream}'"


def read_source(
    source: RowSource,
    name: str,
    *,
    split: str = TRAIN,
    config: str | None = None,
    lines: bool = False,
    rows_at: str | None = None,
) -> Table:
    """The rows of a file or data set (`read_rows`), or those in memory (`given_rows`).

    Raises:
        DataError: If they cannot be read, or there are none.
    """
    if is_given(source):
        rows: Any = source
        return given_rows(rows, name, split=split, config=config, rows_at=rows_at)
    return read_rows(name, split=split, config=config, lines=lines, rows_at=rows_at)


def is_given(source: RowSource) -> bool:
    """Whether a source is rows, and not a path to them.

    Raises:
        RecipeError: If it is neither.

    Example:
        >>> is_given("book.jsonl"), is_given([{"prompt": "a", "response": "b"}])
        (False, True)
    """
    if isinstance(source, str):
        return False
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise RecipeError(
            f"path: expected a path, a list of rows or a datasets.Dataset, "
            f"found {type(source).__name__}"
        )
    if hasattr(source, "to_dict") and hasattr(source, "iloc"):
        raise RecipeError(
            "path: expected a list of rows, found a DataFrame", hint='Give df.to_dict("records").'
        )
    return True


def given_rows(
    given: GivenRows,
    name: str,
    *,
    split: str = TRAIN,
    config: str | None = None,
    rows_at: str | None = None,
) -> Table:
    """The table of rows in memory, numbered from 1.

    Args:
        given: Mappings, or texts; a ``datasets.Dataset``, or a ``DatasetDict`` of some.
        name: What stands for a file's name in messages.
        split: As in `read_rows`.
        config: Refused: rows in memory have none.
        rows_at: As in `read_rows`.

    Raises:
        DataError: If there is no row, or no such split.

    Example:
        >>> table = given_rows([{"prompt": "a"}, 3], "rows of 'forget'")
        >>> [row.fields for row in table.rows], str(table.problems[0])
        ([{'prompt': 'a'}], "rows of 'forget', row 2: found number, expected a mapping of fields")
    """
    if config is not None:
        found = f"'{config}'"
        raise DataError([Problem(name, None, "config", found, "none, of rows in memory")])
    parts = given if isinstance(given, Mapping) else {TRAIN: given}
    if lacking := [each for each in split_names(split) if each not in parts]:
        expected = f"one of {quoted(map(str, parts))}"
        raise DataError([Problem(name, None, "split", quoted(lacking), expected)])
    tables = {each: _table(name, parts[each]) for each in split_names(split)}
    if rows_at is not None:
        tables = {each: rows_below(table, rows_at) for each, table in tables.items()}
    table = sliced(name, split, tables)
    if not table.rows and not table.problems:
        raise DataError([Problem(name, None, None, "0 rows", "at least one")])
    return table


def _table(name: str, rows: Any) -> Table:
    table = Table(name, packed(), [])
    total = 0
    for total, row in enumerate(rows, start=1):
        place = Place(total)
        if total == 1:
            table = table._replace(plain=isinstance(row, str))
        if isinstance(row, str) and table.plain:
            table.rows.append(Row(place, {BARE: row}))
        elif isinstance(row, Mapping) and not table.plain:
            table.rows.append(Row(place, dict(row)))
        else:
            expected = "text, as the first row" if table.plain else "a mapping of fields"
            table.problems.append(Problem(name, place, None, kind_of(row), expected))
    return table._replace(total=total)
