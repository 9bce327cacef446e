"""File formats: bytes in, numbered rows out."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from unlearnkit.data.values import kind_of
from unlearnkit.errors import Place, Problem

BARE = "text"
"""The field of a row that is plain text, without a name."""

_BOM = b"\xef\xbb\xbf"


class Row(NamedTuple):
    """One row as the file has it."""

    place: Place
    """Number and line; what tells it from all other rows of its file."""
    fields: dict[str, Any]

    @property
    def line(self) -> int | None:
        """Line in the file, from 1, where it is known."""
        return self.place.line


class Table(NamedTuple):
    """All rows of a file."""

    file: str
    """As the recipe names it."""
    rows: list[Row]
    problems: list[Problem]
    """Lines that cannot be read as rows."""
    plain: bool = False
    """Whether the rows are plain texts, which have no names in the file."""
    total: int = 0
    """Rows of the whole file, readable or not, once it has been read."""

    def row_numbers(self) -> set[int]:
        """Numbers in the file of these rows and of those that cannot be read."""
        places = (each.place for part in (self.rows, self.problems) for each in part)
        return {place.row for place in places if isinstance(place, Place)}


def read_jsonl(name: str, path: Path) -> Table:
    """One JSON object per line, or one text; blank lines and commas behind objects are skipped.

    A file that is one array of them is read too, and one that is one object, which is one row.
    """
    raw = _without_bom(path.read_bytes())
    start = raw.lstrip()[:1]
    if start == b"[":
        return _json_array(name, raw)
    table = Table(name, [], [], plain=start == b'"')
    lines = ((n, line) for n, line in enumerate(raw.split(b"\n"), start=1) if line.strip())
    for place, line in ((Place(row, n), line) for row, (n, line) in enumerate(lines, start=1)):
        text = _decoded(table, line, place)
        if text is None:
            continue
        decoder = _Decoder()
        try:
            _add_item(table, place, decoder.decode(_without_comma(text)), decoder.repeated)
        except (ValueError, RecursionError) as error:
            if not table.rows and not table.problems:
                over_lines = _objects_over_lines(name, raw)
                if over_lines is not None:
                    return over_lines
            table.problems.append(Problem(name, place, None, _json_fault(error), "one JSON object"))
    return table


def _without_comma(line: str) -> str:
    """A line of an array without its brackets ends with a comma."""
    line = line.rstrip()
    return line[:-1] if line.endswith(("},", '",')) else line


def _objects_over_lines(name: str, raw: bytes) -> Table | None:
    """The rows of a file of objects that go over several lines each, as ``jq`` writes them."""
    table, decoder = Table(name, [], []), _Decoder()
    try:
        for number, (line, value) in enumerate(_items(raw.decode("utf-8"), decoder, 0, ""), 1):
            _add_item(table, Place(number, line), value, decoder.repeated)
    except (ValueError, RecursionError):
        return None
    return with_telling_lines(table)


def _json_fault(error: Exception) -> str:
    # Besides its own error the parser raises others: for numbers too long, objects too deep.
    where = (
        f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
    )
    return f"broken JSON ({where})"


def _json_array(name: str, raw: bytes) -> Table:
    """The objects or texts of one JSON array; with their lines, unless some share one."""
    table = Table(name, [], [], plain=raw.lstrip()[1:].lstrip()[:1] == b'"')
    text = _all_decoded(table, raw)
    if text is None:
        return table
    decoder = _Decoder()
    fault: list[Problem] = []
    try:
        for number, (line, value) in enumerate(_items(text, decoder, text.index("[") + 1, "]"), 1):
            _add_item(table, Place(number, line), value, decoder.repeated)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        expected = "a JSON array of objects or texts, as it begins with ["
        fault = [Problem(name, line, None, _json_fault(error), expected)]
    table = with_telling_lines(table)
    return table._replace(problems=[*table.problems, *fault])


def with_telling_lines(table: Table) -> Table:
    """The table, without lines where two rows begin on the same one."""
    places = {each.place for part in (table.rows, table.problems) for each in part}
    lines = Counter(place.line for place in places if isinstance(place, Place))
    if all(count == 1 for count in lines.values()):
        return table

    def without_line(place: Place | int | None) -> Place | int | None:
        return place._replace(line=None) if isinstance(place, Place) else place

    rows = [row._replace(place=row.place._replace(line=None)) for row in table.rows]
    problems = [each._replace(place=without_line(each.place)) for each in table.problems]
    return table._replace(rows=rows, problems=problems)


def _items(
    text: str, decoder: json.JSONDecoder, start: int, close: str
) -> Iterator[tuple[int, Any]]:
    """Line and value of each item, so that a broken item does not hide those before it."""
    position = _skip_space(text, start)
    line, counted = 1, 0
    while text[position : position + 1] != close:
        line, counted = line + text.count("\n", counted, position), position
        value, end = decoder.raw_decode(text, position)
        yield line, value
        position = _skip_space(text, end)
        if text[position : position + 1] == ",":
            position = _skip_space(text, position + 1)
        elif close and text[position : position + 1] != close:
            raise json.JSONDecodeError("Expecting ',' or ']'", text, position)
    if text[position + 1 :].strip():
        raise json.JSONDecodeError("Extra data after the array", text, position + 1)


def _skip_space(text: str, position: int) -> int:
    while text[position : position + 1].isspace():
        position += 1
    return position


class _Decoder(json.JSONDecoder):
    """A decoder that notes the keys that an object has twice."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._object)
        self.repeated: list[str] = []

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(fields := dict(pairs)) < len(pairs):
            self.repeated += _repeated(key for key, _ in pairs)
        return fields


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _add_item(table: Table, place: Place, value: Any, repeated: list[str]) -> None:
    if repeated:
        table.problems.extend(_not_once(table.file, place, repeated))
        repeated.clear()
    elif table.plain and isinstance(value, str):
        table.rows.append(Row(place, {BARE: value}))
    elif isinstance(value, dict) and not table.plain:
        table.rows.append(Row(place, value))
    else:
        expected = "text, as the first row" if table.plain else "object with named fields"
        table.problems.append(Problem(table.file, place, None, kind_of(value), expected))


