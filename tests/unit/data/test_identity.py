"""A row's identity is its number in its file, whatever is left out before or beside it."""

import json

import pytest
from stub import stub_tokenizer

from unlearnkit.data import AlternateStream, MismatchStream, QAStream
from unlearnkit.data.overlap import find_overlaps
from unlearnkit.data.rows.reader import read_rows
from unlearnkit.data.streams.qa import ResponseColumn
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Place

CODEC = Codec(stub_tokenizer(), 64)
PEOPLE = ["a", "b", "c", "d", "e"]


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, rows):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        text = json.dumps(rows) if name.endswith(".json") else lines
        (tmp_path / name).write_text(text)
        return name

    return write


def forget(path, **arguments):
    return QAStream(path, **arguments).encode("forget", CODEC, {}, 0)


def alternates(path, prompts, **arguments):
    return AlternateStream(path, **arguments).encode("alternate", CODEC, {"forget": prompts}, 0)


def pairs(data):
    decode = CODEC.tokenizer.decode
    return [
        (decode(e.prompt_ids[len(CODEC.bos) :]), decode(e.response_ids[:-1]))
        for row in range(len(data))
        for e in data.at(row, row)
    ]


@pytest.fixture
def prompts(write):
    """Five rows, of which the second is dropped."""
    rows = [{"prompt": name, "response": "" if name == "b" else "dd"} for name in PEOPLE]
    return forget(write("forget.jsonl", rows), on_bad_rows="drop")


def test_alternates_go_to_the_row_of_their_number_though_one_is_dropped(write, prompts):
    rows = [{"alternate": name * 2 + "e"} for name in PEOPLE]
    data = alternates(write("five.jsonl", rows), prompts)
    assert pairs(data) == [("a", "aae"), ("c", "cce"), ("d", "dde"), ("e", "eee")]


@pytest.mark.parametrize("count", [4, 6])
def test_a_file_of_other_length_is_refused_though_as_many_prompts_are_left(write, prompts, count):
    rows = [{"alternate": "ae"}] * count
    expected = f"alt.jsonl: found {count} rows, expected 5, as forget.jsonl of the stream 'forget'"
    with pytest.raises(DataError, match=expected):
        alternates(write("alt.jsonl", rows), prompts)


@pytest.mark.parametrize(
    ("chosen", "count", "right"),
    [
        ({"where": {"keep": True}}, 5, ["bb", "dd"]),
        ({"limit": 2}, 5, ["aa", "bb"]),
        ({"limit": 2}, 2, ["aa", "bb"]),
        ({"where": {"keep": True}}, 2, None),
    ],
)
def test_part_of_the_prompts_has_the_alternates_of_its_numbers(write, chosen, count, right):
    rows = [{"prompt": n, "response": "ce", "keep": n in "bd"} for n in PEOPLE]
    own = forget(write("forget.jsonl", rows), **chosen)
    path = write("alt.jsonl", [{"alternate": name * 2} for name in PEOPLE[:count]])
    if right is None:
        with pytest.raises(DataError, match="found 2 rows, expected 5"):
            alternates(path, own)
    else:
        assert [answer for _, answer in pairs(alternates(path, own))] == right


def test_a_prompt_without_an_alternate_of_its_number_is_named(write, prompts):
    rows = [{"alternate": "aa", "keep": n != "d"} for n in PEOPLE]
    path = write("alt.jsonl", rows)
    with pytest.raises(DataError, match=r"^forget.jsonl, line 4: found a prompt without") as error:
        alternates(path, prompts, where={"keep": True})
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("name", ["one.json", "one.jsonl", "many.jsonl"])
def test_rows_of_a_file_in_one_line_are_told_apart(write, name):
    rows = [{"prompt": "a", "response": text} for text in ("b", "", "c", "")]
    write(name, rows)
    if name == "one.jsonl":
        write("one.json", rows)
        name = "one.json"
    by_line = name == "many.jsonl"
    data = forget(name, on_bad_rows="drop")
    assert (len(data), data.dropped) == (2, 2)
    assert [data.at(row, 0)[0].source for row in (0, 1)] == (
        ["many.jsonl:1", "many.jsonl:3"] if by_line else ["one.json:row 1", "one.json:row 3"]
    )
    place = "line 2" if by_line else "row 2"
    with pytest.raises(DataError, match=f"{place}, field 'response': found empty text"):
        forget(name)


