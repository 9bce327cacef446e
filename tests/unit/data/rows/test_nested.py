"""Rows below a field, dotted names, and files of texts without names."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from unlearnkit.data.rows.nested import rows_below, value_at, with_fields
from unlearnkit.data.rows.reader import read_rows
from unlearnkit.data.streams.chat import ChatStream
from unlearnkit.data.streams.idk import IdkStream
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.data.streams.text import TextStream
from unlearnkit.errors import DataError, Place


def write(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def pairs(stream):
    samples, problems = stream.parse(stream.read())
    assert not problems
    return [(sample.prompt, sample.response) for sample in samples]


def texts(stream):
    samples, problems = stream.parse(stream.read())
    assert not problems
    return [sample.text for sample in samples]


@pytest.mark.parametrize(
    "content",
    ['["one two", "three"]', '"one two"\n"three"\n', '"one two",\n"three"'],
    ids=["array", "lines", "lines with commas"],
)
@pytest.mark.parametrize("name", ["forget.json", "forget.jsonl"])
def test_an_array_of_texts_is_rows_of_text(tmp_path, name, content):
    path = write(tmp_path, name, content)
    assert [row.fields for row in read_rows(path).rows] == [{"text": "one two"}, {"text": "three"}]
    assert texts(TextStream(path)) == ["one two", "three"]
    assert texts(TextStream(path, text_field="passage")) == ["one two", "three"]
    assert texts(IdkStream(answers=path)._file) == ["one two", "three"]


def test_texts_without_names_are_no_pairs(tmp_path):
    path = write(tmp_path, "forget.json", ["one", "two"])
    with pytest.raises(DataError) as caught:
        QAStream(path).check()
    (problem,) = caught.value.problems
    assert problem.found == "plain texts, without names"
    assert problem.expected == "objects with the fields 'prompt', 'response'"
    assert "`text`" in caught.value.hint


def test_texts_and_objects_do_not_mix(tmp_path):
    table = read_rows(write(tmp_path, "a.json", '["one",\n{"text": "two"},\n"three"]'))
    assert [row.fields["text"] for row in table.rows] == ["one", "three"]
    assert [(each.line, each.found) for each in table.problems] == [(2, "object")]


@pytest.mark.parametrize(
    ("content", "rows_at", "expected"),
    [
        ({"version": 1, "data": [{"prompt": "a", "response": "b"}]}, "data", [("a", "b")]),
        (
            {"data": {"train": [{"prompt": "a", "response": "b"}]}},
            "data.train",
            [("a", "b")],
        ),
        (
            [
                {"prompt": "a", "answers": [{"response": "b"}, {"response": "c"}]},
                {"prompt": "d", "answers": [{"response": "e"}]},
            ],
            "answers",
            [("a", "b"), ("a", "c"), ("d", "e")],
        ),
        (
            {"data": [{"prompt": "x", "parts": [{"prompt": "a", "qas": [{"response": "b"}]}]}]},
            "data.*.parts.*.qas",
            [("a", "b")],
        ),
        (
            {"first": {"prompt": "a", "response": "b"}, "k": {"prompt": "c", "response": "d"}},
            "*",
            [("a", "b"), ("c", "d")],
        ),
    ],
    ids=["data", "two deep", "below each row", "wildcards", "an object by id"],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_rows_stand_below_a_field(tmp_path, content, rows_at, expected, indent):
    path = write(tmp_path, "a.json", json.dumps(content, indent=indent))
    assert pairs(QAStream(path, rows_at=rows_at)) == expected


def test_an_object_of_lists_gives_the_texts_of_all_or_of_one_key(tmp_path):
    content = {"John D. Bo": ["one", "two"], "Ann Lee": ["three"]}
    path = write(tmp_path, "all.json", json.dumps(content, indent=2))
    assert texts(TextStream(path, rows_at="*")) == ["one", "two", "three"]
    assert texts(TextStream(path, rows_at="John D. Bo")) == ["one", "two"]
    assert texts(TextStream(path, rows_at="*", where={"key": "Ann Lee"})) == ["three"]
    assert texts(IdkStream(answers=path, rows_at="*")._file) == ["one", "two", "three"]


def test_lists_of_objects_in_parquet_are_rows(tmp_path):
    rows = [{"who": "Bo", "qa": [{"q": "a", "r": "b"}, {"q": "c", "r": "d"}]}] * 3
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    stream = QAStream(str(path), "q", "r", rows_at="qa", template="{prompt}")
    assert pairs(stream) == [("a", "b"), ("c", "d")] * 3


@pytest.mark.parametrize(
    ("content", "rows_at", "found", "expected"),
    [
        ({"date": 1, "rows": []}, "data", "the fields 'date', 'rows'", "the rows below 'data'"),
        ({"data": 3}, "data", "number", "objects or texts below 'data'"),
        ({"data": [[1]]}, "data", "array", "objects or texts below 'data'"),
        ({"data": "x"}, "data.rows", "text", "the rows below 'data.rows'"),
        ({"data": "x"}, "data.*", "text", "the rows below 'data.*'"),
    ],
)
def test_rows_that_are_not_there_are_named(tmp_path, content, rows_at, found, expected):
    with pytest.raises(DataError) as caught:
        QAStream(write(tmp_path, "a.json", content), rows_at=rows_at).check()
    (problem,) = caught.value.problems
    assert (problem.field, problem.found, problem.expected) == ("rows_at", found, expected)


def test_rows_without_the_field_do_not_hide_the_others(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"qa": [{"x": 1}]}\n{"q": 3}\n{"qa": [{"x": 2}, 4]}')
    table = rows_below(read_rows(path), "qa")
    assert [row.fields for row in table.rows] == [{"x": 1}, {"x": 2}]
    # Two of the rows below begin in line 3, so that a line does not tell them apart.
    assert [row.place for row in table.rows] == [Place(1), Place(3)]
    assert [(each.place, each.found) for each in table.problems] == [
        (Place(2), "the fields 'q'"),
        (Place(4), "number"),
    ]
    assert table.total == 4


def test_dotted_names_stand_for_what_is_deeper(tmp_path):
    rows = [
        {
            "doc": {"question": "a", "id": {"kind": "x"}},
            "answers": {"text": ["b", "c"], "by": [{"who": "d"}]},
        },
        {"doc": {"question": "e", "id": {"kind": "y"}}, "answers": {"text": [], "by": []}},
    ]
    path = write(tmp_path, "a.json", rows)
    only = {"where": {"doc.id.kind": "x"}}
    assert pairs(QAStream(path, "doc.question", "answers.text.0", **only)) == [("a", "b")]
    assert pairs(QAStream(path, "doc.question", "answers.by.0.who", **only)) == [("a", "d")]
    exploded = QAStream(path, "doc.question", "answers.text", explode=True, **only)
    assert pairs(exploded) == [("a", "b"), ("a", "c")]
    _, (problem,) = QAStream(path, "doc.question", "answers.text.1").parse(
        QAStream(path, "doc.question", "answers.text.1").read()
    )
    assert (problem.place, problem.field) == (Place(2), "answers.text.1")


def test_a_name_that_has_dots_itself_goes_first(tmp_path):
    path = write(tmp_path, "a.json", [{"q.a": "first", "q": {"a": "second"}, "response": "r"}])
    assert pairs(QAStream(path, "q.a")) == [("first", "r")]
    assert value_at({"a.b": {"c.d": 1}}, "a.b.c.d") == 1
    with pytest.raises(LookupError):
        value_at({"a": [1]}, "a.1")


def test_conversations_below_a_field(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = write(tmp_path, "a.json", {"items": [{"chat": {"turns": turns}}]})
    stream = ChatStream(path, messages_field="chat.turns", rows_at="items")
    (sample,), problems = stream.parse(stream.read())
    assert (sample.messages, problems) == (turns, [])


def test_plain_names_leave_the_rows_as_they_are(tmp_path):
    table = read_rows(write(tmp_path, "a.jsonl", '{"a": {"b": 1}}'))
    assert with_fields(table, ["a", "c"]) is table


@pytest.mark.parametrize("end", ["\n", "\r\n", ",\n", ",\r\n"])
def test_commas_between_json_lines_are_no_fault(tmp_path, end):
    path = tmp_path / "a.jsonl"
    path.write_bytes(f'{{"a": 1}}{end}{{"a": "x,"}}{end}'.encode())
    table = read_rows(str(path))
    assert ([row.fields for row in table.rows], table.problems) == ([{"a": 1}, {"a": "x,"}], [])


@pytest.mark.parametrize(("indent", "lines"), [(None, [1, 2, 3]), (1, [1, 4, 7])])
def test_objects_may_go_over_several_lines(tmp_path, indent, lines):
    content = "\n".join(json.dumps({"a": n}, indent=indent) for n in range(3))
    table = read_rows(write(tmp_path, "a.jsonl", content))
    assert [(row.line, row.fields) for row in table.rows] == [
        (n, {"a": i}) for i, n in enumerate(lines)
    ]
    assert not table.problems
