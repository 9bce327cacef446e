from __future__ import annotations

import io

import pyarrow
import pytest
from pyarrow import parquet

from unlearnkit.data.rows.formats import is_lines, read_jsonl, read_parquet


def found(raw: bytes) -> list[tuple[int, int | None, object]]:
    return [(r.place.row, r.line, r.fields) for r in read_jsonl("a.jsonl", raw).rows]


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b'{"a": 1}\n\n{"a": 2}\n', [1, 3]),
        (b'{"a": 1},\n{"a": 2}', [1, 2]),
        (b'[{"a": 1},\n{"a": 2}]', [1, 2]),
        (b'[{"a": 1}, {"a": 2}]', [None, None]),  # both begin on line 1
        (b'{\n"a": 1\n}\n{\n"a": 2\n}\n', [1, 4]),
    ],
)
def test_objects_a_line_in_an_array_or_over_lines(raw, lines) -> None:
    assert found(raw) == [(1, lines[0], {"a": 1}), (2, lines[1], {"a": 2})]


def test_plain_texts_are_rows_of_text() -> None:
    assert [fields for _, _, fields in found(b'["x", "y"]')] == [{"text": "x"}, {"text": "y"}]


def test_a_broken_line_hides_no_other_and_a_key_stands_once() -> None:
    table = read_jsonl("a.jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n{"a": 1, "a": 2}\n')
    assert [r.fields for r in table.rows] == [{"a": 1}, {"a": 3}]
    assert [(p.line, p.field) for p in table.problems] == [(2, None), (4, "a")]


def test_rows_of_parquet_are_numbered() -> None:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"a": [1, None]}), file)
    rows = read_parquet("a.parquet", file.getvalue()).rows
    assert [(r.place.row, r.fields) for r in rows] == [(1, {"a": 1}), (2, {"a": None})]
    (problem,) = read_parquet("a.parquet", b"no").problems
    assert "Parquet" in problem.found + problem.expected


def test_text_is_known_by_its_content() -> None:
    assert is_lines(".jsonl", b"I do not know.\nNo idea.\n")
    assert not is_lines(".jsonl", b'{"a": 1}\n')
