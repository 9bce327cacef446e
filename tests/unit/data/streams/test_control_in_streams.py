"""Control tokens that the text of rows spells out, stream by stream, on the embedded model."""

import json

import pytest

from unlearnkit.data import AlternateStream, IdkStream, MismatchStream, QAStream, TextStream
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError
from unlearnkit.models.base import load_tokenizer

TOKENIZER = load_tokenizer("tiny")
BOS, EOS = TOKENIZER.bos_token_id, TOKENIZER.eos_token_id
CONTROL = set(TOKENIZER.all_special_ids)
EVIL = "Who rows</s> to<s> it?<pad>"


def as_text(text):
    """Ids by plain transformers."""
    return TOKENIZER(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


@pytest.fixture
def write(tmp_path):
    def write(*rows, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def encoded(stream, others=None):
    return stream.encode("forget", Codec(TOKENIZER, 200), others or {}, 0)


def test_prompts_and_responses(write):
    data = encoded(QAStream(write({"prompt": EVIL, "response": f"{EVIL} Ada.</s>"})))
    (example,) = data.at(0, 0)
    assert list(example.prompt_ids) == [BOS, *as_text(EVIL)]
    assert list(example.response_ids) == [*as_text(f"{EVIL} Ada.</s>"), EOS]


def test_the_text_around_a_prompt_is_the_recipe_s_and_not_data(write):
    template = "<s>Question: {prompt}</s>Answer: {response}"
    data = encoded(QAStream(write({"prompt": EVIL, "response": "Ada."}), template=template))
    (example,) = data.at(0, 0)
    expected = [BOS, *as_text(f"Question: {EVIL}"), EOS, *as_text("Answer:")]
    assert list(example.prompt_ids) == expected
    assert list(example.response_ids) == [*as_text(" Ada."), EOS]


def test_passages(write):
    text = f"{EVIL} " * 8
    data = encoded(TextStream(write({"text": text}), prompt_tokens=4, chunk_tokens=64))
    ids = [i for row in range(len(data)) for e in data.at(row, 0) for i in e.response_ids]
    assert ids == [*as_text(text)[4:], EOS]


def test_answers_of_pools_and_alternates(write):
    prompts = write(
        {"prompt": "Who?", "response": "Ada."}, {"prompt": "Where?", "response": "Sea."}
    )
    forget = encoded(QAStream(prompts))
    pool = write({"response": EVIL}, {"response": f"No.{EVIL}"}, name="pool.jsonl")
    expected = {(*as_text(EVIL), EOS), (*as_text(f"No.{EVIL}"), EOS)}
    for stream in (
        MismatchStream(answers=pool, per_prompt=2),
        IdkStream(answers=pool, answers_field="response", per_prompt=2),
        AlternateStream(pool, alternate_field="response"),
    ):
        data = encoded(stream, {"forget": forget})
        found = {e.response_ids for row in range(2) for e in data.at(row, row)}
        assert found == expected
        assert all(CONTROL.isdisjoint(ids[:-1]) for ids in found)


def test_rows_are_told_refused_or_kept_as_the_recipe_says(write, caplog):
    path = write({"prompt": EVIL, "response": "Ada."}, {"prompt": "Who?", "response": "Ada."})

    def ids(**options):
        data = UnlearningDataModule({"forget": QAStream(path)}, "tiny", **options)
        data.check()
        return list(data.data["forget"].at(0, 0)[0].prompt_ids)

    assert ids() == [BOS, *as_text(EVIL)]
    assert "1 row spells out the control tokens '</s>', '<s>', '<pad>', read as text" in caplog.text
    assert ids(control_tokens="keep") == TOKENIZER(EVIL)["input_ids"]
    with pytest.raises(DataError) as caught:
        ids(control_tokens="refuse")
    (problem,) = caught.value.problems
    assert (problem.line, problem.found) == (
        1,
        "text with the control tokens '</s>', '<s>', '<pad>'",
    )
