"""Rows of a large file in little room, the same as they went in."""

import datetime
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.data import QAStream
from unlearnkit.data.rows import formats
from unlearnkit.data.rows.packed import Mapped, Packed, only
from unlearnkit.data.rows.reader import read_rows
from unlearnkit.data.rows.table import Row, packed
from unlearnkit.errors import DataError, Place

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=5))
def test_rows_come_back_as_they_went_in(fields):
    rows = [Row(Place(n, n + 3 or None, n % 2, n), each) for n, each in enumerate(fields, start=1)]
    held = packed(rows)
    assert list(held) == rows
    assert held[:] == rows
    assert [held[-n - 1] for n in range(len(rows))] == rows[::-1]
    assert [json.dumps(row.fields) for row in held] == [json.dumps(row.fields) for row in rows]
    with pytest.raises(IndexError):
        held[len(rows)]


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3), np.float64(0.1), datetime.date(2025, 1, 1), {1, 2}, bytearray(b"a"),
        type("Text", (str,), {})("a"), [np.int64(3)], {"deep": (np.bool_(True),)},
    ],
)  # fmt: skip
def test_values_that_are_not_plain_are_held_as_they_are(value):
    held = Packed([{"a": 1}, {"a": value}, {"a": 2}])
    assert held[1]["a"] is value
    assert held.only([1, 0])[0]["a"] is value
    assert [each["a"] for each in held.only([2, 0])] == [2, 1]


def test_a_value_nested_without_end_is_held_as_it_is():
    deep: list = []
    for _ in range(3000):
        deep = [deep]
    assert Packed([deep])[0] is deep


def test_some_of_a_list_are_a_list():
    assert only([5, 6, 7], [2, 0]) == [7, 5]


def test_what_is_mapped_is_made_at_each_look():
    made = []
    items = Mapped([1, 2, 3], lambda item: made.append(item) or -item)
    assert (len(items), made) == (3, [])
    assert (items[1], items[1:], list(items)) == (-2, [-2, -3], [-1, -2, -3])
    assert made == [2, 2, 3, 1, 2, 3]


@pytest.fixture(params=["jsonl", "parquet"])
def many(request, tmp_path):
    """2000 rows of 750 characters."""
    rows = [{"prompt": f"{n}?" * 100, "response": f"{n}!" * 50} for n in range(1000, 3000)]
    path = tmp_path / f"many.{request.param}"
    if request.param == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=100)
    return str(path)


def test_checked_rows_take_little_more_than_their_text(many, monkeypatch):
    """Rows and pairs in lists take 1100 to 1300 bytes each, with the file up to 3000."""
    monkeypatch.setattr(formats, "_BATCH", 100)
    QAStream(many).check()  # what is imported at the first reading counts for none
    tracemalloc.start()
    stream = QAStream(many)
    stream.check()
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2000 * 900
    assert most < 2000 * 900 + Path(many).stat().st_size + 200_000


def test_rows_are_parsed_once_however_often_they_are_looked_at(tmp_path, monkeypatch, letters):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "response": "b"}\n' * 20)
    parsed = []
    true = formats._Decoder.decode
    monkeypatch.setattr(
        formats._Decoder, "decode", lambda self, text: parsed.append(text) or true(self, text)
    )
    QAStream(str(path), where={"prompt": "a"}).check()
    assert len(parsed) == 20


def test_bad_rows_among_good_ones_are_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": "x", "b": "1"}\n{"a": "", "b": ""}\n{"a": "z", "b": "2"}\n')
    stream = QAStream(str(path), "a", "b", on_bad_rows="drop")
    stream.check()
    pairs = [(each.place.row, each.prompt, each.response) for each in stream._checked.samples]
    assert pairs == [(1, "x", "1"), (3, "z", "2")]


def test_responses_of_several_columns_come_row_by_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"p": "x", "one": "1", "two": "2"}\n{"p": "y", "one": "3", "two": "4"}\n')
    stream = QAStream(str(path), "p", responses=[{"field": "one"}, {"field": "two"}])
    stream.check()
    assert [each.response for each in stream._checked.samples] == ["1", "2", "3", "4"]


def test_a_parquet_file_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "_BATCH", 3)
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": list(range(8))}), path, row_group_size=5)
    table = read_rows(str(path))
    assert [tuple(row) for row in table.rows] == [(Place(n + 1), {"a": n}) for n in range(8)]
    (tmp_path / "torn.parquet").write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="broken Parquet"):
        QAStream(str(tmp_path / "torn.parquet")).check()
