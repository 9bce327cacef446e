"""Alternate answers are those of the prompt's own row."""

import json

import pytest
from stub import stub_tokenizer

from unlearnkit.data import AlternateStream, QAStream
from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Place, RecipeError

CODEC = Codec(stub_tokenizer(), 64)
ROWS = [
    {"prompt": "a", "response": "aa", "alternate": "bb", "keep": True},
    {"prompt": "b", "response": "aa", "alternate": ["cc", "dd", "ee"], "keep": False},
    {"prompt": "c", "response": "aa", "alternate": "da", "keep": True},
]


@pytest.fixture
def write(tmp_path):
    def write(rows, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def encode(path, forget, **arguments):
    return AlternateStream(path, **arguments).encode("alternate", CODEC, {"forget": forget}, 0)


def prompts(path, **arguments):
    return QAStream(path, **arguments).encode("forget", CODEC, {}, 0)


def answers(data, row, occurrence):
    return [CODEC.tokenizer.decode(e.response_ids[:-1]) for e in data.at(row, occurrence)]


def test_a_column_of_the_prompts_own_file(write):
    path = write(ROWS)
    data = encode(path, prompts(path))
    assert data.follows == "forget"
    assert answers(data, 0, 0) == ["bb"]
    assert answers(data, 2, 2) == ["da"]


def test_the_prompts_may_be_a_part_of_their_file(write):
    path = write(ROWS)
    data = encode(path, prompts(path, where={"keep": True}))
    assert [answers(data, row, row) for row in range(2)] == [["bb"], ["da"]]


def test_several_alternates_come_equally_often_whatever_the_other_rows_do(write):
    path = write(ROWS)
    data = encode(path, prompts(path))
    for cycle in range(3):
        occurrences = [3 * (3 * cycle + epoch) + 1 for epoch in range(3)]
        drawn = [answers(data, 1, each)[0] for each in occurrences]
        assert sorted(drawn) == ["cc", "dd", "ee"]


def test_several_at_once(write):
    path = write(ROWS[1:2])
    data = encode(path, prompts(path), per_prompt=3)
    assert sorted(answers(data, 0, 0)) == ["cc", "dd", "ee"]


def test_answers_of_another_model_that_are_least_alike(write):
    said = ("abababcd", "abababcd", "dededede", "cbcbcbcb", "abababce")
    rows = [
        {"prompt": "a", "samples": [{"text": each, "ids": [9], "ended": True} for each in said]}
    ]
    path, forget = write(rows, "drawn.jsonl"), prompts(write(ROWS[:1]))
    given = {"alternate_field": "samples", "per_prompt": 2}
    data = encode(path, forget, least_alike=2, **given)
    assert {each for n in range(3) for each in answers(data, 0, n)} == {"dededede", "cbcbcbcb"}
    everything = encode(path, forget, **given)
    assert {each for n in range(5) for each in answers(everything, 0, n)} == {*said}
    with pytest.raises(RecipeError, match=r"at least 3 \(per_prompt\), found 2"):
        AlternateStream(path, per_prompt=3, least_alike=2)


def test_another_file_is_paired_in_order(write):
    forget = prompts(write(ROWS))
    path = write([{"other": text} for text in ("d", "e", "c")], "other.jsonl")
    data = encode(path, forget, alternate_field="other")
    assert [answers(data, row, row) for row in range(3)] == [["d"], ["e"], ["c"]]


def test_another_file_needs_as_many_rows(write):
    forget = prompts(write(ROWS))
    path = write([{"alternate": "d"}], "other.jsonl")
    with pytest.raises(DataError, match=r"other.jsonl: found 1 rows, expected 3, as "):
        encode(path, forget)


def test_every_fault_of_the_column_is_named(write):
    path = write([*ROWS, {"prompt": "d", "response": "e"}, {"prompt": "e", "alternate": 3}])
    with pytest.raises(DataError) as error:
        AlternateStream(path).check()
    assert [(problem.line, problem.field) for problem in error.value.problems] == [
        (4, "alternate"),
        (5, "alternate"),
    ]


def test_the_own_answer_is_no_alternate(write):
    path = write([{"prompt": "a", "response": "aa", "alternate": "aa"}])
    with pytest.raises(DataError, match=r"line 1: found its own answer, expected another"):
        encode(path, prompts(path))


def test_a_row_of_two_turns_is_refused(write):
    forget = EncodedRows("forget", "forget.jsonl")
    forget.append([([4], [5]), ([4, 5], [6])], Place(7, 7), text="two turns")
    with pytest.raises(DataError, match=r"forget.jsonl, line 7: found 2 turns to learn"):
        encode(write([{"alternate": "d"}]), forget)


def test_at_least_one_per_prompt():
    with pytest.raises(RecipeError, match="per_prompt: expected at least 1, found 0"):
        AlternateStream("a.jsonl", per_prompt=0)
