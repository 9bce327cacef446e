"""Fields that hold several texts: arrays and joined strings."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from unlearnkit.data.rows.table import Row, Table, packed
from unlearnkit.errors import RecipeError

logger = logging.getLogger(__name__)

_SEPARATORS = ("; ", " | ")
_LOOKED_AT, _FEWEST = 1000, 4


def check_separator(separator: str | None) -> None:
    """Raises a RecipeError for a separator at which nothing can be cut."""
    if separator == "":
        raise RecipeError('separator: expected text such as "; ", found empty text')


def exploded(table: Table, column: str, separator: str | None = None) -> Table:
    """One row for each text in the column; values of other types stay, to be reported.

    Args:
        table: The rows.
        column: The column, which holds an array of texts or, with a separator, a joined text.
        separator: Stands between texts. White space around them and blank ones are left out.

    Example:
        >>> from unlearnkit.errors import Place
        >>> rows = [Row(Place(1), {"a": "Yes; No; "}), Row(Place(2), {"a": ["Maybe"]})]
        >>> found = exploded(Table("x.csv", rows, []), "a", separator="; ").rows
        >>> [(str(row.place), row.fields["a"]) for row in found]
        [('row 1, text 1', 'Yes'), ('row 1, text 2', 'No'), ('row 2, text 1', 'Maybe')]
    """
    rows = packed()
    for row in table.rows:
        texts = list(_texts(row.fields.get(column), separator))
        if texts:
            for part, text in enumerate(texts, start=1):
                rows.append(Row(row.place._replace(part=part), {**row.fields, column: text}))
        elif separator is not None and isinstance(row.fields.get(column), str):
            rows.append(row._replace(fields={**row.fields, column: ""}))  # to be reported
        else:
            rows.append(row)
    return table._replace(rows=rows)


def taken_apart(table: Table, column: str, separator: str | None) -> Table:
    """As `exploded` with a separator; else as it is, with a warning if texts look joined."""
    warn_if_joined(table, column, separator)
    return table if separator is None else exploded(table, column, separator)


def lists_of_joined(table: Table, columns: Sequence[str], separator: str) -> Table:
    """The rows with joined texts as lists; values of other types stay.

    Example:
        >>> from unlearnkit.errors import Place
        >>> table = Table("x.csv", [Row(Place(1), {"a": "Yes; No;"})], [])
        >>> lists_of_joined(table, ["a"], "; ").rows[0].fields
        {'a': ['Yes', 'No']}
    """
    if not columns:
        return table
    rows = packed()
    for row in table.rows:
        joined = {c: v for c in columns if isinstance(v := row.fields.get(c), str)}
        lists = {column: list(_texts(value, separator)) for column, value in joined.items()}
        rows.append(row._replace(fields={**row.fields, **lists}))
    return table._replace(rows=rows)


def _texts(value: Any, separator: str | None) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            # `unlearnkit sample` writes objects, with the ids beside the text.
            text = each.get("text", each) if isinstance(each, Mapping) else each
            yield from _texts(text, separator) if isinstance(text, str) and separator else [text]
    elif isinstance(value, str) and separator is not None:
        # The last text may have the separator behind it, without its blank.
        whole = value.strip().removesuffix(separator.strip())
        yield from (text for each in whole.split(separator) if (text := each.strip()))


def warn_if_joined(table: Table, column: str, separator: str | None = None) -> None:
    """Warns of texts that look joined, and of a separator that none of them holds."""
    if separator is not None:
        count = 0
        for row in table.rows:
            if isinstance(value := row.fields.get(column), str):
                if separator.strip() in value:
                    return
                count += 1
        if not count:
            return
        logger.warning(
            "%s: none of %d texts of '%s' holds the separator '%s'",
            table.file, count, column, separator,
        )  # fmt: skip
    values = (row.fields.get(column) for row in islice(table.rows, _LOOKED_AT))
    texts = [value for value in values if isinstance(value, str)]
    for likely in _SEPARATORS:
        joined = sum(likely in text for text in texts)
        if joined >= _FEWEST and 2 * joined >= len(texts):
            logger.warning(
                "%s: %d of %d texts of '%s' hold '%s', as if several were joined in each; they "
                'are taken whole. To take them apart set separator: "%s" of the stream',
                table.file,
                joined,
                len(texts),
                column,
                likely,
                likely,
            )
            return
