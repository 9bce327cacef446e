"""What a user names in a stream is used or refused, and no row is lost without a word."""

from __future__ import annotations

import json
import logging

import pytest
from stub import stub_tokenizer

from unlearnkit.data import ChatStream, QAStream
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.rows.same import plain
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, RecipeError
from unlearnkit.suites import Hallucination

CHAT = {"chat_template": "{{ messages[0]['content'] }}{% for m in messages[1:] %}{{ m.content }}"
        "{{ eos_token }}{% endfor %}"}  # fmt: skip


def _codec(spec=None) -> Codec:
    return Codec(stub_tokenizer(spec), 64)


def _file(tmp_path, name: str, text: str) -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def test_a_file_that_breaks_off_is_no_bad_row(tmp_path) -> None:
    rows = [json.dumps({"prompt": "a", "response": "b"})] * 4
    path = _file(tmp_path, "f.json", f"[{rows[0]} {rows[1]},{rows[2]},{rows[3]}]")
    for on_bad_rows in ("error", "drop"):
        with pytest.raises(DataError, match="Expecting ',' or ']'") as caught:
            QAStream(path, on_bad_rows=on_bad_rows).encode("f", _codec(), {}, 0)
        assert "cannot be read" in str(caught.value.hint)


def test_a_cell_of_separators_alone_is_no_answer(tmp_path) -> None:
    path = _file(tmp_path, "f.csv", 'prompt,response\na,"b; c"\nb,"; "\n')
    with pytest.raises(DataError, match="line 3, field 'response': found empty text"):
        QAStream(path, separator="; ").encode("f", _codec(), {}, 0)


def test_a_separator_that_never_occurs_is_told_with_the_likely_one(tmp_path, caplog) -> None:
    path = _file(tmp_path, "f.csv", "prompt,response\n" + "a,b; c\n" * 5)
    with caplog.at_level(logging.WARNING):
        QAStream(path, separator="|").check()
    assert "none of 5 texts of 'response' holds the separator '|'" in caplog.text
    assert "5 of 5 texts of 'response' hold '; '" in caplog.text


def test_truth_and_numbers_are_not_each_other(tmp_path) -> None:
    values = [1, 1.0, True, "1", False, 0]
    lines = [json.dumps({"prompt": "a", "response": "b", "v": value}) for value in values]
    path = _file(tmp_path, "f.jsonl", "\n".join(lines))
    wanted = {"True": True, "one": 1, "False": False, "zero": 0, "text": "1"}
    found = {
        name: len(QAStream(path, where={"v": value}).encode("f", _codec(), {}, 0))
        for name, value in wanted.items()
    }
    assert found == {"True": 1, "one": 2, "False": 1, "zero": 1, "text": 1}


def test_a_number_is_not_its_negative_nor_its_share() -> None:
    assert len({plain(text) for text in ("5", "-5", "5%", "5 #")}) == 4
    assert plain("– five.") == plain("five") == plain("(Five!)")


def test_a_column_of_tools_that_is_named_must_be_there(tmp_path) -> None:
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    path = _file(tmp_path, "f.jsonl", json.dumps(rows[0]))
    with pytest.raises(DataError, match="expected 'tolls'"):
        ChatStream(path, tools_field="tolls").check()
    ChatStream(path).check()  # the default one may be absent


def test_an_answer_before_which_nothing_stands_is_blamed_by_row(tmp_path) -> None:
    row = {"messages": [{"role": "assistant", "content": "b"}]}
    path = _file(tmp_path, "f.jsonl", json.dumps(row))
    with pytest.raises(DataError, match="nothing stands before it"):
        ChatStream(path).encode("f", _codec(CHAT), {}, 0)


def test_a_misspelt_role_is_a_bad_row_and_one_of_a_templates_own_is_told(tmp_path, caplog) -> None:
    def stream(role: str) -> ChatStream:
        rows = [{"role": role, "content": "a"}, {"role": "assistant", "content": "b"}]
        return ChatStream(_file(tmp_path, f"{role}.jsonl", json.dumps({"messages": rows})))

    with pytest.raises(DataError, match="the role 'usr', expected 'user'"):
        stream("usr").check()
    with caplog.at_level(logging.WARNING):
        stream("critic").check()
    assert "the roles 'critic' are none of system, developer, user, assistant" in caplog.text


def test_an_unseen_part_that_is_named_must_be_there(tmp_path) -> None:
    row = {"question": "a", "right_answer": "b", "hallucinated_answer": "c"}
    _file(tmp_path, "trained.jsonl", json.dumps(row))
    fields = {"question_field": "question", "true_field": "right_answer",
              "invented_field": "hallucinated_answer"}  # fmt: skip
    assert [part.optional for part in Hallucination(str(tmp_path), **fields).parts] == [False, True]
    named = Hallucination(str(tmp_path), unseen="nope", **fields)
    assert [part.optional for part in named.parts] == [False, False]


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "..", "."])
def test_a_streams_name_is_no_path(name) -> None:
    """Files that a run writes of a stream have its name."""
    streams = {"forget": QAStream([{"prompt": "a", "response": "b"}])}
    UnlearningDataModule({**streams, "a.b": streams["forget"]}, tokenizer="tiny")
    with pytest.raises(RecipeError, match="a name that is no path"):
        UnlearningDataModule({**streams, name: streams["forget"]}, tokenizer="tiny")
