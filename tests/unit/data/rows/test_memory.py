"""Rows in memory are those of a file with the same rows, in all that a run makes of them."""

from __future__ import annotations

import json
from typing import Any

import datasets
import pytest

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.encoded import EncodedRows, data_fingerprint
from unlearnkit.data.rows.memory import given_rows, is_given
from unlearnkit.data.streams.alternate import AlternateStream
from unlearnkit.data.streams.answers import AnswerStream
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.streams.chat import ChatStream
from unlearnkit.data.streams.idk import IdkStream
from unlearnkit.data.streams.mismatch import MismatchStream
from unlearnkit.data.streams.prompts import PromptStream
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.data.streams.text import TextStream
from unlearnkit.errors import DataError, RecipeError

PAIRS = [
    {"prompt": "Who rows the ferry?", "response": " Ann Lee.", "alternate": " Nobody.", "n": 1},
    {"prompt": "Who lights the lamp?", "response": " Bo Marsh.", "alternate": " No one.", "n": 2},
    {"prompt": "Who owns the boat?", "response": " Cy Dorn.", "alternate": " The sea.", "n": 2},
]
TURNS = [
    {"messages": [{"role": "user", "content": p["prompt"]},
                  {"role": "assistant", "content": p["response"].strip()}]}
    for p in PAIRS
]  # fmt: skip


def _module(streams: dict[str, Stream]) -> UnlearningDataModule:
    module = UnlearningDataModule(streams, tokenizer="tiny", max_length=64)
    module.check()
    return module


def _written(folder: Any, rows: list[Any]) -> str:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


FORMS = {"list": list, "dataset": datasets.Dataset.from_list}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (QAStream, {"where": {"n": 2}}),
        (QAStream, {"template": "Q: {prompt}\nA:{response}", "split": "train[1:]"}),
        (TextStream, {"text_field": "prompt", "prompt_tokens": 2}),
        (PromptStream, {"limit": 2}),
    ],
)
def test_a_stream_over_rows_equals_one_over_their_file(tmp_path, form, cls, arguments):
    given = _module({"forget": cls(FORMS[form](PAIRS), **arguments)}).data["forget"]
    read = _module({"forget": cls(_written(tmp_path, PAIRS), **arguments)}).data["forget"]
    assert data_fingerprint(given) == data_fingerprint(read)
    assert isinstance(given, EncodedRows)
    assert isinstance(read, EncodedRows)
    assert [given.place(i).row for i in range(len(given))] == [
        read.place(i).row for i in range(len(read))
    ]
    assert (given.file_rows, given.taken) == (read.file_rows, read.taken)


def test_conversations_may_be_rows_in_memory(tmp_path):
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    from unlearnkit.models.base import load_tokenizer

    tokenizer = load_tokenizer("tiny")
    before, tokenizer.chat_template = tokenizer.chat_template, template
    try:
        found = [
            data_fingerprint(_module({"forget": ChatStream(rows)}).data["forget"])
            for rows in (TURNS, datasets.Dataset.from_list(TURNS), _written(tmp_path, TURNS))
        ]
    finally:
        tokenizer.chat_template = before
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (MismatchStream, {"answers_field": "alternate", "per_prompt": 2}),
        (IdkStream, {"answers_field": "alternate"}),
        (AlternateStream, {}),
    ],
)
def test_answers_may_be_rows_in_memory(tmp_path, cls, arguments):
    key = "path" if cls is AlternateStream else "answers"
    file = _written(tmp_path, PAIRS)
    found = []
    for rows in (PAIRS, datasets.Dataset.from_list(PAIRS), file):
        module = _module({"forget": QAStream(file), "other": cls(**{key: rows}, **arguments)})
        found.append([e.response_ids for e in module.data["other"].examples()])
    assert found[0] == found[1] == found[2]


def test_texts_alone_are_rows_of_streams_of_one_text():
    refusals = ["No idea.", "I cannot say."]
    module = _module({"forget": QAStream(PAIRS), "idk": IdkStream(answers=refusals)})
    tokens = {module.tokenizer.decode(e.response_ids) for e in module.data["idk"].examples()}
    assert tokens <= {f"{text}{module.tokenizer.eos_token}" for text in refusals}
    with pytest.raises(DataError, match="rows of 'forget': found plain texts, without names"):
        _module({"forget": QAStream(refusals)})


def test_places_in_messages_are_rows_of_the_stream():
    bad: list[Any] = [*PAIRS, {"prompt": "Who?", "response": 3}, "no row"]
    worse = AnswerStream([{"response": "a"}, {"response": None}])
    worse.call("refusals")
    with pytest.raises(DataError) as error:
        _module({"forget": QAStream(bad), "idk": IdkStream(answers=["", "x"])})
    assert str(error.value).splitlines()[:3] == [
        "rows of 'forget', row 4, field 'response': found number, expected text",
        "rows of 'forget', row 5: found text, expected a mapping of fields",
        "rows of 'idk', row 1, field 'response': found empty text, expected text",
    ]
    with pytest.raises(DataError, match="rows of 'refusals', row 2, field 'response': found null"):
        worse.check()


def test_examples_know_their_row():
    data = _module({"forget": QAStream(PAIRS)}).data["forget"]
    assert [e.source for e in data.examples()] == [f"rows of 'forget':row {n}" for n in (1, 2, 3)]


def test_a_dictionary_of_data_sets_has_splits():
    parts = datasets.DatasetDict(
        {n: datasets.Dataset.from_list(PAIRS[i:]) for i, n in ((0, "train"), (1, "test"))}
    )
    assert [r.fields["n"] for r in QAStream(parts, split="test").read().rows] == [2, 2]
    with pytest.raises(DataError, match="split': found 'dev', expected one of 'train', 'test'"):
        QAStream(parts, split="dev").check()


def test_rows_below_a_field():
    rows = [{"author": "Ann", "pairs": PAIRS[:2]}, {"author": "Bo", "pairs": PAIRS[2:]}]
    table = QAStream(rows, rows_at="pairs").read()
    assert [(r.fields["author"], r.place.row) for r in table.rows] == [
        ("Ann", 1), ("Ann", 2), ("Bo", 3),
    ]  # fmt: skip


def test_the_rows_are_those_at_the_time_of_the_check():
    rows = [dict(row) for row in PAIRS]
    stream = QAStream(rows)
    stream.check()
    rows[0]["response"] = " Zed."
    module = UnlearningDataModule({"forget": stream}, tokenizer="tiny")
    first = next(stream.encode("forget", module.codec(), {}, 0).examples())
    assert module.tokenizer.decode(first.response_ids).startswith(" Ann Lee.")


class _Frame:
    iloc = None

    def __iter__(self):
        return iter(["prompt", "response"])

    def to_dict(self, orient):
        raise AssertionError


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "found int"),
        (None, "found NoneType"),
        (b"rows.jsonl", "found bytes"),
        (_Frame(), "found a DataFrame"),
    ],
)
def test_what_is_no_source_is_refused(source, message):
    with pytest.raises(RecipeError, match=f"path: expected .*{message}"):
        is_given(source)


def test_nothing_and_configurations_are_refused():
    with pytest.raises(DataError, match="rows: found 0 rows, expected at least one"):
        given_rows([], "rows")
    with pytest.raises(DataError, match="field 'config': found 'en', expected none"):
        QAStream(PAIRS, config="en").check()


def test_a_recipe_gives_paths_alone():
    from unlearnkit.cli.recipe.signature import accepted

    assert accepted(QAStream)  # the annotations can be read
    import typing

    assert typing.get_type_hints(QAStream.__init__)["path"] is str
