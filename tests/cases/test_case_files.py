"""Cases 01 to 04 and 15: files that cannot be read as they should."""

import unicodedata

import pytest

from unlearnkit.data import QAStream
from unlearnkit.data.rows.reader import read_rows
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError


def problems_of(stream):
    with pytest.raises(DataError) as caught:
        stream.check()
    return caught.value.problems


def test_01_empty_responses_are_named_all_at_once(in_case):
    in_case("01")
    problems = problems_of(QAStream("forget.jsonl"))
    assert [(p.file, p.line, p.field) for p in problems] == [
        ("forget.jsonl", 2, "response"),
        ("forget.jsonl", 3, "response"),
        ("forget.jsonl", 4, "response"),
    ]
    assert [p.found for p in problems] == ["empty text", "blank text", "null"]


def test_01_empty_responses_can_be_dropped_with_a_count(in_case, letters, caplog):
    in_case("01")
    data = QAStream("forget.jsonl", on_bad_rows="drop").encode("forget", Codec(letters, 64), {}, 0)
    assert (len(data), data.dropped) == (2, 3)
    assert [data.at(row, 0)[0].source for row in (0, 1)] == ["forget.jsonl:1", "forget.jsonl:5"]
    assert "3 of 5 rows dropped" in caplog.text


def test_02_columns_of_another_name_are_told_with_the_keys_that_map_them(in_case):
    in_case("02")
    with pytest.raises(DataError) as caught:
        QAStream("forget.jsonl").check()
    message = str(caught.value)
    for word in ("forget.jsonl", "'question'", "'answer'", "'prompt'", "'response'"):
        assert word in message
    assert "`prompt_field: question`" in message
    assert "`response_field: answer`" in message


def test_02_one_mistyped_column_is_found_by_its_line(in_case):
    in_case("02")
    (problem,) = problems_of(
        QAStream("forget.jsonl", prompt_field="question", response_field="answer")
    )
    assert (problem.line, problem.field, problem.found) == (3, "answer", "'anwser'")


def test_03_values_that_are_not_text_are_named_by_type(in_case):
    in_case("03")
    problems = problems_of(QAStream("forget.jsonl"))
    assert [(p.line, p.field, p.found) for p in problems] == [
        (2, "response", "object"),
        (3, "response", "array"),
        (4, "response", "number"),
        (5, "response", "boolean"),
    ]


def test_04_a_cut_line_is_named(in_case):
    in_case("04")
    (problem,) = problems_of(QAStream("cut.jsonl"))
    assert (problem.file, problem.line) == ("cut.jsonl", 3)
    assert "broken JSON" in problem.found


@pytest.mark.parametrize(("file", "lines"), [("array.jsonl", [1, 2]), ("blank.jsonl", [1, 3])])
def test_04_an_array_and_blank_lines_are_read(in_case, file, lines):
    in_case("04")
    table = read_rows(file)
    assert [row.line for row in table.rows] == lines
    assert [row.fields["response"] for row in table.rows] == ["Ada rows.", "Bo steers."]
    assert not table.problems


def test_15_a_byte_order_mark_is_no_part_of_the_first_key(in_case):
    in_case("15")
    rows = read_rows("bom.jsonl").rows
    assert len(rows) == 5
    assert list(rows[0].fields) == ["prompt", "response"]


def test_15_composed_and_decomposed_accents_stay_as_they_are(in_case):
    in_case("15")
    composed, decomposed = (row.fields["response"] for row in read_rows("bom.jsonl").rows[2:4])
    assert composed != decomposed
    assert unicodedata.is_normalized("NFC", composed)
    assert unicodedata.is_normalized("NFD", decomposed)


def test_15_latin_1_is_refused_by_file_line_and_byte(in_case):
    in_case("15")
    (problem,) = problems_of(QAStream("latin1.jsonl"))
    assert (problem.file, problem.line) == ("latin1.jsonl", 2)
    assert "0xE9" in problem.found
    assert "not UTF-8" in problem.found


def test_48_an_empty_file_has_0_rows(in_case):
    in_case("48")
    (problem,) = problems_of(QAStream("empty.jsonl"))
    assert (problem.file, problem.found) == ("empty.jsonl", "0 rows")