def _not_once(file: str, place: Place | int, names: list[str]) -> list[Problem]:
    """The problem of names that stand more than once: which value is meant cannot be told."""
    return [Problem(file, place, name, "the name more than once", "it once") for name in names]


def read_csv(name: str, path: Path) -> Table:
    """Comma-separated, or tab-separated for ``.tsv``; the first line names the columns."""
    table = Table(name, [], [])
    text = _all_decoded(table, _without_bom(path.read_bytes()))
    if text is None:
        return table
    # A cell may hold a chapter; the module's own limit is 128 KiB.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = number = 0
    try:
        columns = next(reader, [])
        if repeated := _repeated(columns):
            return Table(name, [], _not_once(name, 1, repeated))
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
                found, expected = f"{len(cells)} columns", f"{len(columns)}, as in the first line"
                table.problems.append(Problem(name, Place(number, line), None, found, expected))
    except csv.Error as error:
        found = f"broken CSV ({error})"
        table.problems.append(Problem(name, before + 1, None, found, "quoted cells that end"))
    return table


def read_parquet(name: str, path: Path) -> Table:
    """Apache Parquet; rows are numbered from 1."""
    import pyarrow
    import pyarrow.parquet

    try:
        values = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        found = f"broken Parquet ({str(error).splitlines()[0]})"
        return Table(name, [], [Problem(name, None, None, found, "an Apache Parquet file")])
    return Table(name, [Row(Place(number), row) for number, row in enumerate(values, start=1)], [])


def read_text(name: str, path: Path) -> Table:
    """Plain text: the whole file is one row with the field ``text``."""
    table = Table(name, [], [])
    text = _all_decoded(table, _without_bom(path.read_bytes()))
    if text is not None and text.strip():
        table.rows.append(Row(Place(1, 1), {"text": text.replace("\r\n", "\n")}))
    return table


def read_dataset(name: str, split: str, config: str | None) -> Table:
    """A data set of the Hugging Face Hub, or of its local cache; rows are numbered from 1."""
    import datasets

    try:
        data = datasets.load_dataset(name, config, split=split)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()
        found = f"no such file, and no such data set ({reason[0] if reason else error!r})"
        return Table(name, [], [Problem(name, None, None, found, "a file or the id of a data set")])
    rows = [Row(Place(number), dict(row)) for number, row in enumerate(data, start=1)]
    return Table(name, rows, [])


READERS: dict[str, Callable[[str, Path], Table]] = {
    ".jsonl": read_jsonl,
    ".json": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".txt": read_text,
}


def _without_bom(raw: bytes) -> bytes:
    return raw.removeprefix(_BOM)


def _decoded(table: Table, line: bytes, place: Place | int) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{line[error.start]:02X} at byte {error.start + 1}, which is not UTF-8"
        table.problems.append(Problem(table.file, place, None, found, "UTF-8 text"))
        return None


def _all_decoded(table: Table, raw: bytes) -> str | None:
    """The whole text, or None and a problem for each line that is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        for number, line in enumerate(raw.split(b"\n"), start=1):
            _decoded(table, line, number)
        return None
