"""Nested rows and fields: ``rows_at`` and dotted names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from unlearnkit.data.rows.table import BARE, Row, Table, packed, with_telling_lines
from unlearnkit.data.rows.values import kind_of, quoted
from unlearnkit.errors import DataError, Place, Problem

EVERY = "*"
KEY = "key"
_ABSENT = object()


def value_at(value: Any, name: str) -> Any:
    """What a dotted name stands for, such as ``meta.answer`` or ``answers.0.text``.

    A key that holds dots itself goes first. Numbers count the items of an array, from 0.

    Raises:
        LookupError: If there is no such value.

    Example:
        >>> value_at({"a.b": 1, "a": {"b": 2, "c": [{"d": 3}]}}, "a.b")
        1
        >>> value_at({"a": {"b": 2, "c": [{"d": 3}]}}, "a.c.0.d")
        3
    """
    found = _lookup(value, name)
    if found is _ABSENT:
        raise LookupError(name)
    return found


def _lookup(value: Any, name: str) -> Any:
    if isinstance(value, list):
        head, _, rest = name.partition(".")
        if not head.isdecimal() or int(head) >= len(value):
            return _ABSENT
        return _lookup(value[int(head)], rest) if rest else value[int(head)]
    if not isinstance(value, Mapping):
        return _ABSENT
    if name in value:
        return value[name]
    for head, rest in _cuts(name):
        if head in value and (found := _lookup(value[head], rest)) is not _ABSENT:
            return found
    return _ABSENT


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    """Each way to cut a name in two at a dot."""
    for index, character in enumerate(name):
        if character == ".":
            yield name[:index], name[index + 1 :]


def with_fields(table: Table, names: Iterable[str], bare: str | None = None) -> Table:
    """The rows with a field of its own for each dotted name, where they have such a value.

    Args:
        table: The rows.
        names: Names of fields, with dots or without.
        bare: The field that rows of plain text stand for; None where they stand for none.

    Raises:
        DataError: If the rows are plain text, and the stream needs named fields.
    """
    if table.plain and bare is None:
        expected = f"objects with the fields {quoted(names)}"
        raise DataError(
            [Problem(table.file, None, None, "plain texts, without names", expected)],
            hint="Streams of one text a row read them: `text`, or `idk` as its pool.",
        )
    if table.plain and bare is not None and bare != BARE:
        named = ({**row.fields, bare: row.fields[BARE]} for row in table.rows)
        rows = (row._replace(fields=each) for row, each in zip(table.rows, named, strict=True))
        return table._replace(rows=packed(rows))
    deep = [name for name in names if "." in name]
    if not deep:
        return table
    return table._replace(rows=packed(_with(row, deep) for row in table.rows))


def _with(row: Row, names: Iterable[str]) -> Row:
    found = {name: _lookup(row.fields, name) for name in names}
    return row._replace(
        fields={**row.fields, **{k: v for k, v in found.items() if v is not _ABSENT}}
    )


def rows_below(table: Table, rows_at: str) -> Table:
    """The rows that stand in a field of the file's objects, such as ``data`` or ``*.pairs``.

    The fields beside the way there go with each row. ``*`` stands for every item of an array and
    for every value of an object, whose key is then the field ``key``. Plain texts become the
    field ``text``. They are numbered anew, as if the file held them alone.

    Raises:
        DataError: If there is no such field in any row.

    Example:
        >>> row = Row(Place(1), {"who": "Ada", "qa": [{"q": "a"}, {"q": "b"}]})
        >>> [row.fields for row in rows_below(Table("x.json", [row], []), "qa").rows]
        [{'who': 'Ada', 'q': 'a'}, {'who': 'Ada', 'q': 'b'}]
        >>> table = Table("x.json", [Row(Place(1), {"Ada": ["a", "b"], "Bo": ["c"]})], [])
        >>> [row.fields for row in rows_below(table, "*").rows][1:]
        [{'key': 'Ada', 'text': 'b'}, {'key': 'Bo', 'text': 'c'}]
    """
    # A line that cannot be read is none of the rows below, and has no number among them.
    unread = [problem._replace(place=problem.line or problem.place) for problem in table.problems]
    below, problems = Table(table.file, packed(), unread), []
    plain, number = True, 0
    for row in table.rows:
        try:
            items = list(_items(row.fields, rows_at, {}))
        except LookupError as error:
            found, expected = str(error.args[0]), f"the rows below '{rows_at}'"
            number += 1
            place = Place(number, row.line)
            problems.append(Problem(table.file, place, "rows_at", found, expected))
            continue
        for outer, item in items:
            number += 1
            place = Place(number, row.line)
            if isinstance(item, Mapping):
                below.rows.append(Row(place, {**outer, **item}))
                plain = False
            elif isinstance(item, str):
                below.rows.append(Row(place, {**outer, BARE: item}))
            else:
                found, expected = kind_of(item), f"objects or texts below '{rows_at}'"
                problems.append(Problem(table.file, place, "rows_at", found, expected))
    if problems and not below.rows:
        raise DataError(problems[:1])
    below = below._replace(
        problems=[*unread, *problems], plain=plain and bool(below.rows), total=number
    )
    return with_telling_lines(below)


def _items(value: Any, path: str, outer: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each row below a value, with the fields that stand beside the way to it."""
    if not path:
        items = value if isinstance(value, list) else [value]
        yield from ((outer, item) for item in items)
        return
    if path == EVERY or path.startswith(f"{EVERY}."):
        yield from _each(value, path[len(EVERY) + 1 :], outer)
        return
    if not isinstance(value, Mapping):
        raise LookupError(kind_of(value))
    for head, rest in [(path, ""), *_cuts(path)]:
        if head in value:
            beside = {**outer, **{k: v for k, v in value.items() if k != head}}
            yield from _items(value[head], rest, beside)
            return
    raise LookupError(f"the fields {quoted(list(value)[:12])}")


def _each(value: Any, rest: str, outer: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _items(item, rest, {**outer, KEY: key})
    elif isinstance(value, list):
        for item in value:
            yield from _items(item, rest, outer)
    else:
        raise LookupError(kind_of(value))
