"""Readers of JSON, Parquet and saved data sets."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from unlearnkit.data.rows.delimited import read_csv, read_text
from unlearnkit.data.rows.opening import decoded, decoded_line
from unlearnkit.data.rows.splits import TRAIN, ranges, split_names
from unlearnkit.data.rows.table import (
    BARE,
    Row,
    Table,
    not_once,
    packed,
    repeated_names,
    with_telling_lines,
)
from unlearnkit.data.rows.values import kind_of, quoted
from unlearnkit.errors import Place, Problem

_BATCH = 1000


def read_jsonl(name: str, raw: bytes) -> Table:
    """One JSON object per line, or one text; blank lines and commas behind objects are skipped.

    A file that is one array of them is read too, and one that is one object, which is one row.
    """
    start = next((line.lstrip()[:1] for _, line in _lines(raw)), b"")
    if start == b"[":
        return _json_array(name, raw)
    table = Table(name, packed(), [], plain=start == b'"')
    decoder = _Decoder()
    for row, (number, line) in enumerate(_lines(raw), start=1):
        place = Place(row, number)
        text = decoded_line(table, line, place)
        if text is None:
            continue
        try:
            _add_item(table, place, decoder.decode(_without_comma(text)), decoder.repeated)
        except (ValueError, RecursionError) as error:
            decoder.repeated.clear()
            if not table.rows and not table.problems:
                over_lines = _objects_over_lines(name, raw)
                if over_lines is not None:
                    return over_lines
            table.problems.append(Problem(name, place, None, _json_fault(error), "one JSON object"))
    return table


def _lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line that is not blank, one after the other."""
    return ((n, line) for n, line in enumerate(io.BytesIO(raw), start=1) if line.strip())


def _without_comma(line: str) -> str:
    """A line of an array without its brackets ends with a comma."""
    line = line.rstrip()
    return line[:-1] if line.endswith(("},", '",')) else line


def _objects_over_lines(name: str, raw: bytes) -> Table | None:
    """The rows of a file of objects that go over several lines each, as ``jq`` writes them."""
    table, decoder = Table(name, packed(), []), _Decoder()
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
    table = Table(name, packed(), [], plain=raw.lstrip()[1:].lstrip()[:1] == b'"')
    text = decoded(table, raw)
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
            self.repeated += repeated_names(key for key, _ in pairs)
        return fields


def _add_item(table: Table, place: Place, value: Any, repeated: list[str]) -> None:
    if repeated:
        table.problems.extend(not_once(table.file, place, repeated))
        repeated.clear()
    elif table.plain and isinstance(value, str):
        table.rows.append(Row(place, {BARE: value}))
    elif isinstance(value, dict) and not table.plain:
        table.rows.append(Row(place, value))
    else:
        expected = "text, as the first row" if table.plain else "object with named fields"
        table.problems.append(Problem(table.file, place, None, kind_of(value), expected))


def read_parquet(name: str, raw: bytes) -> Table:
    """Apache Parquet; rows are numbered from 1."""
    import pyarrow
    import pyarrow.parquet

    table = Table(name, packed(), [])
    try:
        with pyarrow.parquet.ParquetFile(pyarrow.BufferReader(raw)) as file:
            if repeated := repeated_names(file.schema_arrow.names):
                return Table(name, [], not_once(name, None, repeated))
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    table.rows.append(Row(Place(len(table.rows) + 1), row))
    except pyarrow.ArrowException as error:
        found = f"broken Parquet ({str(error).splitlines()[0]})"
        return Table(name, [], [Problem(name, None, None, found, "an Apache Parquet file")])
    return table


def read_dataset(name: str, split: str, config: str | None) -> Table:
    """A data set of the Hugging Face Hub, or of its local cache; rows are numbered from 1."""
    import datasets

    try:
        names = split_names(split)
        whole = names[0] if len(names) == 1 else split
        data = datasets.load_dataset(name, config, split=whole)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()
        found = f"no such file, and no such data set ({reason[0] if reason else error!r})"
        return Table(name, [], [Problem(name, None, None, found, "a file or the id of a data set")])
    if whole == split:
        return _of_dataset(name, data)
    # A row keeps the number that it has in the split.
    size = len(data)  # pyright: ignore[reportArgumentType]
    wanted = [row for _, rows in ranges(name, split, {whole: size}) for row in rows]
    table = _of_dataset(name, data.select(wanted))  # pyright: ignore
    rows = packed(
        row._replace(place=Place(number + 1))
        for row, number in zip(table.rows, wanted, strict=True)
    )
    return table._replace(rows=rows, total=size)


def is_saved(folder: Path) -> bool:
    """Whether a folder is a data set that ``save_to_disk`` of datasets wrote."""
    return any((folder / each).is_file() for each in ("state.json", "dataset_dict.json"))


def read_saved(name: str, folder: Path, split: str) -> Table:
    """A data set that ``save_to_disk`` wrote; of several splits the one that is named."""
    import datasets

    try:
        data = datasets.load_from_disk(str(folder))
    except (OSError, ValueError) as error:
        found = f"a data set that cannot be loaded ({error})"
        return Table(name, [], [Problem(name, None, None, found, "one that save_to_disk wrote")])
    if isinstance(data, datasets.DatasetDict):
        if split not in data:
            expected = f"one of {quoted(map(str, data))}"
            return Table(name, [], [Problem(name, None, "split", f"'{split}'", expected)])
        data = data[split]
    elif split not in (TRAIN, str(data.split)):
        expected = f"'{data.split or TRAIN}', the only one"
        return Table(name, [], [Problem(name, None, "split", f"'{split}'", expected)])
    return _of_dataset(name, data)


def _of_dataset(name: str, data: Iterable[Any]) -> Table:
    rows = packed(Row(Place(number), dict(row)) for number, row in enumerate(data, start=1))
    return Table(name, rows, [])


READERS: dict[str, Callable[[str, bytes], Table]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_jsonl,
    ".csv": read_csv,
    ".tsv": partial(read_csv, separator="\t"),
    ".parquet": read_parquet,
    ".txt": read_text,
}
"""By suffix; each takes the file's name and its content, text in UTF-8."""
BINARY = (".parquet",)


def is_lines(suffix: str, raw: bytes) -> bool:
    """Whether a file is plain text, with one row per line, whatever its suffix says."""
    if suffix == ".txt" or suffix not in READERS:
        return True
    if READERS[suffix] is not read_jsonl:
        return False
    # One that begins as JSON and is none is a mistake in a file of JSON.
    if any(line.lstrip()[:1] in (b"{", b"[") for _, line in _lines(raw)):
        return False
    return not _is_json([line for _, line in islice(_lines(raw), 1)])


def _is_json(lines: Sequence[bytes]) -> bool:
    try:
        for line in lines:
            json.loads(_without_comma(line.decode()))
    except (ValueError, RecursionError):
        return False
    return True
