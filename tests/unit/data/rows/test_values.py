from __future__ import annotations

import pytest

from unlearnkit.data.rows.table import Row, Table, packed
from unlearnkit.data.rows.values import check_columns, check_fields, kind_of, quoted, text_fault
from unlearnkit.errors import DataError, Place


def table(*rows: dict) -> Table:
    return Table("a.jsonl", packed(Row(Place(i, i), r) for i, r in enumerate(rows, 1)), [])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "boolean"),
        (1.5, "number"),
        ("", "text"),
        ({}, "object"),
        ([], "array"),
    ],
)
def test_kinds_have_the_names_of_json(value, kind) -> None:
    assert kind_of(value) == kind


def test_what_is_no_usable_text_is_named() -> None:
    assert text_fault("a") is None
    assert [text_fault(each) for each in ("", " ", 3)] == ["empty text", "blank text", "number"]
    assert text_fault("", may_be_empty=True) is None
    assert "surrogate" in (text_fault("a\ud800") or "")


def test_good_rows_are_kept_and_each_bad_field_is_a_problem() -> None:
    given = table({"q": "a", "r": "b"}, {"q": "", "r": 1}, {"q": "c", "s": "d"})
    rows, problems = check_fields(given, {"prompt": "q", "response": "r"})
    assert [row.line for row in rows] == [1]
    assert [(p.line, p.field, p.found) for p in problems] == [
        (2, "q", "empty text"),
        (2, "r", "number"),
        (3, "r", "the fields 'q', 's'"),
    ]


def test_a_column_that_no_row_has_is_told_once() -> None:
    with pytest.raises(DataError, match="found the fields 'q'"):
        check_columns(table({"q": "a"}, {"q": "b"}), {"prompt": "prompt"})
    with pytest.raises(DataError, match="numbers in all rows"):
        check_fields(table({"q": 1}, {"q": 2}), {"prompt": "q"})
    assert (quoted(["a", "b"]), quoted([])) == ("'a', 'b'", "none")


def test_a_row_without_a_column_names_its_setting() -> None:
    rows = [Row(Place(1, 1), {"prompt": "a"}), Row(Place(2, 2), {"prompts": "b"})]
    _, (problem,) = check_fields(Table("f.jsonl", rows, []), {"prompt_field": "prompt"})
    assert str(problem) == (
        "f.jsonl, line 2, field 'prompt': found 'prompts', expected 'prompt', which is "
        "`prompt_field`"
    )
