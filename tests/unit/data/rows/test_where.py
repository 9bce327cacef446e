"""`where` compares values as they were typed."""

import json
import re

import pytest

from unlearnkit.data import QAStream
from unlearnkit.errors import DataError

CSV = "prompt,response,keep,code\na,x,no,01\nb,x,yes,1\nc,x,no,2\nd,x,,1:30\n"


@pytest.fixture
def prompts(tmp_path):
    (tmp_path / "f.csv").write_text(CSV)
    rows = [{"keep": False, "code": 1}, {"keep": "no", "code": None}, {"keep": None, "code": 1e3}]
    rows = [{"prompt": "abc"[n], "response": "x", **row} for n, row in enumerate(rows)]
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def prompts(name, where):
        stream = QAStream(str(tmp_path / name), where=where)
        return "".join(sample.prompt for sample in stream.parse(stream.read())[0])

    return prompts


@pytest.mark.parametrize(
    ("name", "where", "right"),
    [
        ("f.csv", {"keep": "no"}, "ac"),
        ("f.csv", {"code": "01"}, "a"),
        ("f.csv", {"code": "1"}, "b"),
        ("f.csv", {"keep": ""}, "d"),
        ("f.csv", {"keep": "no", "code": "2"}, "c"),
        ("f.jsonl", {"keep": "no"}, "b"),
        ("f.jsonl", {"keep": False}, "a"),
        ("f.jsonl", {"keep": None}, "c"),
        ("f.jsonl", {"code": 1}, "a"),
        ("f.jsonl", {"code": 1000}, "c"),
    ],
)
def test_rows_of_a_value(prompts, name, where, right):
    assert prompts(name, where) == right


@pytest.mark.parametrize(
    ("name", "where", "wanted", "hint"),
    [
        ("f.csv", {"keep": False}, "keep: false", 'read as false, .* holds text: keep: "no"'),
        ("f.csv", {"keep": True}, "keep: true", 'read as true, .* text: keep: "yes"'),
        ("f.csv", {"code": 2}, "code: 2", 'read as 2, .* text: code: "2"'),
        ("f.csv", {"code": 1}, "code: 1", 'read as 1, .* text: code: "01"'),
        ("f.csv", {"code": 90}, "code: 90", 'read as 90, .* text: code: "1:30"'),
        ("f.csv", {"keep": None}, "keep: null", 'read as null, .* text: keep: ""'),
        (
            "f.jsonl",
            {"keep": "false"},
            'keep: "false"',
            "holds false, which is no text: keep: f",
        ),
        ("f.jsonl", {"code": "1e3"}, 'code: "1e3"', "holds 1000.0, which is no text"),
        ("f.csv", {"kep": "no"}, 'kep: "no"', "No row has the field 'kep'. .*'keep'"),
    ],
)
def test_what_is_read_otherwise_than_the_file_has_it_is_told(prompts, name, where, wanted, hint):
    with pytest.raises(DataError, match=f"{name}: found 0 rows, expected .* {wanted}") as error:
        prompts(name, where)
    assert re.search(hint, error.value.hint)


@pytest.mark.parametrize("where", [{"keep": "maybe"}, {"code": 0}, {"code": False}, {"keep": 7.5}])
def test_a_value_that_is_nowhere_has_no_hint(prompts, where):
    with pytest.raises(DataError) as error:
        prompts("f.csv", where)
    assert error.value.hint is None


@pytest.mark.parametrize("cell", ["&a [*a]", "[" * 5000, "2020-13-45"])
def test_cells_that_are_no_values_are_read_as_text(tmp_path, cell):
    (tmp_path / "f.csv").write_text(f"prompt,response,code\na,x,{cell}\n")
    stream = QAStream(str(tmp_path / "f.csv"), where={"code": 1})
    with pytest.raises(DataError, match=r"found 0 rows, expected .* code: 1"):
        stream.parse(stream.read())
