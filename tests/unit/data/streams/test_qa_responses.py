"""Files with several responses in a row."""

import json

import pytest
from stub import stub_tokenizer

from unlearnkit.data import QAStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, RecipeError

LETTERS = stub_tokenizer()
UNSAFE = [
    {"field": "response_0", "where": {"is_response_0_safe": False}},
    {"field": "response_1", "where": {"is_response_1_safe": False}},
]


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def pair(prompt, first, second, safe):
    return {
        "prompt": prompt,
        "response_0": first,
        "response_1": second,
        "is_response_0_safe": safe[0],
        "is_response_1_safe": safe[1],
    }


def texts(stream):
    data = stream.encode("forget", Codec(LETTERS, 64), {}, 0)
    examples = [example for row in range(len(data)) for example in data.at(row, 0)]
    return [(LETTERS.decode(e.prompt_ids), LETTERS.decode(e.response_ids[:-1])) for e in examples]


def test_responses_whose_flag_is_set_in_the_order_of_the_file(write):
    path = write(
        pair("a", "aa", "ab", (True, False)),
        pair("b", "ba", "bb", (True, True)),
        pair("c", "ca", "cb", (False, False)),
    )
    assert texts(QAStream(path, responses=UNSAFE)) == [("a", "ab"), ("c", "ca"), ("c", "cb")]


def test_with_arrays_too(write):
    path = write({"prompt": "a", "best": "b", "others": ["c", "d"]})
    columns = [{"field": "best"}, {"field": "others"}]
    stream = QAStream(path, responses=columns, explode=True)
    assert texts(stream) == [("a", "b"), ("a", "c"), ("a", "d")]


def test_a_fault_is_named_with_its_own_column_and_only_where_it_is_used(write):
    path = write(pair("a", "aa", 3, (True, False)), pair("b", 4, "bb", (True, False)))
    with pytest.raises(DataError) as error:
        QAStream(path, responses=UNSAFE).check()
    (problem,) = error.value.problems
    assert (problem.line, problem.field, problem.found) == (1, "response_1", "number")


@pytest.mark.parametrize(
    "columns", [[{"field": "reply"}], [{"field": "response_0", "where": {"is_safe": False}}]]
)
def test_a_column_that_no_row_has_is_an_error_and_not_no_rows(write, columns):
    path = write(pair("a", "aa", "ab", (True, False)))
    with pytest.raises(DataError, match="found the fields"):
        QAStream(path, responses=columns).check()


def test_conditions_that_no_row_meets(write):
    path = write(pair("a", "aa", "ab", (True, True)))
    with pytest.raises(DataError, match="at least one response whose conditions"):
        QAStream(path, responses=UNSAFE).check()


def test_no_column_is_refused():
    with pytest.raises(RecipeError, match="responses: expected at least one column"):
        QAStream("a.jsonl", responses=[])
