"""Texts that are joined in one field are taken apart on request, and told of otherwise."""

import csv

import pytest
from stub import stub_tokenizer

from unlearnkit.data import AlternateStream, ChatStream, IdkStream, MismatchStream, QAStream
from unlearnkit.data.streams.answers import AnswerStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import RecipeError

ANSWERS = ["Yes; No; Maybe one;", "Yes", "No;  ; Yes", "a; b", "c; d"]


@pytest.fixture
def path(tmp_path):
    with open(tmp_path / "f.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["prompt", "response"])
        rows.writerows([f"p{n}", answer] for n, answer in enumerate(ANSWERS))
    return str(tmp_path / "f.csv")


def pairs(stream):
    return [(each.prompt, each.response) for each in stream.parse(stream.read())[0]]


def test_joined_responses_are_taken_apart(path, caplog):
    stream = QAStream(path, separator="; ")
    assert pairs(stream) == [
        ("p0", "Yes"),
        ("p0", "No"),
        ("p0", "Maybe one"),
        ("p1", "Yes"),
        ("p2", "No"),
        ("p2", "Yes"),
        ("p3", "a"),
        ("p3", "b"),
        ("p4", "c"),
        ("p4", "d"),
    ]
    assert stream.count(stream.read()) == 10
    assert not caplog.text


@pytest.mark.parametrize("stream", [QAStream, AnswerStream])
@pytest.mark.parametrize("explode", [False, True])
def test_a_column_that_looks_joined_is_told_of(path, caplog, stream, explode):
    stream = stream(path, explode=explode)
    assert len(stream.parse(stream.read())[0]) == 5
    assert "4 of 5 texts of 'response' hold '; '" in caplog.text
    assert 'set separator: "; "' in caplog.text


def test_prose_with_a_few_semicolons_is_not(tmp_path, caplog):
    rows = [f"p{n},{'one; two' if n < 4 else 'one'}\n" for n in range(9)]
    (tmp_path / "f.csv").write_text("prompt,response\n" + "".join(rows))
    stream = QAStream(str(tmp_path / "f.csv"))
    stream.parse(stream.read())
    assert not caplog.text


def test_pools_and_alternates_take_them_apart_too(path):
    codec = Codec(stub_tokenizer(), 64)
    forget = {"forget": QAStream(path, limit=5).encode("forget", codec, {}, 0)}
    for pool in (MismatchStream, IdkStream):
        stream = pool(answers=path, separator="; ")
        assert len(stream._file.encode("pool", codec, {}, 0)) == 10  # pyright: ignore
    alternate = AlternateStream(path, alternate_field="response", separator="; ", limit=1)
    file = alternate._file.encode("alternate", codec, {}, 0)
    assert len(file) == 3
    assert forget["forget"].dropped == 0


@pytest.mark.parametrize(
    ("stream", "arguments", "message"),
    [
        (QAStream, {"path": "f.csv", "separator": ""}, "separator: expected text"),
        (
            QAStream,
            {"path": "f.csv", "responses": [{"field": "a"}], "response_field": "b"},
            "found both",
        ),
        (
            ChatStream,
            {"path": "f.json", "messages_field": "m", "prompt_field": "p", "response_field": "r"},
            "found both",
        ),
        (
            MismatchStream,
            {"answers": "retain", "separator": "; "},
            "separator: of a file of answers",
        ),
        (MismatchStream, {"split": "test", "explode": True}, "split, explode: of a file"),
        (IdkStream, {"answers": "refusals", "answers_field": "x"}, "and 'refusals' is a stream"),
    ],
)
def test_a_key_that_would_not_be_used_is_refused(stream, arguments, message):
    with pytest.raises(RecipeError, match=message):
        stream(**arguments)
