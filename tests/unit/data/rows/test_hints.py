"""Files that are almost in a layout that is read: the error says what to set."""

import json
import re

import pytest
import yaml

from unlearnkit.data import AlternateStream, ChatStream, IdkStream, QAStream, TextStream
from unlearnkit.errors import DataError

PAIR = {"prompt": "a", "response": "b"}
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def answers(path, **keys):
    return IdkStream(answers=path, **keys)._file


def alternates(path, **keys):
    return AlternateStream(path, **keys)._file


def hint(stream):
    with pytest.raises(DataError) as caught:
        stream.check()
    return caught.value.hint


@pytest.mark.parametrize(
    ("stream", "row", "settings"),
    [
        (QAStream, {"question": "a", "answer": "b"},
         "prompt_field: question, response_field: answer"),
        (QAStream, {"Question": "a", "response": "b"}, "prompt_field: Question"),
        (QAStream, {"user_query": "a", "chatgpt_response": "b"},
         "prompt_field: user_query, response_field: chatgpt_response"),
        (QAStream, {"prompt": "a", "Best Answer": "b"}, "response_field: Best Answer"),
        (QAStream, {"goal": "a", "target": "b"}, "prompt_field: goal, response_field: target"),
        (QAStream, {"prompt": "a", "answer": ["b", "c"]}, "response_field: answer, explode: true"),
        (QAStream, {"doc": {"question": "a", "answer": "b"}},
         "prompt_field: doc.question, response_field: doc.answer"),
        (QAStream, {"data": [{"prompt": "a", "response": "b"}]}, "rows_at: data"),
        (QAStream, {"v": 1, "data": {"train": [{"prompt": "a", "response": "b"}]}},
         "rows_at: data.train"),
        (QAStream, {"a": [PAIR], "b": [PAIR]},
         'rows_at: "*"'),
        (TextStream, {"content": "a"}, "text_field: content"),
        (TextStream, {"Ann Lee": ["a"], "Bo": ["b"]}, 'rows_at: "*"'),
        (ChatStream, {"conversations": TURNS}, "messages_field: conversations"),
        (ChatStream, {"items": [{"messages": TURNS}]}, "rows_at: items"),
        (answers, {"refusal": "a"}, "answers_field: refusal"),
        (answers, {"text": "a"}, "answers_field: text"),
        (alternates, {"paraphrased_answer": "a"}, "alternate_field: paraphrased_answer"),
        # Columns that are there, and hold something else than text.
        (QAStream, {"prompt": "a", "response": ["b", "c"]}, "explode: true"),
        (QAStream, {"prompt": {"text": "a"}, "response": "b"}, "prompt_field: prompt.text"),
        (QAStream, {"prompt": ["a", "b"], "response": "b"}, "prompt_field: prompt.0"),
        (TextStream, {"text": ["a", "b"]}, "rows_at: text"),
    ],
)  # fmt: skip
def test_the_settings_that_a_file_needs_are_told_and_are_enough(tmp_path, stream, row, settings):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row]))
    told = re.sub(r" \(or [^)]*\)", "", hint(stream(str(path)))).split("`")[1::2]
    wanted = settings.split(", ")
    assert told[: len(wanted)] == wanted
    read = stream(str(path), **yaml.safe_load("{" + settings + "}"))
    samples, problems = read.parse(read.read())
    assert samples
    assert not problems


@pytest.mark.parametrize(
    ("stream", "row", "told"),
    [
        (QAStream, {"id": 1, "conversations": TURNS},
         "{name: chat, messages_field: conversations}"),
        (QAStream, {"text": "a"}, "which the stream `text` reads"),
        (TextStream, {"question": "a", "answer": "b"},
         "{name: qa, prompt_field: question, response_field: answer}"),
        (ChatStream, {"question": "a", "answer": "b"},
         "{name: chat, prompt_field: question, response_field: answer}"),
        (QAStream, {"question": "a", "right_answer": "b", "hallucinated_answer": "c"},
         "`response_field: right_answer` (or hallucinated_answer)"),
        (QAStream, {"x": {"y": "a"}, "z": "b"},
         "Name the file's own columns (`a.b` reaches into objects): set `prompt_field` and "
         "`response_field`."),
    ],
)  # fmt: skip
def test_other_streams_and_columns_are_told(tmp_path, stream, row, told):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row]))
    assert told in hint(stream(str(path)))


def test_questions_with_choices_are_for_a_suite(tmp_path):
    path = tmp_path / "bio_questions.json"
    path.write_text(json.dumps([{"question": "a", "choices": ["a", "b"], "answer": 1}] * 2))
    with pytest.raises(DataError) as caught:
        QAStream(str(path), "question", "answer").check()
    assert [str(each) for each in caught.value.problems] == [
        f"{path}, field 'answer': found numbers in all rows, expected text"
    ]
    assert "suite `multiple_choice`" in caught.value.hint


def test_a_name_that_yaml_would_take_otherwise_is_quoted(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"1: a": [{"prompt": "a", "response": "b"}]}))
    assert '`rows_at: "1: a"`' in hint(QAStream(str(path)))
