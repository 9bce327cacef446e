from __future__ import annotations

from unlearnkit.errors import DataError, Interrupted, Place, Problem, UserError, in_file_order


def test_a_hint_stands_on_a_line_of_its_own() -> None:
    assert str(UserError("no", hint="Do this.")) == "no\nDo this."
    assert str(UserError("no")) == "no"
    assert (Interrupted("out", signum=2).signum, Interrupted("out", signum=2).title) == (
        2,
        "stopped",
    )


def test_a_place_names_what_tells_it_from_others() -> None:
    assert str(Place(2, 5, 3, 1)) == "5, response 3, text 1"
    assert str(Place(2)) == "row 2"
    assert (Place(2, 5).words, Place(2).words) == ("line 5", "row 2")
    assert Place(2, 5).identity == Place(2, 9).identity  # lines are for messages only
    assert Place(2, 5, 1).identity != Place(2, 5, 2).identity


def test_a_problem_says_file_place_field_found_and_expected() -> None:
    problem = Problem("a.jsonl", Place(1, 4), "prompt", "null", "text")
    assert str(problem) == "a.jsonl, line 4, field 'prompt': found null, expected text"
    assert str(Problem("a.jsonl", None, None, "0 rows", "rows")).startswith("a.jsonl: found 0 rows")
    assert (problem.line, Problem("a", 7, None, "x", "y").line) == (4, 7)


def test_problems_come_in_the_order_of_the_file() -> None:
    of_file, of_row, of_line = None, Place(3), 1
    problems = [Problem("a", place, None, "", "") for place in (of_line, of_row, of_file, Place(1))]
    places = [each.place for each in sorted(problems, key=in_file_order)]
    assert places == [None, Place(1), Place(3), 1]
    assert str(DataError(problems[1:3])).count("\n") == 1
