import json
import logging

import pytest

from unlearnkit.data import QAStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, RecipeError


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def encode(stream, tokenizer, max_length=64):
    data = stream.encode("forget", Codec(tokenizer, max_length), {}, 0)
    return [example for row in range(len(data)) for example in data.at(row, 0)]


def texts(tokenizer, examples):
    return [
        (tokenizer.decode(e.prompt_ids), tokenizer.decode(e.response_ids[:-1])) for e in examples
    ]


def test_a_template_stands_around_the_prompt(write, letters):
    path = write({"prompt": "a{b}", "response": "c"})
    (example,) = encode(QAStream(path, template="d {prompt} e"), letters)
    assert letters.decode(example.prompt_ids) == "d a<unk>b<unk> e"


def test_white_space_before_the_response_in_a_template_is_the_responses(write, letters):
    path = write({"prompt": "a", "response": "c"})
    (example,) = encode(QAStream(path, template="d{prompt}e {response}"), letters)
    assert letters.decode(example.prompt_ids) == "dae"
    assert letters.decode(example.response_ids) == " c<eos>"


def test_nothing_may_follow_the_response_in_a_template():
    with pytest.raises(RecipeError, match=r"nothing may follow \{response\}"):
        QAStream("a.jsonl", template="{prompt} {response}.")


def test_a_template_without_the_prompt_is_refused():
    with pytest.raises(RecipeError, match=r"\{prompt\}"):
        QAStream("a.jsonl", template="Question:")


@pytest.mark.parametrize("key", ["limit", "batch_size"])
def test_sizes_are_positive(key):
    with pytest.raises(RecipeError, match=f"{key}: expected at least 1, found 0"):
        QAStream("a.jsonl", **{key: 0})


def test_rows_are_chosen_by_value_and_number(write, letters):
    path = write(
        {"prompt": "a", "response": "a", "safe": True},
        {"prompt": "b", "response": "b", "safe": False},
        {"prompt": "c", "response": 3, "safe": True},
        {"prompt": "d", "response": "d", "safe": False},
        {"prompt": "e", "response": "e", "safe": False},
    )
    examples = encode(QAStream(path, where={"safe": False}, limit=2), letters)
    assert texts(letters, examples) == [("b", "b"), ("d", "d")]


def test_a_choice_that_leaves_no_row_is_an_error(write):
    path = write({"prompt": "a", "response": "a", "safe": True})
    with pytest.raises(DataError, match="0 rows, expected at least one with safe: false"):
        QAStream(path, where={"safe": False}).check()


def test_arrays_of_responses_are_taken_apart_only_when_asked_to(write, letters):
    path = write({"prompt": "a", "response": ["b", "c"]}, {"prompt": "d", "response": "e"})
    examples = encode(QAStream(path, explode=True), letters)
    assert texts(letters, examples) == [("a", "b"), ("a", "c"), ("d", "e")]
    with pytest.raises(DataError, match="line 1, field 'response': found array"):
        QAStream(path).check()


@pytest.mark.parametrize("value", [[], ["b", 3], {"b": "c"}])
def test_arrays_of_anything_but_texts_are_bad_rows(write, value):
    path = write({"prompt": "a", "response": "b"}, {"prompt": "a", "response": value})
    with pytest.raises(DataError, match=r"line 2(, text 2)?, field 'response'"):
        QAStream(path, explode=True).check()


def test_half_a_surrogate_pair_is_a_bad_row(write):
    with pytest.raises(DataError, match="field 'prompt': found a lone surrogate"):
        QAStream(write({"prompt": "a\ud83d", "response": "b"})).check()


def test_broken_lines_and_bad_rows_are_told_together_in_order(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"prompt": "a", "response": ""}\n{"pro\n{"prompt": 1, "response": "b"}\n'
        '{"prompt": "a", "response": "b"}\n'
    )
    with pytest.raises(DataError) as caught:
        QAStream(str(path)).check()
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]
    assert "on_bad_rows: drop" in str(caught.value)


def test_dropping_is_not_proposed_where_no_row_would_be_left(write):
    path = write({"prompt": "a", "response": ""})
    for on_bad_rows in ("error", "drop"):
        with pytest.raises(DataError) as caught:
            QAStream(path, on_bad_rows=on_bad_rows).check()
        assert "on_bad_rows" not in str(caught.value)


def test_dropped_rows_of_both_checks_are_counted_together(tmp_path, letters, caplog):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"prompt": "a", "response": ""}\n{"pro\n{"prompt": "abcde", "response": "b"}\n'
        '{"prompt": "a", "response": "b"}\n'
    )
    stream = QAStream(str(path), on_bad_rows="drop")
    with caplog.at_level(logging.WARNING):
        data = stream.encode("forget", Codec(letters, 5), {}, 0)
    assert (len(data), data.dropped) == (1, 3)
    assert "3 of 4 rows dropped" in caplog.text


def test_a_stream_can_be_encoded_twice(write, letters):
    stream = QAStream(write({"prompt": "a", "response": "b"}))
    stream.check()
    assert encode(stream, letters) == encode(stream, letters)


def test_what_the_maximal_length_takes_away_is_counted_row_by_row(write, letters):
    # A prompt of one letter leaves room for 4 tokens: of cdcdcd and its end, 7, it takes 3.
    path = write(*({"prompt": "a", "response": r} for r in ("cdcdcd", "cd", "cddd")))
    stream = QAStream(path)
    data = stream.encode("forget", Codec(letters, 5), {}, 0)
    assert data.cut == {0: 3, 2: 1}
    assert [len(data.at(row, 0)[0].response_ids) for row in range(3)] == [4, 3, 4]
    assert stream.encode("forget", Codec(letters, 64), {}, 0).cut == {}
