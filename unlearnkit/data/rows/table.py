"""Table of rows, each identified by its place in the file."""

from __future__ import annotations

from array import array
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from unlearnkit.data.rows.packed import Packed, only
from unlearnkit.data.rows.where import is_same
from unlearnkit.errors import Place, Problem

Files = tuple[tuple[int, str], ...]
BARE = "text"
"""The field of a row that is plain text, without a name."""


class Row(NamedTuple):
    """One row as the file has it."""

    place: Place
    """Number and line; what tells it from all other rows of its file."""
    fields: dict[str, Any]

    @property
    def line(self) -> int | None:
        """Line in the file, from 1, where it is known."""
        return self.place.line


Rows = list[Row] | Packed[Row]


def packed(rows: Iterable[Row] = ()) -> Packed[Row]:
    """Rows in little room."""
    return Packed(
        rows, lambda row: (*row.place, row.fields), lambda value: Row(Place(*value[:4]), value[4])
    )


class Table(NamedTuple):
    """All rows of a file."""

    file: str
    """As the recipe names it."""
    rows: Rows
    problems: list[Problem]
    """Lines that cannot be read as rows."""
    plain: bool = False
    """Whether the rows are plain texts, which have no names in the file."""
    total: int = 0
    """Rows of the whole file, readable or not, once it has been read."""
    files: Files = ()
    """Number of its first row and name, of each of several files."""

    def row_numbers(self) -> array[int]:
        """Numbers in the file of these rows and of those that cannot be read, in order."""
        places = (each.place for part in (self.rows, self.problems) for each in part)
        numbers = array("q", (place.row for place in places if isinstance(place, Place)))
        return array("q", np.unique(numbers).tobytes())


def chosen(table: Table, where: Mapping[str, Any], limit: int | None = None) -> Table:
    """The rows whose fields have these values, the first ``limit`` of them.

    Example:
        >>> rows = [Row(Place(n), {"kept": n > 1, "x": n}) for n in (1, 2, 3)]
        >>> [row.fields["x"] for row in chosen(Table("x.json", rows, []), {"kept": True}).rows]
        [2, 3]
    """
    if not where and limit is None:
        return table
    places = (
        index
        for index, row in enumerate(table.rows)
        if all(is_same(row.fields.get(key), value) for key, value in where.items())
    )
    return table._replace(rows=only(table.rows, islice(places, limit)))


def with_telling_lines(table: Table) -> Table:
    """The table, without lines where two rows begin on the same one."""
    places = {each.place for part in (table.rows, table.problems) for each in part}
    lines = Counter(place.line for place in places if isinstance(place, Place))
    if all(count == 1 for count in lines.values()):
        return table

    def without_line(place: Place | int | None) -> Place | int | None:
        return place._replace(line=None) if isinstance(place, Place) else place

    rows = packed(row._replace(place=row.place._replace(line=None)) for row in table.rows)
    problems = [each._replace(place=without_line(each.place)) for each in table.problems]
    return table._replace(rows=rows, problems=problems)


def repeated_names(names: Iterable[str]) -> list[str]:
    """Names that stand more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def not_once(file: str, place: Place | int | None, names: list[str]) -> list[Problem]:
    """The problem of names that stand more than once: the value is ambiguous."""
    return [Problem(file, place, name, "the name more than once", "it once") for name in names]


def joined(name: str, tables: Sequence[Table]) -> Table:
    """The rows of several files as those of one, numbered through.

    Example:
        >>> a, b = (Table(n, [Row(Place(1, 1), {"x": n})], [], total=1) for n in ("a", "b"))
        >>> table = joined("*", [a, b])
        >>> [row.place for row in table.rows], table.files
        ([Place(row=1, line=None, column=0, part=0), Place(row=2, line=None, column=0, part=0)], \
((1, 'a'), (2, 'b')))
    """
    rows = packed()
    problems: list[Problem] = []
    files: list[tuple[int, str]] = []
    before = 0
    for table in tables:
        for row in table.rows:
            rows.append(Row(Place(before + row.place.row), row.fields))
        for each in table.problems:
            numbered = isinstance(each.place, Place)
            place = Place(before + each.place.row) if numbered else None  # pyright: ignore
            problems.append(each._replace(file=name, place=place) if numbered else each)
        files.append((before + 1, table.file))
        before += table.total
    plain = all(table.plain for table in tables)
    return Table(name, rows, problems, plain, before, tuple(files))


def located(problem: Problem, files: Files) -> Problem:
    """The problem in the one of several files that its row stands in, as a row of that."""
    place = problem.place
    if not files or not isinstance(place, Place):
        return problem
    first, name = files[bisect(files, place.row, key=lambda file: file[0]) - 1]
    return problem._replace(file=name, place=place._replace(row=place.row - first + 1))
