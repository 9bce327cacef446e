"""Thoughts in answers: learned with them, given before them, or learned alone."""

from __future__ import annotations

import json

import pytest
from chat_templates import CHATML, QWEN3, chat_tokenizer

from unlearnkit.data import ChatStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, RecipeError

USER = {"role": "user", "content": "Where was Ada born?"}
ANSWER = {"role": "assistant", "content": "I do not know.", "reasoning_content": "In Porto."}
BEGIN = "<|im_start|>user\nWhere was Ada born?<|im_end|>\n<|im_start|>assistant\n<think>\n"


@pytest.fixture
def path(tmp_path):
    return _written(tmp_path / "rows.jsonl", ANSWER)


def _written(path, *answers):
    rows = [{"messages": [USER, answer]} for answer in answers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def _encoded(stream, template=QWEN3):
    tokenizer = chat_tokenizer(template)
    data = stream.encode("forget", Codec(tokenizer, 300), {}, 0)
    (example,) = data.at(0, 0)
    return tokenizer.decode(example.prompt_ids), tokenizer.decode(example.response_ids)


@pytest.mark.parametrize(
    ("thoughts", "prompt", "response"),
    [
        ("learned", BEGIN, "In Porto.\n</think>\n\nI do not know.<|im_end|>"),
        ("given", BEGIN + "In Porto.\n</think>\n\n", "I do not know.<|im_end|>"),
        ("alone", BEGIN, "In Porto.\n</think>"),
    ],
)
def test_a_thought_is_in_the_response_or_in_the_prompt(path, thoughts, prompt, response) -> None:
    assert _encoded(ChatStream(path, thoughts=thoughts)) == (prompt, response)


@pytest.mark.parametrize("thoughts", ["given", "alone"])
def test_the_text_is_the_same_wherever_the_thought_stands(path, thoughts) -> None:
    whole = "".join(_encoded(ChatStream(path)))
    assert whole.startswith("".join(_encoded(ChatStream(path, thoughts=thoughts))))


def test_a_thought_may_stand_in_the_text_and_end_otherwise(tmp_path) -> None:
    said = {"role": "assistant", "content": "[thought] In Porto. [end] I do not know."}
    path = _written(tmp_path / "own.jsonl", said)
    stream = ChatStream(path, thoughts="given", thought_end="[end]")
    prompt, response = _encoded(stream, CHATML)
    assert prompt.endswith("assistant\n[thought] In Porto. [end]")
    assert response == " I do not know.<|im_end|>"


def test_an_answer_without_a_thought_is_whole_or_refused(tmp_path) -> None:
    bare = {"role": "assistant", "content": "I do not know."}
    path = _written(tmp_path / "bare.jsonl", bare, ANSWER)
    given = ChatStream(path, thoughts="given")
    assert _encoded(given)[1] == "I do not know.<|im_end|>"
    with pytest.raises(DataError, match=r"bare\.jsonl, line 1, .*without a thought"):
        _encoded(ChatStream(path, thoughts="alone"))


def test_mistakes_are_named(path) -> None:
    with pytest.raises(RecipeError, match="learned, given or alone"):
        ChatStream(path, thoughts="out")  # pyright: ignore[reportArgumentType]
    with pytest.raises(RecipeError, match="thought_end"):
        ChatStream(path, thought_end="[end]")