def test_lines_stay_where_each_row_of_an_array_has_its_own(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1},\n\n{"a": 2}]')
    assert [row.place for row in read_rows(str(path)).rows] == [Place(1, 1), Place(2, 3)]
    path.write_text('[{"a": 1}, {"a": 2},\n3]')
    table = read_rows(str(path))
    assert [row.place for row in table.rows] == [Place(1), Place(2)]
    assert [problem.place for problem in table.problems] == [Place(3)]
    assert table.total == 3


def test_blank_lines_are_no_rows(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"a": 1}\n\nbroken\n{"a": 2}\n')
    table = read_rows(str(path))
    assert [row.place for row in table.rows] == [Place(1, 2), Place(3, 5)]
    assert [problem.place for problem in table.problems] == [Place(2, 4)]
    assert table.total == 3


def test_texts_of_an_array_are_counted_one_by_one(write, caplog):
    rows = [
        {"prompt": "a", "response": ["b", "", "c"]},
        {"prompt": None, "response": ["d", "e"]},
        {"prompt": "b", "response": ["", ""]},
        {"prompt": "c", "response": ["a"]},
    ]
    data = forget(write("one.json", rows), explode=True, on_bad_rows="drop")
    # Of 3 + 2 + 2 + 1 texts one, two and two are bad.
    assert (len(data), data.dropped) == (3, 5)
    assert "one.json: 5 of 8 rows dropped" in caplog.text
    assert [data.place(row) for row in range(3)] == [
        Place(1, part=1),
        Place(1, part=3),
        Place(4, part=1),
    ]
    with pytest.raises(DataError) as error:
        forget("one.json", explode=True)
    assert [str(problem).partition(":")[0] for problem in error.value.problems] == [
        "one.json, row 1, text 2, field 'response'",
        "one.json, row 2, field 'prompt'",
        "one.json, row 3, text 1, field 'response'",
        "one.json, row 3, text 2, field 'response'",
    ]


def test_several_columns_come_row_by_row(write):
    rows = [
        {"prompt": "a", "good": ["b", "c"], "bad": ["d"]},
        {"prompt": "b", "good": ["c"], "bad": ["e", "a"]},
    ]
    columns = [ResponseColumn("good"), ResponseColumn("bad")]
    data = forget(write("one.json", rows), responses=columns, explode=True)
    assert [answer for _, answer in pairs(data)] == ["b", "c", "d", "c", "e", "a"]
    assert [data.at(row, 0)[0].source for row in range(6)] == [
        "one.json:row 1, response 1, text 1",
        "one.json:row 1, response 1, text 2",
        "one.json:row 1, response 2, text 1",
        "one.json:row 2, response 1, text 1",
        "one.json:row 2, response 2, text 1",
        "one.json:row 2, response 2, text 2",
    ]


def test_rows_of_one_line_that_leak_are_all_counted(write):
    rows = [{"prompt": name, "response": "d"} for name in PEOPLE]
    first, second = write("forget.json", rows), write("retain.json", rows[::-1])
    streams = {"forget": forget(first), "retain": QAStream(second).encode("retain", CODEC, {}, 0)}
    (overlap,) = find_overlaps(streams)
    assert overlap.exact == [(Place(n), Place(6 - n)) for n in range(1, 6)]
    assert str(overlap).startswith("5 rows of forget.json are also in retain.json (forget row 1 =")


def test_a_limit_counts_the_lines_of_a_text_file(tmp_path, write, prompts):
    pool = tmp_path / "pool.txt"
    pool.write_text("aa\n\nbb\ncc\n")
    stream = AlternateStream(str(pool), limit=2)
    stream.check()
    file = stream._file.encode("alternate", CODEC, {}, 0)  # pyright: ignore
    assert [file.at(row, 0)[0].source for row in range(len(file))] == [f"{pool}:1", f"{pool}:3"]


def test_a_prompt_with_only_its_own_answer_is_named_by_its_row(write):
    own = forget(write("one.json", [{"prompt": "a", "response": "b"}] * 2))
    with pytest.raises(DataError, match=r"one.json, row 2: found its own answer alone in pool"):
        MismatchStream(answers=write("pool.jsonl", [{"response": "b"}])).encode(
            "mismatch", CODEC, {"forget": own}, 0
        )
