from __future__ import annotations

import pytest

from unlearnkit.data.rows.delimited import read_csv, read_lines, read_text


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_in_the_first_line(separator) -> None:
    raw = f"a{separator}b\n1{separator}'2 x'\n".encode()
    (row,) = read_csv("t.csv", raw).rows
    assert row.fields == {"a": "1", "b": "'2 x'"}


def test_lines_are_those_of_the_file_and_rows_are_counted_apart() -> None:
    table = read_csv("t.csv", b'a,b\n"x\ny",1\n\n2\n3,4\n')
    assert [(r.place.row, r.line) for r in table.rows] == [(1, 2), (3, 6)]
    (problem,) = table.problems
    assert (problem.place.row, problem.line) == (2, 5)
    assert problem.found == "1 columns, with ',' between them"


def test_a_name_that_stands_twice_and_an_open_quote_are_refused() -> None:
    (twice,) = read_csv("t.csv", b"a,a\n1,2\n").problems
    assert (twice.line, twice.field) == (1, "a")
    (broken,) = read_csv("t.csv", b'a,b\n1,"2\n').problems
    assert "broken CSV" in broken.found


def test_plain_text_is_one_row_or_a_row_a_line() -> None:
    assert [r.fields["text"] for r in read_text("t.txt", b"a\r\n\r\nb").rows] == ["a\n\nb"]
    assert [
        (r.place.row, r.line, r.fields["text"]) for r in read_lines("t", b" a\n\nb\n").rows
    ] == [
        (1, 1, "a"),
        (2, 3, "b"),
    ]
    assert len(read_text("t.txt", b" \n").rows) == 0
