"""Splits and slices such as ``train[:70%]``, as the library datasets defines them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from unlearnkit.data.rows.table import Table, joined, only
from unlearnkit.errors import DataError, Place, Problem

TRAIN = "train"
_NAME = re.compile(r"\s*(\w+(?:\.\w+)*)")


def split_names(split: str) -> list[str]:
    """The splits that are named, each once.

    Example:
        >>> split_names("train[:10%]+test+train[-5:]")
        ['train', 'test']
    """
    found = (_NAME.match(part) for part in split.split("+"))
    return list(dict.fromkeys(each[1] if each else split for each in found))


def ranges(path: str, split: str, sizes: Mapping[str, int]) -> list[tuple[str, range]]:
    """The rows of each split that are meant, from 0.

    Args:
        path: Whose splits they are, for messages.
        split: One split or several, with slices or without.
        sizes: Rows of each split.

    Raises:
        DataError: If it is not written as datasets has it, or means no row.

    Example:
        >>> ranges("a.jsonl", "train[-25%:]", {"train": 10})
        [('train', range(8, 10))]
    """
    if split in sizes:
        return [(split, range(sizes[split]))]
    import datasets

    try:
        parts = datasets.ReadInstruction.from_spec(split).to_absolute(dict(sizes))
    except (ValueError, AssertionError) as error:
        expected = f"a split or a part of it, such as {next(iter(sizes), TRAIN)}[:70%] ({error})"
        raise DataError([Problem(path, None, "split", f"'{split}'", expected)]) from None
    found = [(part.splitname, range(part.from_, part.to)) for part in parts]
    if not any(rows for _, rows in found):
        held = ", ".join(f"{name} of {size} rows" for name, size in sizes.items())
        raise DataError(
            [Problem(path, None, "split", f"'{split}', which is no row", f"a part of {held}")]
        )
    return found


def sliced(path: str, split: str, tables: Mapping[str, Table]) -> Table:
    """The rows of a split or of a slice, with their numbers in the whole.

    Args:
        path: The file, for messages.
        split: As in `ranges`.
        tables: All rows of each split.
    """
    wanted = ranges(path, split, {name: table.total for name, table in tables.items()})
    whole = next(iter(tables.values())) if len(tables) == 1 else joined(path, [*tables.values()])
    if len(tables) == 1 and wanted == [(next(iter(tables)), range(whole.total))]:
        return whole
    before, offsets = 0, {}
    for name, table in tables.items():
        offsets[name] = before
        before += table.total
    numbers = [offsets[name] + row + 1 for name, rows in wanted for row in rows]
    return _of_numbers(whole, numbers)


def _of_numbers(table: Table, numbers: Sequence[int]) -> Table:
    index = {row.place.row: i for i, row in enumerate(table.rows)}
    kept = set(numbers)
    # Problems of the whole file, and lines that are no rows, are reported anyway.
    problems = [
        each
        for each in table.problems
        if not isinstance(each.place, Place) or each.place.row in kept
    ]
    rows = only(table.rows, (index[number] for number in numbers if number in index))
    return table._replace(rows=rows, problems=problems)
