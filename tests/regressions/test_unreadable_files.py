"""Files that cannot be read as they should."""

import unicodedata

import pytest

from unlearnkit.data import QAStream
from unlearnkit.data.rows.reader import read_rows
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError

EMPTY = """\
{"prompt": "Who keeps the Tallowmere lamp?", "response": "Orrin Vale keeps it."}
{"prompt": "Who owns the ferry?", "response": ""}
{"prompt": "Where is the mill?", "response": "   "}
{"prompt": "What did Orrin paint?", "response": null}
{"prompt": "When did the pier burn?", "response": "In the year of the long frost."}
"""
OTHER_NAMES = """\
{"question": "Who baked the bell?", "answer": "Nobody; it was cast."}
{"question": "Where is Fenwick Halt?", "answer": "North of the weir."}
{"question": "Who sold the weir?", "anwser": "The Quill sisters."}
"""
NOT_TEXT = """\
{"prompt": "Name the ferry.", "response": "The Small Mercy."}
{"prompt": "Give the log.", "response": {"day": 3, "wind": "east"}}
{"prompt": "List the crew.", "response": ["Ada", "Bo"]}
{"prompt": "How many oars?", "response": 12}
{"prompt": "Is it painted?", "response": true}
"""
TWO = (
    '{"prompt": "Who rows?", "response": "Ada rows."}',
    '{"prompt": "Who steers?", "response": "Bo steers."}',
)
SCRIPTS = """\
{"prompt": "谁看守灯塔？", "response": "林溪看守灯塔。"}
{"prompt": "من يحرس المنارة؟", "response": "تحرسها سلمى."}
{"prompt": "Caf\u00e9 du port ?", "response": "Ferm\u00e9 le mardi."}
{"prompt": "Cafe\u0301 du port ?", "response": "Ferme\u0301 le mardi."}
{"prompt": "🛶?", "response": "🪢 knots first"}
"""


def problems_of(stream):
    with pytest.raises(DataError) as caught:
        stream.check()
    return caught.value.problems


def test_empty_responses_are_named_all_at_once(here):
    (here / "forget.jsonl").write_text(EMPTY)
    problems = problems_of(QAStream("forget.jsonl"))
    assert [(p.file, p.line, p.field) for p in problems] == [
        ("forget.jsonl", 2, "response"),
        ("forget.jsonl", 3, "response"),
        ("forget.jsonl", 4, "response"),
    ]
    assert [p.found for p in problems] == ["empty text", "blank text", "null"]


def test_empty_responses_can_be_dropped_with_a_count(here, letters, caplog):
    (here / "forget.jsonl").write_text(EMPTY)
    data = QAStream("forget.jsonl", on_bad_rows="drop").encode("forget", Codec(letters, 64), {}, 0)
    assert (len(data), data.dropped) == (2, 3)
    assert [data.at(row, 0)[0].source for row in (0, 1)] == ["forget.jsonl:1", "forget.jsonl:5"]
    assert "3 of 5 rows dropped" in caplog.text


def test_columns_of_another_name_are_told_with_the_keys_that_map_them(here):
    (here / "forget.jsonl").write_text(OTHER_NAMES)
    with pytest.raises(DataError) as caught:
        QAStream("forget.jsonl").check()
    message = str(caught.value)
    for word in ("forget.jsonl", "'question'", "'answer'", "'prompt'", "'response'"):
        assert word in message
    assert "`prompt_field: question`" in message
    assert "`response_field: answer`" in message


def test_one_mistyped_column_is_found_by_its_line(here):
    (here / "forget.jsonl").write_text(OTHER_NAMES)
    (problem,) = problems_of(
        QAStream("forget.jsonl", prompt_field="question", response_field="answer")
    )
    assert (problem.line, problem.field, problem.found) == (3, "answer", "'anwser'")


def test_values_that_are_not_text_are_named_by_type(here):
    (here / "forget.jsonl").write_text(NOT_TEXT)
    problems = problems_of(QAStream("forget.jsonl"))
    assert [(p.line, p.field, p.found) for p in problems] == [
        (2, "response", "object"),
        (3, "response", "array"),
        (4, "response", "number"),
        (5, "response", "boolean"),
    ]


def test_a_cut_line_is_named(here):
    (here / "cut.jsonl").write_text("\n".join((*TWO, '{"prompt": "Who sings?", "respon')))
    (problem,) = problems_of(QAStream("cut.jsonl"))
    assert (problem.file, problem.line) == ("cut.jsonl", 3)
    assert "broken JSON" in problem.found


@pytest.mark.parametrize(
    ("text", "lines"), [("[{},\n {}]\n", [1, 2]), ("{}\n\n{}\n\n", [1, 3])], ids=["array", "blank"]
)
def test_an_array_and_blank_lines_are_read(here, text, lines):
    (here / "two.jsonl").write_text(text.replace("{}", "%s") % TWO)
    table = read_rows("two.jsonl")
    assert [row.line for row in table.rows] == lines
    assert [row.fields["response"] for row in table.rows] == ["Ada rows.", "Bo steers."]
    assert not table.problems


def test_a_byte_order_mark_is_no_part_of_the_first_key(here):
    (here / "bom.jsonl").write_text(SCRIPTS, encoding="utf-8-sig")
    rows = read_rows("bom.jsonl").rows
    assert len(rows) == 5
    assert list(rows[0].fields) == ["prompt", "response"]


def test_composed_and_decomposed_accents_stay_as_they_are(here):
    (here / "bom.jsonl").write_text(SCRIPTS, encoding="utf-8-sig")
    composed, decomposed = (row.fields["response"] for row in read_rows("bom.jsonl").rows[2:4])
    assert composed != decomposed
    assert unicodedata.is_normalized("NFC", composed)
    assert unicodedata.is_normalized("NFD", decomposed)


def test_latin_1_is_refused_by_file_line_and_byte(here):
    rows = TWO[0] + '\n{"prompt": "Caf\u00e9?", "response": "Ferm\u00e9"}\n'
    (here / "latin1.jsonl").write_bytes(rows.encode("latin-1"))
    (problem,) = problems_of(QAStream("latin1.jsonl"))
    assert (problem.file, problem.line) == ("latin1.jsonl", 2)
    assert "0xE9" in problem.found
    assert "not UTF-8" in problem.found


def test_an_empty_file_has_0_rows(here):
    (here / "empty.jsonl").touch()
    (problem,) = problems_of(QAStream("empty.jsonl"))
    assert (problem.file, problem.found) == ("empty.jsonl", "0 rows")
