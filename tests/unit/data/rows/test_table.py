from __future__ import annotations

from unlearnkit.data.rows.table import (
    Row,
    Table,
    chosen,
    joined,
    located,
    packed,
    repeated_names,
    with_telling_lines,
)
from unlearnkit.errors import Place, Problem


def table(name: str, *values: int, lines: bool = True) -> Table:
    rows = [Row(Place(i, i if lines else 1), {"x": v}) for i, v in enumerate(values, start=1)]
    return Table(name, packed(rows), [], total=len(values))


def test_rows_are_chosen_by_value_and_the_first_of_them() -> None:
    found = chosen(table("a", 1, 2, 1, 1), {"x": 1}, limit=2)
    assert [row.place.row for row in found.rows] == [1, 3]
    assert chosen(table("a", 1, 2), {}, None).rows[1].fields == {"x": 2}


def test_lines_that_tell_no_rows_apart_are_left_out() -> None:
    assert [row.line for row in with_telling_lines(table("a", 5, 6)).rows] == [1, 2]
    assert [row.line for row in with_telling_lines(table("a", 5, 6, lines=False)).rows] == [
        None
    ] * 2


def test_several_files_are_numbered_through_and_a_problem_finds_its_own() -> None:
    whole = joined("*", [table("a", 1, 2), table("b", 3)])
    assert [row.place.row for row in whole.rows] == [1, 2, 3]
    assert whole.total == 3
    problem = located(Problem("*", Place(3), None, "", ""), whole.files)
    assert (problem.file, problem.place) == ("b", Place(1))


def test_numbers_count_rows_that_cannot_be_read() -> None:
    found = table("a", 7)._replace(problems=[Problem("a", Place(4), None, "", "")] * 2)
    assert found.row_numbers().tolist() == [1, 4]
    assert repeated_names(["a", "b", "a"]) == ["a"]
